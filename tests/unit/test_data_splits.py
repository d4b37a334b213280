"""Cutting and sampling: seeded, in shares, the same on every machine; the fingerprint of what is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_cases import balanced, configured, write_tsv

from finetune30.data import Split, Splits, load
from finetune30.data.splits import cut as cut_rows
from finetune30.data.splits import sample
from finetune30.errors import DataError


def cut(labels: list[str], share: float, seed: int, texts: list[int] | None = None) -> tuple[list[int], list[int]]:
    """The cut of rows with these labels; each has a text of its own unless ``texts`` says otherwise."""
    codes = np.array([*map(ord, labels)], np.int32)
    keys = np.arange(len(labels)) if texts is None else np.array(texts)
    staying, leaving = cut_rows(codes, share, seed, keys.astype(np.uint64))
    return staying.tolist(), leaving.tolist()


LABELS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=200)
SHARES = st.floats(0.01, 0.5)
SEEDS = st.integers(0, 2**32 - 1)


@given(LABELS, SHARES, SEEDS)
def test_a_cut_is_a_partition_in_ascending_order(labels: list[str], share: float, seed: int) -> None:
    staying, leaving = cut(labels, share, seed)

    assert sorted(staying + leaving) == list(range(len(labels)))
    assert staying == sorted(staying)
    assert leaving == sorted(leaving)


@given(LABELS, SHARES, SEEDS)
def test_every_label_gives_its_share_to_the_nearest_row(labels: list[str], share: float, seed: int) -> None:
    counts = Counter(labels)
    leaving = Counter(labels[at] for at in cut(labels, share, seed)[1])

    for label, count in counts.items():
        assert abs(leaving[label] - (count * share if count > 1 else 0)) <= 1


def test_the_largest_remainders_get_the_rows_that_are_left() -> None:
    labels = ["a"] * 13 + ["b"] * 17 + ["c"] * 14  # shares of a tenth: 1.3, 1.7 and 1.4, together 4.4

    assert Counter(labels[at] for at in cut(labels, 0.1, seed=0)[1]) == {"a": 1, "b": 2, "c": 1}


@given(LABELS, SHARES, SEEDS)
def test_no_label_leaves_train_and_no_part_is_empty(labels: list[str], share: float, seed: int) -> None:
    staying, leaving = cut(labels, share, seed)

    assert {labels[at] for at in staying} == set(labels)
    assert bool(leaving) == any(count > 1 for count in Counter(labels).values())


@given(LABELS, SHARES, SEEDS)
def test_no_text_is_on_both_sides_of_a_cut(labels: list[str], share: float, seed: int) -> None:
    texts = [at // 3 for at in range(len(labels))]

    staying, leaving = cut(labels, share, seed, texts)

    assert not {texts[at] for at in staying} & {texts[at] for at in leaving}
    assert sorted(staying + leaving) == list(range(len(labels)))
    assert {labels[at] for at in staying} == set(labels)


def test_texts_that_occur_once_go_before_those_with_copies() -> None:
    labels, texts = ["a", "b"] * 20, [*range(20), *range(10), *range(20, 30)]

    leaving = cut(labels, 0.3, 1, texts)[1]

    assert len(leaving) == 12
    assert all(texts.count(texts[at]) == 1 for at in leaving)


@given(st.integers(20, 200), SHARES, SEEDS)
def test_the_cut_has_the_size_asked_for(count: int, share: float, seed: int) -> None:
    leaving = cut(["a", "b"] * count, share, seed)[1]

    assert abs(len(leaving) - 2 * count * share) <= 0.5 + 1e-9 or len(leaving) == 1


@given(st.data(), st.integers(1, 300), SEEDS)
def test_a_sample_has_the_size_asked_for_and_keeps_the_order(data: st.DataObject, count: int, seed: int) -> None:
    wanted = data.draw(st.integers(1, count))
    taken = sample(count, wanted, seed, "train").tolist()

    assert len(set(taken)) == wanted
    assert taken == sorted(taken)
    assert set(taken) <= set(range(count))
    assert set(sample(count, max(1, wanted - 1), seed, "train")) <= set(taken)


def test_every_row_is_equally_likely_to_be_sampled() -> None:
    drawn = Counter(at for seed in range(2000) for at in sample(10, 3, seed, "train"))

    assert all(500 < drawn[at] < 700 for at in range(10))  # 600 expected, 20 standard deviation


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_tsv(tmp_path / "rows.tsv", balanced(200, ("a", "b", "b", "b")))


def test_a_missing_validation_split_is_cut_from_train_and_said(rows: Path) -> None:
    splits = load(configured(rows))

    assert (len(splits.train), len(splits.validation)) == (180, 20)
    assert splits.counts["validation"]["labels"] == {"a": 5, "b": 15}
    assert sorted([*splits.train.rows, *splits.validation.rows]) == list(range(200))
    assert any("20 of 200 train rows" in note and "seed 42" in note for note in splits.notes)


def test_rows_are_places_in_the_file_they_were_cut_from(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "rows.tsv", [("", "a"), *balanced(40)])

    splits = load(configured(path))

    for _, split in splits.items():
        assert all(text == f"text number {row - 1}" for text, row in zip(split.texts, split.rows, strict=True))


def test_validation_size_and_seed_decide_the_cut(rows: Path) -> None:
    assert len(load(configured(rows, validation_size=0.25)).validation) == 50
    one, again, other = (load(configured(rows, seed=seed)) for seed in (1, 1, 2))
    assert [*one.validation.rows] == [*again.validation.rows] != [*other.validation.rows]
    assert one.fingerprint == again.fingerprint


def test_labels_with_one_row_each_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every label has one row"):
        load(configured(write_tsv(tmp_path / "rows.tsv", [("x", "a"), ("y", "b")])))


def test_a_validation_file_is_used_as_it_is(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20))
    write_tsv(tmp_path / "valid.tsv", balanced(6))

    splits = load(configured(tmp_path))

    assert (len(splits.train), [*splits.validation.rows]) == (20, [*range(6)])


def test_samples_are_drawn_at_random_with_the_seed_and_said(rows: Path) -> None:
    splits = load(configured(rows, train_samples=50, eval_samples=8))

    assert (len(splits.train), len(splits.validation)) == (50, 8)
    assert [*splits.train.rows] != [*range(50)]
    assert splits.counts["train"] | {"labels": None} == {
        "read": 200,
        "dropped": {"empty": 0, "too_short": 0, "too_long": 0},
        "stripped": 0,
        "cut": 20,
        "kept": 180,
        "sampled": 50,
        "labels": None,
    }
    assert "train: 50 of 180 rows sampled with seed 42" in splits.notes


def test_a_sample_of_train_does_not_change_the_validation_rows(rows: Path) -> None:
    fewer, all_rows = load(configured(rows, train_samples=50)), load(configured(rows))

    assert [*fewer.validation.texts] == [*all_rows.validation.texts]


def test_asking_for_more_than_there_is_uses_all_and_says_so(rows: Path) -> None:
    splits = load(configured(rows, train_samples=10_000))

    assert len(splits.train) == 180
    assert "train: 10000 samples asked for, there are 180: all are used" in splits.notes


def test_a_sample_with_one_label_left_is_refused(rows: Path) -> None:
    with pytest.raises(DataError, match="one label only is left to train on") as refused:
        load(configured(rows, train_samples=1))

    assert "data.train_samples" in str(refused.value.hint)


def test_the_test_split_is_never_sampled(tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        write_tsv(tmp_path / f"{name}.tsv", balanced(20))

    splits = load(configured(tmp_path, train_samples=10, eval_samples=5))

    assert splits.test is not None
    assert len(splits.test) == 20


def test_counts_can_be_written_as_json(rows: Path) -> None:
    counts = load(configured(rows)).counts

    assert json.loads(json.dumps(counts)) == counts


def a_split(*texts: str) -> Split:
    return Split(texts, np.zeros(len(texts), int), np.arange(len(texts)))


@pytest.mark.parametrize(
    "change",
    [
        {"train": a_split("ab", "d")},
        {"train": a_split("a", "bd")},
        {"train": Split(("a", "b"), np.array([0, 1]), np.arange(2))},
        {"train": Split(("a", "b"), np.zeros(2, int), np.arange(2), ("c", "d"))},
        {"train": a_split("b", "a")},
        {"validation": a_split("w")},
        {"test": a_split("v")},
        {"label_names": ("y", "x")},
    ],
)
def test_the_fingerprint_changes_with_any_row_in_use(change: dict[str, object]) -> None:
    splits = Splits(a_split("a", "b"), a_split("v"), None, ("x", "y"), "here", (), {})

    assert len(splits.fingerprint) == 64
    assert replace(splits, **change).fingerprint != splits.fingerprint


def test_the_fingerprint_does_not_depend_on_where_the_rows_lie() -> None:
    splits = Splits(a_split("a"), a_split("v"), None, ("x", "y"), "here", (), {})

    assert replace(splits, source="there", notes=("moved",)).fingerprint == splits.fingerprint


def test_the_same_rows_come_out_whatever_the_hash_seed(tmp_path: Path) -> None:
    rows = write_tsv(tmp_path / "rows.tsv", balanced(315, "abcdefg"))  # 4.5 rows of each label: ties to break
    code = (
        "import sys; from tests.data_cases import configured; from finetune30.data import load;"
        "print(load(configured(sys.argv[1], train_samples=90, eval_samples=9)).fingerprint)"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code, str(rows)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(prints) == 1
    assert load(configured(rows, train_samples=90, eval_samples=9)).fingerprint + "\n" in prints


def test_the_sample_of_a_seed_is_pinned() -> None:
    # A change here changes every recorded experiment with train_samples: never by accident.
    assert sample(1000, 5, 42, "train sample").tolist() == [63, 117, 669, 843, 964]
