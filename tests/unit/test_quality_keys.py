"""Equal rows found in bounded memory, and all rows of all splits under one numbering."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.quality_cases import dataset, numbers

from finetune30.data.quality.keys import KeyFile

HIGHEST = (1 << 64) - 1


def grouped(keys: list[int], open_rows: list[bool], at_once: int, written: int = 3) -> list[list[int]]:
    file = KeyFile(at_once)
    for start in range(0, len(keys), written):
        file.append(np.array(keys[start : start + written], np.uint64))
    found = []
    for groups in file.groups(np.array(open_rows, bool)):
        assert len(groups.group_of) == len(groups.rows)
        for number in range(len(groups.starts)):
            found.append(groups.rows[groups.group_of == number].tolist())
    file.close()
    return found


KEYS = st.integers(0, 3) | st.sampled_from([HIGHEST, HIGHEST - 1, 1 << 63, (1 << 63) - 1]) | st.integers(0, HIGHEST)


@given(st.lists(st.tuples(KEYS, st.booleans() | st.just(True)), min_size=6, max_size=40), st.integers(1, 12))
def test_rows_with_equal_keys_are_found_whatever_the_number_of_parts(
    rows: list[tuple[int, bool]], at_once: int
) -> None:
    expected = defaultdict(list)
    for row, (key, is_open) in enumerate(rows):
        if is_open:
            expected[key].append(row)

    found = grouped([key for key, _ in rows], [is_open for _, is_open in rows], at_once)

    assert found == [expected[key] for key in sorted(expected) if len(expected[key]) > 1]


def test_equal_keys_far_apart_in_a_large_file_meet() -> None:
    file = KeyFile(1 << 12)
    keys = np.arange(300_000, dtype=np.uint64) * np.uint64(61_489_146_912_000)  # spread over the whole range
    keys[299_999] = keys[0]
    keys[140_000] = keys[131_072]
    file.append(keys)

    found = [groups.rows.tolist() for groups in file.groups(np.ones(len(keys), bool))]
    file.close()

    assert found == [[0, 299_999], [131_072, 140_000]]


def test_rows_are_numbered_train_first_and_named_by_their_place_in_the_split() -> None:
    data = dataset([("a", "x")] * 3, [("b", "x")] * 2, [("c", "y")] * 2)

    assert (len(data), data.roles) == (7, ("train", "validation", "test"))
    assert data.starts.tolist() == [0, 3, 5, 7]
    assert list(data.names(numbers(6, 0, 4, 0, 2))) == ["train:0", "train:2", "validation:1", "test:1"]
    assert {role: rows.tolist() for role, rows in data.by_split(numbers(5, 1, 5)).items()} == {
        "train": [1],
        "test": [0],
    }
    assert data.split_of(numbers(0, 2, 3, 4, 5)).tolist() == [0, 0, 1, 1, 2]
    assert list(data.texts()) == ["a"] * 3 + ["b"] * 2 + ["c"] * 2


def test_a_split_that_is_absent_or_empty_takes_no_number() -> None:
    assert list(dataset([("a", "x")], None, [("c", "x")]).names(numbers(0, 1))) == ["train:0", "test:0"]
    assert list(dataset([("a", "x")], [], [("c", "x")]).names(numbers(0, 1))) == ["train:0", "test:0"]
    assert list(dataset([], [("b", "x")]).names(numbers(0))) == ["validation:0"]


def test_texts_of_some_rows_come_from_every_split_and_pairs_together() -> None:
    one = dataset([("a", "x"), ("b", "x")], [("c", "x")])
    two = dataset([("a", "1", "x"), ("b", "2", "x")], [("c", "3", "x")])

    assert one.texts_at(numbers(1, 2)) == ["b", "c"]
    assert one.columns_at(numbers(0)) == (["a"], [])
    assert two.texts_at(numbers(0, 2)) == ["a\x1f1", "c\x1f3"]
    assert two.columns_at(numbers(1, 2)) == (["b", "c"], ["2", "3"])
    assert list(two.texts()) == ["a\x1f1", "b\x1f2", "c\x1f3"]
    assert one.texts_at(numbers()) == two.texts_at(numbers()) == []


@pytest.mark.parametrize(
    ("train", "test", "numbered"),
    [
        (["x", " x", "y\t", "y"], ["y"], [0, 0, 1, 1, 1]),  # white space is taken off by a run
        (["x", "", " ", None], ["x"], [0, -1, -1, -1, 0]),
        (["0", "1", "0"], ["-1", "-1"], [0, 1, 0, -1, -1]),  # what benchmarks write where they keep the answers
        (["-1", "1", "0"], ["-1", "-1"], [0, 1, 2, 0, 0]),  # but here it is a label
        (["0", "1"], ["-1", "1"], [0, 1, 2, 1]),
        ([("a",), ("a", "b"), ()], [("a", "b")], [0, 1, 2, 1]),
        (["a", ("a",), ("a", "b")], ["a"], [0, 0, 1, 0]),  # several labels: a single one is a set of one
    ],
)
def test_labels_are_numbered_as_a_run_reads_them(train: list[object], test: list[object], numbered: list[int]) -> None:
    data = dataset([("text", label) for label in train], None, [("text", label) for label in test])

    assert data.labels.tolist() == numbered
