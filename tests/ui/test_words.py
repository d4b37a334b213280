"""Every word of the page, in two languages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import finetune30.ui
from finetune30.ui.words import all_words, preferred

UI = Path(finetune30.ui.__file__).parent
SIMPLIFIED = set("们来时国说对学发经过还进开关没为从动现实应点长门问间东车马见数据训练验证测试设")
"""Signs that are written otherwise in Taiwan."""


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in UI.rglob("*.py"):
        if path.parent.name != "words":
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def keys_in(node: ast.AST) -> Iterator[str]:
    """Each text that may be a key, as a pattern: what is filled in may be anything."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.escape(node.value)
    inner = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.JoinedStr):
        texts = [part for part in node.values if isinstance(part, ast.Constant)]
        yield "".join(re.escape(str(part.value)) if part in texts else r"[\w.]+" for part in node.values)
        inner = [part for part in node.values if part not in texts]
    for one in inner:
        yield from keys_in(one)


def asked_for(tree: ast.AST) -> Iterator[str]:
    """Keys that are asked for by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in {"say", "words"}:
            for argument in node.args[:1]:
                yield from keys_in(argument)


def test_every_key_that_is_asked_for_exists() -> None:
    keys = list(all_words())
    asked = {(path.name, key) for path, tree in sources() for key in asked_for(tree)}

    assert asked
    assert [one for one in asked if not any(re.fullmatch(one[1], key) for key in keys)] == []


def test_every_key_is_asked_for() -> None:
    said = {pattern for _, tree in sources() for pattern in keys_in(tree)}
    # What is all filled in but the page's name says nothing of the rest.
    patterns = {pattern for pattern in said if re.match(r"[a-z]+\\\.(?!\[\\w\.\]\+$)", pattern)}
    # Where the page's name is filled in, as in what several pages share, the rest is said.
    patterns |= {pattern for pattern in said if re.match(r"\[\\w\.\]\+\\\.[a-z]", pattern)}
    single = {pattern.replace("\\", "") for pattern in said}
    known = re.compile("|".join(patterns) or "(?!)")

    unused = [key for key in all_words() if not known.fullmatch(key) and not _ends_are_said(key, single)]
    assert unused == []


def _ends_are_said(key: str, single: set[str]) -> bool:
    """As ``f"shell.{name}"`` is: what stands behind the first point is a text of its own somewhere."""
    return key.partition(".")[2] in single


def test_no_text_is_empty_and_each_has_the_same_places_in_both_languages() -> None:
    for key, text in all_words().items():
        assert len(text) == 2, key
        assert all(one.strip() == one and one for one in text), key
        english, chinese = ({name for _, name, *_ in Formatter().parse(one) if name is not None} for one in text)
        assert english == chinese, key
        assert "" not in english, key


def test_chinese_is_written_as_in_taiwan() -> None:
    assert {key: SIMPLIFIED & set(text[1]) for key, text in all_words().items() if SIMPLIFIED & set(text[1])} == {}


def test_the_language_is_the_one_asked_for_else_the_browsers() -> None:
    assert preferred("zh-TW", "en") == "zh-TW"
    assert preferred("xx", "fr, zh-Hant;q=0.8, en;q=0.5") == "zh-TW"
    assert preferred(None, "de") == preferred(None, None) == "en"
