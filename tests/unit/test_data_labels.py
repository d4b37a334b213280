"""Labels: names or whole numbers, in one order, never missing, never unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_cases import balanced, configured, write_tsv

from finetune30.data import load
from finetune30.data.labels import ordered
from finetune30.errors import DataError


def labelled(tmp_path: Path, labels: list[object]) -> Path:
    return write_tsv(tmp_path / "rows.tsv", [(f"text {at}", label) for at, label in enumerate(labels)])


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["2", "10", "x"], ("10", "2", "x")),
        (["01", "1", "2"], ("01", "1", "2")),
        (["spam", "ham", "Ham"], ("Ham", "ham", "spam")),
        (["好", "差"], ("好", "差")),
        (["1.0", "2.0", "10.0"], ("1.0", "10.0", "2.0")),
    ],
)
def test_whole_numbers_are_sorted_as_numbers_and_anything_else_by_name(
    tmp_path: Path, labels: list[str], names: tuple[str, ...]
) -> None:
    splits = load(configured(labelled(tmp_path, labels * 5)))

    assert splits.label_names == names
    assert [splits.label_names[label] for label in splits.train.labels] == [
        (labels * 5)[row] for row in splits.train.rows
    ]


@given(st.permutations(["7", "007", "-3", "10", "+2"]))
def test_the_order_of_labels_does_not_depend_on_the_order_of_rows(labels: list[str]) -> None:
    assert ordered(labels) == ("-3", "+2", "007", "7", "10")


def test_white_space_around_labels_is_taken_off_and_said(tmp_path: Path) -> None:
    path = labelled(tmp_path, ["good", " good", "bad ", "bad"] * 5)

    splits = load(configured(path))

    assert splits.label_names == ("bad", "good")
    assert f"{path}: white space around 10 labels was taken off" in splits.notes


def test_labels_come_from_the_whole_train_split_before_sampling(tmp_path: Path) -> None:
    path = labelled(tmp_path, ["a", "b"] * 50 + ["rare"] * 2)

    splits = load(configured(path, train_samples=10, seed=1))

    assert splits.label_names == ("a", "b", "rare")
    assert splits.counts["train"]["labels"]["rare"] == 0
    assert "train: no row in use has label 'rare'" in splits.notes


def test_a_label_that_the_rules_leave_without_rows_is_said(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "rows.tsv", [*balanced(20), ("", "rare"), ("", "rare")])

    splits = load(configured(path))

    assert splits.label_names == ("bad", "good", "rare")
    assert "train: no row in use has label 'rare'" in splits.notes


@pytest.mark.parametrize("labels", [["same"] * 20, ["1"] * 20])
def test_one_label_only_is_refused(tmp_path: Path, labels: list[object]) -> None:
    with pytest.raises(DataError, match="the train split holds one label only") as refused:
        load(configured(labelled(tmp_path, labels)))

    assert refused.value.exit_code == 2


def test_missing_labels_name_at_most_five_rows_and_the_count(tmp_path: Path) -> None:
    path = labelled(tmp_path, ["a", "b", "", " "] * 5)

    with pytest.raises(DataError, match="10 of 20 rows in use have no label") as refused:
        load(configured(path))

    assert "line 4 (row 2), line 5 (row 3)" in refused.value.message
    assert refused.value.message.endswith("line 12 (row 10) and 5 more")


def test_a_row_that_the_rules_drop_needs_no_label(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "rows.tsv", [*balanced(20), ("", "")])

    assert load(configured(path)).counts["train"]["dropped"]["empty"] == 1


def test_labels_that_train_never_shows_are_named_with_their_first_rows(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20))
    write_tsv(tmp_path / "dev.tsv", [("fine", "good"), ("odd", "Good"), ("odd too", "ugly")])

    with pytest.raises(DataError, match="labels that the train split does not have: 'Good', 'ugly'") as refused:
        load(configured(tmp_path))

    assert refused.value.where == f"{tmp_path}/dev.tsv"
    assert "line 3 (row 1), line 4 (row 2)" in refused.value.message
    assert "'bad', 'good'" in str(refused.value.hint)


def test_a_configured_number_of_labels_that_is_not_the_datas_is_refused(tmp_path: Path) -> None:
    path = labelled(tmp_path, ["a", "b"] * 10)

    with pytest.raises(DataError, match=r"model\.num_labels is 3, the train split has 2: a, b"):
        load(configured(path, num_labels=3))

    assert load(configured(path, num_labels=2)).label_names == ("a", "b")


@pytest.mark.parametrize("label", ["-1", ""])
def test_a_test_split_without_answers_is_left_out_and_said(tmp_path: Path, label: str) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20, (0, 1)))
    write_tsv(tmp_path / "test.tsv", [("what is it", label)] * 3)

    splits = load(configured(tmp_path))

    assert splits.test is None
    assert "test" not in splits.counts
    assert "test split left out: none of its 3 rows has a label" in splits.notes


def test_minus_one_is_a_label_where_train_uses_it(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20, (-1, 1)))
    write_tsv(tmp_path / "test.tsv", [("no", -1)])

    splits = load(configured(tmp_path))

    assert splits.test is not None
    assert splits.label_names[splits.test.labels[0]] == "-1"
