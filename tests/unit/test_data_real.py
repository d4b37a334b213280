"""Real labelled data, faults included; skipped where the folder FINETUNE30_DATA is absent."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.data_cases import configured

from finetune30.data import load
from finetune30.data.local import read_local


def test_sst2_sentences_have_three_splits(shared_data: Path) -> None:
    splits = load(configured(shared_data / "sst2_sent"))

    assert {name: len(split) for name, split in splits.items()} == {
        "train": 6920,
        "validation": 872,
        "test": 1821,
    }
    assert splits.label_names == ("0", "1")
    assert splits.counts["train"]["labels"] == {"0": 3310, "1": 3610}


def test_banking77_has_77_named_labels(shared_data: Path) -> None:
    splits = load(configured(shared_data / "banking77"))

    assert len(splits.label_names) == 77
    assert list(splits.label_names) == sorted(splits.label_names)
    assert {len(splits.train), len(splits.validation)} == {9001, 1002}


def test_chinese_texts_are_read_and_the_clean_splits_can_be_named(shared_data: Path) -> None:
    folder = shared_data / "chnsenticorp"

    assert len(load(configured(folder)).validation) == 1200
    clean = load(configured(folder, validation_split="dev_clean", test_split="test_clean"))
    assert clean.test is not None
    assert (len(clean.validation), len(clean.test)) == (839, 844)


def test_airline_tweets_leave_the_file_as_found_alone_and_say_so(shared_data: Path) -> None:
    splits = load(configured(shared_data / "airline_tweets"))

    assert len(splits.train) == 11_712
    assert f"ignored in {shared_data}/airline_tweets: Tweets.csv; only split files count" in splits.notes


def test_the_tweets_as_found_are_14640_rows_with_line_feeds_in_their_texts(shared_data: Path) -> None:
    path = shared_data / "airline_tweets" / "Tweets.csv"

    splits = load(configured(path, text_column="text", label_column="airline_sentiment"))

    assert len(splits.train) + len(splits.validation) == 14_640
    assert splits.counts["train"]["labels"] | splits.counts["validation"]["labels"] == {
        "negative": 918,
        "neutral": 310,
        "positive": 236,
    }
    assert any("\n" in text for text in splits.train.texts)


def test_the_spam_file_as_found_is_read_as_latin1_and_says_so(shared_data: Path) -> None:
    path = shared_data / "sms_spam" / "spam_kaggle_latin1.csv"

    table = read_local(str(path), configured(path, text_column="v2", label_column="v1")).tables["train"]

    assert len(table.texts) == 5572
    assert set(table.labels.cells) == {"ham", "spam"}
    assert any("£" in text for text in table.texts[:50])
    assert f"{path} is windows-1252 (Latin-1), read as such" in table.notes
    assert f"{path}: 50 rows have cells in columns without a name, which are not read" in table.notes


@pytest.mark.parametrize(("file", "rows"), [("train", 9600), ("dev", 1200)])
def test_chinese_reviews_saved_as_gbk_are_found_to_be_gbk(
    shared_data: Path, tmp_path: Path, file: str, rows: int
) -> None:
    source = shared_data / "chnsenticorp" / f"{file}.tsv"
    path = tmp_path / "rows.tsv"
    path.write_text(source.read_text("utf-8"), "gb18030")

    table = read_local(str(path), configured(path)).tables["train"]

    assert len(table.texts) == rows
    assert table.texts == read_local(str(source), configured(source)).tables["train"].texts
    assert table.notes[0] == f"{path} is GBK (GB 18030), read as such"


def test_ten_chinese_reviews_saved_as_gbk_are_enough(shared_data: Path, tmp_path: Path) -> None:
    header, *lines = (shared_data / "chnsenticorp" / "dev_clean.tsv").read_text("utf-8").splitlines()
    for at in range(0, 800, 40):
        path = tmp_path / f"{at}.tsv"
        path.write_text("\n".join([header, *(f"{line[:20]}\t1" for line in lines[at : at + 10])]), "gb18030")

        table = read_local(str(path), configured(path)).tables["train"]

        assert table.notes[0] == f"{path} is GBK (GB 18030), read as such"
