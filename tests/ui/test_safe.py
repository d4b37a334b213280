"""What no page may do: read from its source."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.delta_generator import DeltaGenerator

import finetune30.ui

UI = Path(finetune30.ui.__file__).parent


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    for path in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.name, ast.unparse(node.func), node


FORBIDDEN = (".html", "unsafe_html", "declare_component", "components.v2.component")
WORDS = {"unsafe_allow_html", "unsafe_allow_javascript"}


def test_s105_no_page_writes_html_or_scripts() -> None:
    found = [(file, name) for file, name, call in calls() if name.endswith(FORBIDDEN)]
    found += [(file, name) for file, name, call in calls() if WORDS & {word.arg for word in call.keywords}]

    assert found == []


def test_s106_nothing_is_kept_for_all_sessions() -> None:
    """A cache of Streamlit's is for everybody: data of a user in it needs the user in its key, so there is none."""
    for path in UI.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "cache_data" not in text, path.name
        assert "cache_resource" not in text, path.name


def unguarded_parts(source: str) -> list[str]:
    """Fragments and dialogs whose function goes through no guard: ``st.fragment(f)``, ``st.dialog("…")(f)``, ``@``."""
    tree, found = ast.parse(source), []
    around = {id(one.func): one for one in ast.walk(tree) if isinstance(one, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found += [node.name for one in node.decorator_list if _makes_a_part(one)]
        if isinstance(node, ast.Call) and _makes_a_part(node):
            function = node.args[:1] if ast.unparse(node.func) == "st.fragment" else []
            function = function or around.get(id(node), node).args[:1]
            if not function or not ast.unparse(function[0]).startswith(("guarded(", "shell.guarded(")):
                found.append(ast.unparse(node))
    return found


def _makes_a_part(node: ast.expr) -> bool:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node) in {"st.fragment", "st.dialog"}


def test_s106_every_fragment_and_dialog_is_guarded() -> None:
    """It runs again without the page around it, which would look who is here and catch what goes wrong."""
    found = {path.name: unguarded_parts(path.read_text(encoding="utf-8")) for path in UI.rglob("*.py")}

    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize(
    "source",
    [
        "st.fragment(f, run_every=5)()",
        "st.fragment(run_every=5)(f)()",
        'st.dialog("a")(f)()',
        "@st.fragment\ndef f(): ...",
        "@st.fragment(run_every=5)\n@guarded\ndef f(): ...",  # bound when the module is read: to nobody
    ],
)
def test_that_law_finds_each_way_to_make_a_part(source: str) -> None:
    assert unguarded_parts(source)


CALLBACKS = ("on_click", "on_change", "on_select", "on_submit", "on_dismiss", "on_release")


def unguarded(source: str) -> list[str]:
    """Callbacks that would run outside of any guard: named, or given by their place."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        given: list[tuple[str | None, ast.expr]] = []
        if isinstance(node, ast.Call):
            given = [(word.arg, word.value) for word in node.keywords]
            given += [(name, value) for name, value in zip(_places(node), node.args, strict=False)]
        elif isinstance(node, ast.Dict):
            named = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            given = list(zip(named, node.values, strict=True))
        found += [ast.unparse(value) for name, value in given if name in CALLBACKS and not _is_harmless(value)]
    return found


def _places(call: ast.Call) -> list[str]:
    """What a widget's arguments are called, one after the other."""
    widget = getattr(DeltaGenerator, call.func.attr, None) if isinstance(call.func, ast.Attribute) else None
    return list(inspect.signature(widget).parameters)[1:] if callable(widget) else []


def _is_harmless(value: ast.expr) -> bool:
    is_word = isinstance(value, ast.Constant) and isinstance(value.value, str)  # "rerun", "ignore"
    return is_word or (isinstance(value, ast.Call) and ast.unparse(value.func) in {"act", "shell.act"})


def test_s107_every_callback_goes_through_what_tells_its_faults() -> None:
    """A callback runs before the page is drawn, so the guard around the page does not see what goes wrong in it."""
    found = {path.name: unguarded(path.read_text(encoding="utf-8")) for path in UI.rglob("*.py")}

    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize(
    "source",
    [
        'st.button("a", on_click=go)',
        'st.button("a", "key", None, go)',
        'box.selectbox("a", [1], 0, str, "key", None, lambda: None)',
        "st.dataframe(rows, on_select=partial(go, 1))",
        'st.dialog("a", on_dismiss=self.go)(f)',
        'draw({"label": "a", "on_change": go})',
    ],
)
def test_that_law_finds_each_way_to_give_a_callback(source: str) -> None:
    assert len(unguarded(source)) == 1
