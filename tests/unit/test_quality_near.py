"""Texts that are nearly the same: found wherever they stand, never what is not alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks.faults import Injector
from hypothesis import given
from hypothesis import strategies as st
from tests.quality_cases import dataset, document, reported, sound, told

from finetune30.data.quality.copies import find_copies
from finetune30.data.quality.near import ALIKE, NearCopies, find_near_copies, similarity
from finetune30.data.quality.rows import Dataset

LONG = "The guide explained the history of the harbour so well that nobody looked at a telephone"


def near_copies(data: Dataset) -> NearCopies:
    there = np.array([bool(text.strip()) for text in data.texts()], bool)
    copies = find_copies(data, there)
    return find_near_copies(data, there & ~copies.later, copies.leaked)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (LONG, LONG.upper() + "!!!", True),
        (LONG, LONG.replace("harbour", "harbor"), True),
        (LONG, LONG.replace("nobody ", ""), True),
        (LONG, f"{LONG}, really", True),
        ("房間很大而且非常乾淨舒適", "房間很大而且非常乾淨舒服", True),
        ("ห้องสะอาดมากและพนักงานใจดีมาก", "ห้องสะอาดมากและพนักงานใจดีมากๆ", True),
        ("部屋はとても広くてきれいでした", "部屋はとても広くてきれいですね", True),
        ("방이 아주 넓고 깨끗했습니다", "방이 아주 넓고 깨끗했어요", False),
        ("الغرفة كانت واسعة ونظيفة جدا", "الغرفة كانت واسعه ونظيفة جدا", True),
        (LONG, "The guide explained nothing and looked at his telephone all day long", False),
        ("good", "bad", False),
        ("😀😀", "😡😡", False),
        ("!!!!", "????", False),
        ("", "good", False),
    ],
)
def test_alike_is_what_keeps_most_of_its_letters(one: str, other: str, alike: bool) -> None:
    assert (similarity(one, other) >= ALIKE) is alike
    assert similarity(one, other) == similarity(other, one)

    report = reported([*sound(20), (one, "positive"), (other, "positive")])
    assert ("train:21" in told(report, "near_duplicate")[2]) is alike


@pytest.mark.parametrize("name", ["builtin:reviews", "builtin:reviews-zh"])
@pytest.mark.parametrize("seed", range(3))
def test_a_changed_copy_is_found_wherever_it_stands(name: str, seed: int) -> None:
    rows = sound(300, name=name)
    injector = Injector({"train": rows}, seed)  # type: ignore[dict-item]
    draw, wrong = injector.draw, {}
    before = reported(rows)["near_duplicate"].rows.tolist()
    for source in draw.sample(range(len(rows)), 20):
        copy = injector.nearly(rows[source][0])
        if similarity(copy, rows[source][0]) >= ALIKE:
            wrong[copy] = source
    mixed = [*rows, *((copy, rows[source][1]) for copy, source in wrong.items())]
    draw.shuffle(mixed)
    places = {text: at for at, (text, _) in enumerate(mixed)}
    later = {max(places[copy], places[rows[source][0]]) for copy, source in wrong.items()}

    status, count, named = told(reported(mixed), "near_duplicate")

    assert len(wrong) >= 12
    assert (before, status) == ([], "WARN")
    assert named == [f"train:{at}" for at in sorted(later)]
    assert count == len(later)


PARTS = [
    "the room was clean",
    "the room was clear",
    "we liked the room",
    "a friendly face",
    "and we will come back",
    "!",
]


NEAR_TEXTS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map(" ".join)


@given(st.lists(st.tuples(NEAR_TEXTS, st.sampled_from("xy")), min_size=2, max_size=12), st.integers(1, 11))
def test_nothing_is_called_near_that_is_not_alike(rows: list[tuple[str, str]], cut: int) -> None:
    data = dataset(rows[:cut], rows[cut:])
    texts, labels, split = list(data.texts()), data.labels, data.split_of(np.arange(len(data)))

    near = near_copies(data)

    def alike(one: int, other: int) -> bool:
        return similarity(texts[one], texts[other]) >= ALIKE

    for row in np.flatnonzero(near.later):
        assert any(alike(row, o) for o in range(row) if split[o] == split[row] and labels[o] == labels[row])
    for row in np.flatnonzero(near.leaked):
        assert split[row] == 1
        assert any(alike(row, other) for other in range(cut))
        assert row in near.leaking
    for row in near.leaking:
        others = range(len(rows)) if split[row] else range(cut, len(rows))
        assert any(alike(row, other) for other in others if split[other] != split[row])


def test_texts_with_another_label_are_a_contrast_and_no_copy() -> None:
    report = reported(
        [*sound(20), (f"{LONG} well", "positive"), (f"{LONG} ill", "negative"), (f"{LONG} it", "positive")]
    )

    assert told(report, "near_duplicate") == ("WARN", 1, ["train:22"])


def test_the_very_same_text_is_no_near_copy_and_no_near_leak() -> None:
    report = reported([*sound(20), (LONG, "positive"), (LONG.upper(), "positive")], [*sound(9, 20), (LONG, "positive")])

    assert told(report, "near_duplicate") == ("PASS", 0, [])
    (leak,) = (one for one in document(report)["checks"] if one["name"] == "split_leak")
    assert leak["near"] == {"count": 0, "rows": []}


def test_many_copies_of_one_text_name_all_but_the_first() -> None:
    numbered = [(f"{LONG} number {at}", "a") for at in range(500)]

    assert told(reported(numbered), "near_duplicate")[2] == [f"train:{at}" for at in range(1, 500)]


def test_of_a_pair_both_texts_must_be_alike() -> None:
    rows: list[tuple[Any, ...]] = [
        (LONG, "Who explained it?", "a"),
        (LONG, "Where was it?", "a"),  # another question about the same passage
        (f"{LONG}!", "Who explains it?", "a"),
        ("😀", "Who explained it?", "a"),
        (LONG, "", "a"),
    ]
    report = reported(rows, [(f"{LONG}s", "What is a harbour?", "a"), (f"{LONG}s", "Where was it", "b")])

    assert told(report, "near_duplicate")[2] == ["train:2"]
    (leak,) = (one for one in document(report)["checks"] if one["name"] == "split_leak")
    assert leak["near"] == {"count": 1, "rows": ["train:1", "validation:1"]}


def test_texts_without_a_letter_and_of_one_letter_are_no_obstacle() -> None:
    texts = ["😀😀", "😡😡", "!!!", "...", "a", "b", "好", "壞", "\x00", "\u200b", "x" * 100_000, "ab", "abc"]

    assert told(reported([(text, "a") for text in texts]), "near_duplicate") == ("PASS", 0, [])
