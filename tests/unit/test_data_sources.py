"""Which rows a dataset name means: a built-in, a file, a folder; never a guess."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.data_cases import balanced, configured, jsonl, write_tsv

from finetune30.data import load
from finetune30.data.naming import glance
from finetune30.errors import DataError


def test_the_built_in_reviews_are_balanced_and_in_three_splits() -> None:
    splits = load(configured("builtin:reviews"))

    assert splits.label_names == ("negative", "positive")
    assert splits.test is not None
    assert sum(len(split) for _, split in splits.items()) >= 600
    for _, split in splits.items():
        assert 0.45 < sum(split.labels) / len(split) < 0.55
        assert [*split.rows] == [*range(len(split))]


def test_the_built_in_reviews_repeat_no_text() -> None:
    texts = [text.casefold() for _, split in load(configured("builtin:reviews")).items() for text in split.texts]

    assert len(set(texts)) == len(texts)


def test_an_unknown_built_in_names_those_there_are() -> None:
    with pytest.raises(DataError, match="no such built-in dataset; there is builtin:reviews"):
        load(configured("builtin:review"))


def test_a_folder_is_read_by_the_names_of_its_files(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20))
    (tmp_path / "Dev.JSONL").write_text(jsonl({"text": "x", "label": "good"}))
    (tmp_path / "test.csv").write_text("text,label\ny,bad\n")

    splits = load(configured(tmp_path))

    assert splits.test is not None
    assert (len(splits.train), [*splits.validation.texts], [*splits.test.texts]) == (20, ["x"], ["y"])
    assert splits.source == str(tmp_path)


@pytest.mark.parametrize("name", ["dev", "valid", "validation", "val"])
def test_a_validation_file_may_have_any_usual_name(tmp_path: Path, name: str) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20))
    write_tsv(tmp_path / f"{name}.tsv", balanced(3))

    assert len(load(configured(tmp_path)).validation) == 3


@pytest.mark.parametrize("pair", [("dev.tsv", "valid.tsv"), ("train.csv", "train.tsv"), ("test.jsonl", "test.tsv")])
def test_two_files_for_one_split_are_refused_with_both_names(tmp_path: Path, pair: tuple[str, str]) -> None:
    for name in {"train.tsv", *pair}:
        write_tsv(tmp_path / name, balanced(20))

    with pytest.raises(DataError, match=f"two .* splits: {pair[0]} and {pair[1]}"):
        load(configured(tmp_path))


def test_other_files_in_the_folder_are_left_alone_and_said(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20))
    for name in ("dev_old.tsv", "notes.txt", "model.pkl", ".hidden"):
        (tmp_path / name).write_text("x")
    (tmp_path / "more").mkdir()

    notes = load(configured(tmp_path)).notes

    assert f"ignored in {tmp_path}: dev_old.tsv, model.pkl, more, notes.txt; only split files count" in notes


def test_a_missing_train_split_names_the_files_there_are(tmp_path: Path) -> None:
    write_tsv(tmp_path / "dev.tsv", balanced(20))

    with pytest.raises(DataError, match=r"there is no train split; there is dev\.tsv") as refused:
        load(configured(tmp_path))

    assert "data.train_split" in str(refused.value.hint)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no train split; there is nothing"):
        load(configured(tmp_path))


def test_the_configuration_may_name_the_split_files(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20))
    write_tsv(tmp_path / "dev.tsv", balanced(4))
    write_tsv(tmp_path / "dev_clean.tsv", balanced(3))

    assert len(load(configured(tmp_path, validation_split="dev_clean")).validation) == 3
    with pytest.raises(DataError, match="there is no split 'dev_clear'") as refused:
        load(configured(tmp_path, validation_split="dev_clear"))
    assert refused.value.hint == "did you mean 'dev_clean'?"


def test_one_split_cannot_have_two_roles(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20))
    write_tsv(tmp_path / "dev.tsv", balanced(4))

    with pytest.raises(DataError, match="one split has two roles"):
        load(configured(tmp_path, validation_split="dev", test_split="dev"))


def test_a_split_that_is_named_for_validation_is_not_the_test_split_too(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20))
    write_tsv(tmp_path / "test.tsv", balanced(4))

    splits = load(configured(tmp_path, validation_split="test"))

    assert (len(splits.validation), splits.test) == (4, None)


def test_the_columns_of_train_are_those_of_every_split(tmp_path: Path) -> None:
    write_tsv(tmp_path / "train.tsv", balanced(20), header="sentence\tlabel")
    write_tsv(tmp_path / "dev.tsv", balanced(4))

    with pytest.raises(DataError, match="no column 'sentence'; the columns are 'text', 'label'") as refused:
        load(configured(tmp_path))

    assert refused.value.where == f"{tmp_path}/dev.tsv"


def test_a_single_file_is_train_and_gives_the_validation_split(tmp_path: Path) -> None:
    splits = load(configured(write_tsv(tmp_path / "test.tsv", balanced(50))))

    assert (len(splits.train), len(splits.validation), splits.test) == (45, 5, None)


@pytest.mark.parametrize("key", ["train_split", "validation_split", "test_split"])
def test_a_single_file_has_no_splits_to_name(tmp_path: Path, key: str) -> None:
    path = write_tsv(tmp_path / "rows.tsv", balanced(20))

    with pytest.raises(DataError, match=f"data.{key} is set, but a single file has no splits"):
        load(configured(path, **{key: "train"}))


@pytest.mark.parametrize("key", ["dataset_config", "revision"])
def test_keys_of_the_hub_are_refused_for_local_data(tmp_path: Path, key: str) -> None:
    path = write_tsv(tmp_path / "rows.tsv", balanced(20))

    for name in (path, "builtin:reviews"):
        with pytest.raises(DataError, match=f"data.{key} is set"):
            load(configured(name, **{key: "main"}))


@pytest.mark.parametrize("name", ["./data/rows", "/nowhere/rows", "rows.csv", "a/b/rows", "rows.pkl", "../rows", "x/"])
def test_what_looks_like_a_path_and_is_not_there_is_never_asked_of_the_hub(name: str) -> None:
    with pytest.raises(DataError, match="no such file") as refused:
        load(configured(name))

    assert refused.value.where == name


def test_a_misspelt_file_name_hints_at_the_near_ones(tmp_path: Path) -> None:
    write_tsv(tmp_path / "reviews.tsv", balanced(2))

    with pytest.raises(DataError, match="no such file") as refused:
        load(configured(tmp_path / "review.tsv"))

    assert refused.value.hint == f"did you mean '{tmp_path}/reviews.tsv'?"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("plain.cvs", "plain.csv"),
        ("Plain.cvs", "plain.csv"),
        ("my.dataa", "my.data"),
        ("sub/plain.tst", "sub/plain.tsv"),
    ],
)
def test_a_misspelt_ending_is_answered_before_the_hub_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.data").mkdir()
    (tmp_path / "sub").mkdir()
    write_tsv(tmp_path / "plain.csv", balanced(2))
    write_tsv(tmp_path / "sub" / "plain.tsv", balanced(2))

    for look in (load, glance):
        with pytest.raises(DataError, match="no such file or folder") as refused:
            look(configured(name))
        assert refused.value.hint == f"did you mean '{meant}'?"


def test_an_ending_in_common_makes_no_suggestion(tmp_path: Path) -> None:
    write_tsv(tmp_path / "unread.csv", balanced(2))

    with pytest.raises(DataError, match="no such file") as refused:
        load(configured(tmp_path / "nope.csv"))

    assert refused.value.hint == f"{tmp_path} holds unread.csv"


def test_a_name_of_the_hub_is_asked_of_the_hub_whatever_lies_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tsv(tmp_path / "imdb.csv", balanced(2))

    for name in ("imdb", "ana/imdb.v2", "sst2.v1"):
        glance(configured(name))


def test_a_file_in_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file") as refused:
        load(configured(tmp_path / "gone" / "rows.csv"))

    assert refused.value.hint == f"the folder {tmp_path}/gone cannot be read: no such file or directory"


@pytest.mark.parametrize(
    "name",
    [
        "http://localhost:1/rows.csv",
        "hf://datasets/a/b",
        "zip://a::http://b",
        "a/b**",
        "a..b/c",
        "a b",
    ],
)
def test_addresses_and_patterns_are_no_datasets(name: str) -> None:
    with pytest.raises(DataError, match="neither an existing path nor a hub id"):
        load(configured(name))


def test_the_data_room_loads_without_torch_pyarrow_or_datasets() -> None:
    code = (
        "import sys, finetune30.data;print([name for name in ('torch', 'pyarrow', 'datasets') if name in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert out == "[]\n"
