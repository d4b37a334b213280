"""S63: an experiment's name is a label in any script, and nothing that looks like a path."""

from __future__ import annotations

import pytest

from finetune30.config import from_mapping
from finetune30.errors import ConfigError

ACCEPTED_NAMES = ["a", "sst2 run_1.b-c", "中文情感分析", "Größe", "日本語 テスト", "x" * 80, "2024", "हिन्दी"]
REFUSED_NAMES = [
    "",
    "../../x",
    "..%2f",
    "%252e%252e%252f",
    "..\\",
    "/abs",
    "C:\\",
    "C:x",
    "a\0b",
    ".",
    "..",
    "x" * 81,
    "x" * 300,
    "x.",
    "x ",
    " x",
    ".x",
    "a..b",
    "．．／",
    "a․b",
    "ＡＢＣ",
    "a\r\nb",
    "a\tb",
    "a\u202eb",
    "a\u200bb",
    "a\u2066b",
    "\ufeffa",
    "a/b",
    "a\u2215b",
    "___",
    "😀",
    "a\ud800",
    "~root",
    "$(x)",
]


@pytest.mark.parametrize("name", ACCEPTED_NAMES)
def test_s63_names_in_any_script_are_accepted(name: str) -> None:
    assert from_mapping({"experiment_name": name}).experiment_name == name


@pytest.mark.parametrize("name", REFUSED_NAMES, ids=ascii)
def test_s63_path_like_and_odd_names_are_refused_in_printable_words(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping({"experiment_name": name})

    assert str(caught.value).startswith("configuration: experiment_name: ")
    assert str(caught.value).isprintable()


def test_s63_a_decomposed_name_is_composed() -> None:
    assert from_mapping({"experiment_name": "Gro\u0308ße"}).experiment_name == "Größe"
