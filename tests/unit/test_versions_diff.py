"""Two versions side by side: matched by content, one by one, copies included."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.version_cases import Row, frozen, splits_of

from finetune30.data.versions import Difference, VersionStore, compare

Placed = tuple[str, str, str]
"""Split, text and label."""


def difference(
    before: tuple[Sequence[Row], Sequence[Row]], after: tuple[Sequence[Row], Sequence[Row]], **named: Sequence[str]
) -> Difference:
    """Of two versions, each given as train and validation rows."""
    with tempfile.TemporaryDirectory() as folder:
        store = VersionStore(Path(folder))
        versions = [frozen(store, splits_of(*rows, **named)) for rows in (before, after)]
        return compare(*(store.folder(version.id) for version in versions))


def test_rows_are_added_removed_relabelled_and_moved() -> None:
    before = [("same", "a"), ("gone", "a"), ("other label", "a"), ("other split", "b")], [("held out", "b")]
    after = [("new", "b"), ("other label", "b"), ("same", "a")], [("held out", "b"), ("other split", "b")]

    found = difference(before, after)

    assert found.unchanged == 2
    assert [(row.place, row.text, row.label) for row in found.added] == [("train:0", "new", "b")]
    assert [(row.place, row.text, row.label) for row in found.removed] == [("train:1", "gone", "a")]
    ((one, other),) = found.relabelled
    assert (one.place, one.label, other.place, other.label) == ("train:2", "a", "train:1", "b")
    ((one, other),) = found.moved
    assert (one.place, other.place, one.text) == ("train:3", "validation:1", "other split")


def test_the_order_of_rows_is_no_difference() -> None:
    rows = [(f"text {at}", "ab"[at % 2]) for at in range(50)]

    found = difference((rows, [("x", "a")]), (rows[::-1], [("x", "a")]))

    assert (found.unchanged, found.added, found.removed, found.relabelled, found.moved) == (51, [], [], [], [])


def test_copies_are_matched_one_by_one() -> None:
    found = difference(
        ([("twice", "a"), ("twice", "a"), ("x", "b")], [("y", "b")]),
        ([("twice", "a"), ("twice", "b"), ("twice", "a"), ("twice", "b"), ("x", "b")], [("y", "b")]),
    )

    assert found.unchanged == 4
    assert [row.place for row in found.added] == ["train:1", "train:3"]
    assert (found.removed, found.relabelled, found.moved) == ([], [], [])


def test_the_second_text_of_a_pair_counts() -> None:
    before = [("one", "a", "two"), ("a\x1f", "b", "b"), ("none", "a", "")], [("x", "a", "y")]
    after = [("one", "a", "three"), ("a", "b", "\x1fb"), ("none", "b", "")], [("x", "a", "y")]

    found = difference(before, after)

    assert [(row.text, row.pair) for row in found.added] == [("one", "three"), ("a", "\x1fb")]
    assert [(row.text, row.pair) for row in found.removed] == [("one", "two"), ("a\x1f", "b")]
    assert [(one.label, other.label, other.pair) for one, other in found.relabelled] == [("a", "b", "")]
    assert found.unchanged == 1


def test_rows_that_became_pairs_are_other_rows() -> None:
    found = difference(([("one", "a")], [("x", "a")]), ([("one", "a", "")], [("x", "a", "")]))

    assert (len(found.added), len(found.removed), found.unchanged) == (2, 2, 0)


def test_several_labels_are_a_set() -> None:
    before = [("same", ["a", "b"]), ("fewer", ["a", "b"]), ("torn", ["a + b"])], [("x", ["c"])]
    after = [("same", ["b", "a"]), ("fewer", []), ("torn", ["a", "b"])], [("x", ["c"])]
    with tempfile.TemporaryDirectory() as folder:
        store = VersionStore(Path(folder))
        one = frozen(store, splits_of(*before, names=["a", "b", "c", "a + b"]))
        other = frozen(store, splits_of(*after, names=["b", "c", "a"]))
        found = compare(store.folder(one.id), store.folder(other.id))

    assert found.unchanged == 2
    assert [(a.text, a.label, b.label) for a, b in found.relabelled] == [
        ("fewer", "a + b", ""),
        ("torn", "a + b", "b + a"),
    ]


def oracle(before: Sequence[Placed], after: Sequence[Placed]) -> tuple[int, list, list, list, list]:
    """The same by brute force: positions added, removed, relabelled, moved."""
    left, right = dict(enumerate(before)), dict(enumerate(after))

    def matched(key: Callable[[Placed], Hashable]) -> list[tuple[int, int]]:
        waiting = defaultdict(list)
        for at, row in right.items():
            waiting[key(row)].append(at)
        pairs = [(at, waiting[key(row)].pop(0)) for at, row in left.items() if waiting[key(row)]]
        for one, other in pairs:
            del left[one], right[other]
        return pairs

    same = matched(lambda row: row)
    relabelled = matched(lambda row: row[:2])
    moved = matched(lambda row: row[1:])
    return len(same), [*right], [*left], relabelled, moved


ROWS = st.lists(
    st.tuples(st.sampled_from(["train", "validation"]), st.sampled_from("xyz"), st.sampled_from("ab")), max_size=12
)


@settings(max_examples=60)
@given(ROWS, ROWS)
def test_it_is_what_brute_force_finds(before: list[Placed], after: list[Placed]) -> None:
    def parts(rows: list[Placed]) -> tuple[list[Row], list[Row]]:
        train, validation = ([row[1:] for row in rows if row[0] == name] for name in ("train", "validation"))
        return train, validation

    def ordered(rows: list[Placed]) -> list[Placed]:
        return sorted(rows, key=lambda row: row[0])  # train first, as the files are read

    def numbers(rows: list[Placed], places: Sequence[str]) -> list[int]:
        held = sum(row[0] == "train" for row in rows)
        return [int(at) + (held if name == "validation" else 0) for name, at in (place.split(":") for place in places)]

    found = difference(parts(before), parts(after), names=["a", "b"])
    same, added, removed, relabelled, moved = oracle(ordered(before), ordered(after))

    assert found.unchanged == same
    assert numbers(ordered(after), [row.place for row in found.added]) == added
    assert numbers(ordered(before), [row.place for row in found.removed]) == removed
    for pairs, expected in ((found.relabelled, relabelled), (found.moved, moved)):
        ones, others = (numbers(rows, [pair[side].place for pair in pairs]) for side, rows in ((0, before), (1, after)))
        assert [*zip(ones, others, strict=True)] == expected


@pytest.mark.parametrize("rows", [0, 1])
def test_empty_splits_are_compared_too(rows: int) -> None:
    found = difference(([("x", "a")] * rows, []), ([], [("x", "a")]), names=["a"])

    assert (len(found.added), len(found.moved)) == (1 - rows, rows)
