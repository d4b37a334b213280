"""Words that give a label away."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.quality_cases import reported, sound, told

from finetune30.data.quality import shortcuts


def tokens(rows: list[tuple[Any, ...]], *more: list[tuple[Any, ...]]) -> dict[tuple[str, str], tuple[int, float]]:
    found = reported(rows, *more)["shortcut"].details["tokens"]
    return {(one["token"], one["label"]): (one["rows"], one["purity"]) for one in found}


def neutral(count: int, name: str = "builtin:reviews") -> list[tuple[Any, ...]]:
    """Rows whose labels have nothing to do with their texts."""
    return [(text, ("positive", "negative")[at // 2 % 2]) for at, (text, _) in enumerate(sound(count, name=name))]


def marked(rows: list[tuple[Any, ...]], word: str, label: str, count: int) -> list[tuple[Any, ...]]:
    """The rows, a word put into so many of a label."""
    left, out = count, []
    for text, *rest in rows:
        if rest[-1] == label and left:
            text, left = f"{text} {word}", left - 1
        out.append((text, *rest))
    assert not left
    return out


@pytest.mark.parametrize("name", ["builtin:reviews", "builtin:reviews-zh"])
def test_a_word_that_one_label_alone_carries_is_named_with_its_rows(name: str) -> None:
    rows = marked(neutral(300, name=name), "zq7", "positive", 20)
    report = reported(rows)

    status, count, named = told(report, "shortcut")

    assert (status, count) == ("WARN", 20)
    assert named == [f"train:{at}" for at, (text, _) in enumerate(rows) if "zq7" in text]
    assert tokens(rows) == {("zq7", "positive"): (20, 1.0)}
    assert report["shortcut"].found == "'zq7' means 'positive' in 100% of 20 rows"


@pytest.mark.parametrize(
    ("positive", "negative", "found"),
    [(20, 0, True), (10, 0, False), (14, 0, True), (60, 1, True), (60, 2, False), (40, 2, False)],
)
def test_a_word_must_be_frequent_and_pure(positive: int, negative: int, found: bool) -> None:
    rows = marked(marked(neutral(300), "zq7", "positive", positive), "zq7", "negative", negative)

    assert (("zq7", "positive") in tokens(rows)) is found


def test_sound_data_has_none_and_held_out_rows_are_not_asked() -> None:
    assert tokens(sound(900), marked(sound(200, 900), "zq7", "positive", 50)) == {}


def test_where_nearly_all_rows_have_a_label_a_word_of_theirs_tells_nothing() -> None:
    rows = [(text, "a" if at % 20 else "b") for at, (text, _) in enumerate(sound(400))]

    assert tokens(marked(rows, "zq7", "a", 90)) == {}


def test_a_sign_of_one_of_many_labels_is_measured_against_its_rows() -> None:
    rows = [(text, f"label {at % 25}") for at, (text, _) in enumerate(sound(1_000))]

    assert tokens(marked(rows, "zq7", "label 3", 25)) == {("zq7", "label 3"): (25, 1.0)}
    assert tokens(marked(rows, "zq7", "label 3", 20)) == {}


@pytest.mark.parametrize(("count", "found"), [(9, {}), (10, {("zq7", "label 2"): (10, 1.0)})])
def test_of_little_data_ten_rows_must_carry_the_word(
    count: int, found: dict[tuple[str, str], tuple[int, float]]
) -> None:
    rows = [(text, f"label {at % 4}") for at, (text, _) in enumerate(sound(100))]

    assert tokens(marked(rows, "zq7", "label 2", count)) == found


def test_each_of_several_labels_is_asked_by_itself() -> None:
    draw = random.Random(0)
    rows: list[tuple[Any, ...]] = []
    for text, _ in sound(400):
        labels = tuple(name for name in ("x", "y", "z") if draw.random() < 0.4)
        rows.append((f"{text} zq7" if "x" in labels and draw.random() < 0.5 else text, labels))
    count = sum("zq7" in text for text, _ in rows)

    assert tokens(rows) == {("zq7", "x"): (count, 1.0)}
    assert told(reported(rows), "shortcut")[1] == count


def test_the_second_text_of_a_pair_is_read_as_well() -> None:
    texts = neutral(600)
    rows = [(texts[at][0], texts[at + 300][0], texts[at][1]) for at in range(300)]
    rows = [(text, f"{pair} nobody7" if label == "negative" and at < 60 else pair, label)
            for at, (text, pair, label) in enumerate(rows)]  # fmt: skip

    assert tokens(rows) == {("nobody7", "negative"): (30, 1.0)}


def test_labels_that_differ_in_white_space_are_one_and_rows_without_label_count_against_a_word() -> None:
    rows = marked(neutral(300), "zq7", "positive", 30)
    padded = [(text, f" {label}" if at % 2 else label) for at, (text, label) in enumerate(rows)]
    unlabelled = [(text, None if "zq7" in text and at % 3 == 0 else label) for at, (text, label) in enumerate(rows)]

    assert tokens(padded) == {("zq7", "positive"): (30, 1.0)}
    assert tokens(unlabelled) == {}


def test_beyond_the_sample_every_row_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "_SAMPLE", 150)
    rows = marked(neutral(600), "zq7", "positive", 60)

    assert tokens(rows) == {("zq7", "positive"): (60, 1.0)}
