"""The same text twice: duplicates, leaks between splits, contradictory labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.quality_cases import dataset, document, reported, sound, told

from finetune30.data.fold import folded
from finetune30.data.quality.copies import Copies, find_copies
from finetune30.data.quality.rows import Dataset

Splits = list[list[tuple[Any, ...]]]


def copies_of(data: Dataset) -> Copies:
    return find_copies(data, np.array([bool(text.strip("\x1f ")) for text in data.texts()], bool))


LETTERS = st.sampled_from(["a", "A", "a ", " a", "b", "a b", "A  b", "ab", "", " ", "ß", "SS", "İ", "\u3000b"])
LABELS = st.sampled_from(["x", "y", "z", None])
ONE = st.tuples(LETTERS, LABELS)
TWO = st.tuples(LETTERS, LETTERS, LABELS)
SPLITS = st.one_of(*(st.lists(st.lists(row, max_size=8), min_size=1, max_size=3) for row in (ONE, TWO)))


@given(SPLITS)
def test_copies_are_those_that_a_look_at_every_two_rows_finds(splits: Splits) -> None:
    every = [(at, tuple(map(folded, row[:-1])), row) for at, rows in enumerate(splits) for row in rows]
    filled = [row for row, (_, text, _) in enumerate(every) if any(text)]
    same = {row: [other for other in filled if every[other][1] == every[row][1]] for row in filled}
    later = [row for row in filled if any(o < row and every[o][0] == every[row][0] for o in same[row])]
    to_the_letter = [
        row
        for row in filled
        if any(o < row and every[o][0] == every[row][0] and every[o][2][:-1] == every[row][2][:-1] for o in same[row])
    ]
    crossing = {row: {every[other][0] for other in same[row]} for row in filled}
    leaking = [row for row in filled if 0 in crossing[row] and len(crossing[row]) > 1]
    labels = {row: {every[other][2][-1] for other in same[row]} - {None} for row in filled}
    # A test split that tells no label at all is no side of a contradiction; here None says the same.
    torn = [row for row in filled if len(labels[row]) > 1 and every[row][2][-1] is not None]

    copies = copies_of(dataset(*splits))

    assert np.flatnonzero(copies.later).tolist() == later
    assert copies.exact == len(to_the_letter)
    assert np.flatnonzero(copies.leaked).tolist() == [row for row in leaking if every[row][0] > 0]
    assert copies.leaking.tolist() == leaking
    assert copies.torn.tolist() == torn
    assert copies.torn_texts == len({every[row][1] for row in torn})
    for at, role in enumerate(dataset(*splits).roles):
        within: dict[Any, set[Any]] = {}
        for row in torn:
            if every[row][0] == at:
                within.setdefault(every[row][1], set()).add(every[row][2][-1])
        assert copies.torn_in[role] == sum(len(told) > 1 for told in within.values())


def test_a_duplicate_is_a_later_row_of_its_split_whatever_its_case_spaces_and_label() -> None:
    train = [*sound(20), ("It was  a GOOD day\n", "positive"), ("it was a good day", "negative"), sound(1)[0]]
    report = reported(train, [*sound(9, 20), sound(1, 20)[0]], [*sound(9, 40)])

    assert told(report, "duplicate") == ("WARN", 3, ["train:21", "train:22", "validation:9"])
    assert report["duplicate"].details == {"exact": 2}
    assert told(report, "split_leak") == ("PASS", 0, [])


def test_a_leak_names_every_row_involved_and_counts_the_held_out_ones() -> None:
    twice = ("What is in train twice", "positive")
    train = [*sound(40), twice, ("what is in train  twice", "positive")]
    held_out = [*sound(9, 40), ("WHAT IS IN TRAIN TWICE ", "positive")]
    report = reported(train, held_out, [*sound(5, 60), sound(1)[0], sound(1)[0]])

    assert told(report, "split_leak") == (
        "FAIL", 3, ["train:0", "train:40", "train:41", "validation:9", "test:5", "test:6"],
    )  # fmt: skip
    assert report["split_leak"].details["splits"] == {"validation": 1, "test": 2}
    assert "1 validation rows and 2 test rows" in report["split_leak"].found


@pytest.mark.parametrize(("held_out", "status"), [(99, "FAIL"), (100, "WARN"), (101, "WARN")])
def test_a_leak_fails_above_one_in_a_hundred_held_out_rows(held_out: int, status: str) -> None:
    rows = sound(300)
    report = reported(rows[:150], [*rows[151 : 150 + held_out], rows[3]])

    assert told(report, "split_leak") == (status, 1, ["train:3", f"validation:{held_out - 1}"])


def test_texts_shared_by_validation_and_test_alone_are_no_leak_from_train() -> None:
    assert told(reported(sound(20), sound(9, 20), sound(9, 20)), "split_leak") == ("PASS", 0, [])


def test_a_near_copy_of_a_train_row_stands_in_a_field_of_its_own() -> None:
    train = [*sound(30), ("The waiter brought the wrong soup and then forgot about us entirely.", "negative")]
    near = ("The waiter brought the wrong soup and then forgot about us entirely!! Really.", "positive")
    report = reported(train, [*sound(9, 30), near])

    assert told(report, "split_leak") == ("WARN", 0, [])
    (leak,) = (one for one in document(report)["checks"] if one["name"] == "split_leak")
    assert leak["near"] == {"count": 1, "rows": ["train:30", "validation:9"]}
    assert leak["found"] == "1 held-out rows have nearly the text of a train row"


def test_a_contradiction_names_every_row_in_every_split() -> None:
    train = [*sound(60), ("so so", "positive"), ("So  So", "negative"), ("well", "positive"), ("so so", "positive")]
    report = reported(train, [*sound(9, 60), ("so so", "negative")], [*sound(9, 80), ("WELL", "negative")])

    assert told(report, "contradictory_label") == (
        "FAIL", 6, ["train:60", "train:61", "train:62", "train:63", "validation:9", "test:9"],
    )  # fmt: skip
    assert report["contradictory_label"].details == {
        "texts": 2, "texts_by_split": {"train": 1, "validation": 0, "test": 0, "across": 1},
    }  # fmt: skip


@pytest.mark.parametrize(("rows", "status"), [(39, "FAIL"), (40, "WARN")])
def test_contradictions_fail_above_one_row_in_twenty(rows: int, status: str) -> None:
    report = reported([*sound(rows - 2), ("so so", "positive"), ("so so", "negative")])

    assert told(report, "contradictory_label")[:2] == (status, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [("good", "good "), ("good", None), ("good", ""), (("a", "b"), ("a", "b")), (("a",), "a"), ((), ())],
)
def test_labels_that_a_run_reads_as_the_same_or_as_none_do_not_contradict(one: Any, other: Any) -> None:
    report = reported([("the text", one), ("the text", other), ("another text", ("c",) if one == () else one)])

    assert told(report, "contradictory_label") == ("PASS", 0, [])


def test_sets_of_labels_contradict_when_they_differ() -> None:
    report = reported([("t", ("a", "b")), ("t", ("a",)), ("u", ()), ("u", ("a",)), ("v", ("b",)), ("v", ("b",))])

    assert told(report, "contradictory_label")[2] == [f"train:{at}" for at in range(4)]


@pytest.mark.parametrize("answers", ["-1", "", None])
def test_a_test_split_that_keeps_its_answers_leaks_but_contradicts_nothing(answers: str | None) -> None:
    rows = [(text, "1" if label == "positive" else "0") for text, label in sound(40)]
    report = reported(rows[:20], rows[20:30], [(text, answers) for text, _ in (*rows[30:39], rows[0])])

    assert told(report, "contradictory_label") == ("PASS", 0, [])
    assert told(report, "label_set") == ("PASS", 0, [])
    assert told(report, "label_variant") == ("PASS", 0, [])
    assert told(report, "split_leak") == ("FAIL", 1, ["train:0", "test:9"])
    assert report.label_counts == {"0": 15, "1": 15}


def test_words_do_not_move_from_one_text_of_a_pair_to_the_other() -> None:
    rows = [
        ("new york", "times", "a"),
        ("new", "york times", "b"),
        ("New York ", " TIMES", "a"),
        ("", "new york times", "b"),
        ("one\x1ftwo", "three", "a"),
        ("one", "two\x1fthree", "b"),  # joined they are the same to the letter
    ]
    report = reported(rows)

    assert told(report, "duplicate") == ("WARN", 1, ["train:2"])
    assert report["duplicate"].details == {"exact": 0}
    assert told(report, "contradictory_label") == ("PASS", 0, [])


def test_empty_texts_are_no_copies_of_each_other() -> None:
    report = reported([*sound(20), ("", "positive"), (" ", "negative")], [*sound(9, 20), ("\n", "positive")])

    assert [told(report, name)[0] for name in ("duplicate", "split_leak", "contradictory_label")] == ["PASS"] * 3
