"""Real labelled data, faults included; skipped where the folder FINETUNE30_DATA is absent."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.data_cases import configured

from finetune30.data import load
from finetune30.errors import DataError


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


def test_the_spam_file_in_latin1_is_refused_with_the_row(shared_data: Path) -> None:
    path = shared_data / "sms_spam" / "spam_kaggle_latin1.csv"

    with pytest.raises(DataError, match="is not UTF-8") as refused:
        load(configured(path, text_column="v2", label_column="v1"))

    assert refused.value.where == f"{path}: line 7 (row 5)"
    assert len(load(configured(shared_data / "sms_spam")).train) == 4461
