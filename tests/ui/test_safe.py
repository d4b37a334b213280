"""What no page may do: read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

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


def test_every_fragment_is_guarded() -> None:
    """A fragment runs again by itself, without the page around it that would catch what goes wrong."""
    for path in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                names = [ast.unparse(one) for one in node.decorator_list]
                fragment = next((at for at, name in enumerate(names) if name.startswith("st.fragment")), None)
                guard = next((at for at, name in enumerate(names) if name.endswith("guarded")), -1)
                # The inner one is the later one; or the function calls what is guarded.
                assert fragment is None or guard > fragment or _calls_guarded(node), f"{path.name}: {node.name}"


def _calls_guarded(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Call) and ast.unparse(one.func).endswith("guarded") for one in ast.walk(node))
