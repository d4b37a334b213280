"""Labels: variants of one name, rare ones, imbalance, splits that disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.data_cases import configured
from tests.quality_cases import document, reported, sound, told

from finetune30.data import find
from finetune30.data.quality import inspect


def labelled(labels: list[Any], start: int = 0) -> list[tuple[Any, ...]]:
    """Different texts with these labels."""
    texts = [*(text for text, _ in sound(500)), *(text for text, _ in sound(400, name="builtin:reviews-zh"))]
    return [(texts[start + at], label) for at, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "variants", "status"),
    [
        (["good"] * 9 + ["Good"], {"Good": "good"}, "FAIL"),
        (["very good"] * 9 + ["very_good", "Very-Good"], {"very_good": "very good", "Very-Good": "very good"}, "FAIL"),
        (["ｇｏｏｄ", "good", "good"], {"ｇｏｏｄ": "good"}, "FAIL"),
        (["good"] * 3 + ["good ", "\tgood", "good\r"], {"good ": "good", "\tgood": "good", "good\r": "good"}, "WARN"),
        (["good "] * 3, {"good ": "good"}, "WARN"),
        (["good "] * 3 + ["GOOD"], {"good ": "good", "GOOD": "good"}, "FAIL"),
        ([("a", "b"), ("A",), ("b",), ("a",)], {"A": "a"}, "FAIL"),
        (["straße", "STRASSE", "straße"], {"STRASSE": "straße"}, "FAIL"),
        (["not - good", "not good", "not good"], {"not - good": "not good"}, "FAIL"),
    ],
)
def test_spellings_of_one_label_are_named_with_the_most_frequent_one(
    labels: list[Any], variants: dict[str, str], status: str
) -> None:
    report = reported(labelled(labels))

    rows = [at for at, cell in enumerate(labels) if set(variants) & set(cell if isinstance(cell, tuple) else [cell])]
    assert told(report, "label_variant") == (status, len(rows), [f"train:{at}" for at in rows])
    assert report["label_variant"].details == {"variants": variants}


@pytest.mark.parametrize(
    "labels",
    [
        ["-1", "0", "1"],
        ["A-", "A", "A+", "B-", "B"],
        ["c", "c++", "c#"],
        ["good", "goods", "go od"],
        ["好", "很好"],
        ["1", "1.5", "01"],
        ["is -1", "is 1"],
        ["-", "_", "--"],
        ["😀", "😡"],
        [None, "", " ", "a"],
    ],
)
def test_labels_that_mean_something_else_are_no_variants(labels: list[Any]) -> None:
    assert told(reported(labelled(labels * 9)), "label_variant") == ("PASS", 0, [])


def test_variants_are_counted_through_all_splits() -> None:
    report = reported(labelled(["Good"] * 2), labelled(["good"] * 3, 2), labelled(["good", "Good"], 5))

    assert told(report, "label_variant") == ("FAIL", 3, ["train:0", "train:1", "test:1"])


def test_a_label_with_few_train_rows_is_rare() -> None:
    labels = ["often"] * 8 + ["seldom"] * 7 + ["once "]
    report = reported(labelled(labels), labelled(["seldom"] * 20, 16))

    assert told(report, "rare_class") == ("WARN", 8, [f"train:{at}" for at in range(8, 16)])
    assert report["rare_class"].details == {"labels": {"seldom": 7, "once": 1}}
    assert report["rare_class"].found == "labels with fewer than 8 train rows: 'once' 1, 'seldom' 7"


@pytest.mark.parametrize(("least", "rare"), [(0, set()), (1, set()), (2, {"b"}), (5, {"a", "b"})])
def test_the_configuration_says_from_when_a_label_is_rare(least: int, rare: set[str]) -> None:
    report = reported(labelled(["a"] * 4 + ["b"]), rules={"min_rows_per_label": least})

    assert set(report["rare_class"].details["labels"]) == rare
    assert report["rare_class"].count == sum({"a": 4, "b": 1}[name] for name in rare)


def test_each_label_of_a_row_counts_by_itself() -> None:
    report = reported(labelled([("a", "b")] * 8 + [("a",)] * 20 + [("a", "c")] * 2 + [()] * 5))

    assert told(report, "rare_class")[2] == ["train:28", "train:29"]
    assert report["imbalance"].details == {"ratio": 15.0, "labels": ["b", "c"]}
    assert report.label_counts == {"a": 30, "b": 8, "c": 2}
    assert told(report, "label_set") == ("PASS", 0, [])


@pytest.mark.parametrize(
    ("few", "status", "balanced"), [(10, "PASS", True), (9, "WARN", False), (30, "PASS", True), (31, "PASS", True)]
)
def test_more_than_three_to_one_is_an_imbalance(few: int, status: str, balanced: bool) -> None:
    report = reported(labelled(["a"] * 30 + ["b"] * few))

    assert told(report, "imbalance") == (status, int(not balanced), [])
    assert report.is_balanced is balanced
    assert document(report)["imbalance_ratio"] == round(max(30, few) / min(30, few), 2)
    assert report["imbalance"].details.get("labels", []) == ([] if balanced else ["b"])


@pytest.mark.parametrize(
    ("splits", "answer", "absent"),
    [
        ((["a", "b"], ["a", "b"], ["b", "a"]), ("PASS", 0, []), {}),
        ((["a", "b"], ["a", "c"], ["b", "a"]), ("FAIL", 1, ["validation:1"]), {"validation": ["b"]}),
        ((["a", "b"], ["a", "b"], ["z", "a", "z"]), ("FAIL", 2, ["test:0", "test:2"]), {"test": ["b"]}),
        (
            (["a", None, "b", ""], ["a", " "]),
            ("FAIL", 3, ["train:1", "train:3", "validation:1"]),
            {"validation": ["b"]},
        ),
        ((["a", "b", "c"], ["a"]), ("WARN", 2, []), {"validation": ["b", "c"]}),
        ((["a ", "b"], ["a", " b"]), ("PASS", 0, []), {}),
        ((["a", "b"], ["a", "b"], [None, None]), ("PASS", 0, []), {}),  # a test split without answers
        ((["0", "1"], ["0", "1"], ["-1", "-1"]), ("PASS", 0, []), {}),
        ((["0", "1"], ["0", "1"], ["", " "]), ("PASS", 0, []), {}),
        ((["0", "1"], [None, None]), ("FAIL", 2, ["validation:0", "validation:1"]), {"validation": ["0", "1"]}),
        ((["0", "1"], ["0", "1"], ["0", None]), ("FAIL", 1, ["test:1"]), {"test": ["1"]}),
        (([("a", "b"), ("b",)], [("a", "c"), ("b",)]), ("FAIL", 1, ["validation:0"]), {}),
        (([None, None],), ("FAIL", 2, ["train:0", "train:1"]), {}),
    ],
)
def test_splits_must_know_the_same_labels_and_every_row_one(
    splits: tuple[list[Any], ...], answer: tuple[str, int, list[str]], absent: dict[str, list[str]]
) -> None:
    report = reported(*(labelled(labels, 10 * at) for at, labels in enumerate(splits)))

    assert told(report, "label_set") == answer
    assert report["label_set"].details == {"absent": absent}


def test_a_label_that_is_a_whole_text_does_not_fill_the_screen() -> None:
    report = reported(labelled(["a" * 100_000, "b" * 100_000 + "\n", "a" * 100_000]), labelled(["c" * 100_000], 3))

    lines = list(report.lines())
    assert max(map(len, lines)) < 400
    assert all("\n" not in line for line in lines)
    (rare,) = (one for one in document(report)["checks"] if one["name"] == "rare_class")
    assert rare["labels"] == {"a" * 100_000: 2, "b" * 100_000: 1}


@pytest.mark.timeout(60)  # seconds of linear work; quadratic, it was minutes
def test_very_many_labels_take_no_quadratic_time() -> None:
    report = reported([(f"text {at}", f"label {at} ") for at in range(60_000)])

    assert (report["label_variant"].count, report["rare_class"].count) == (60_000, 60_000)


def test_a_csv_test_split_with_an_empty_label_column_is_left_out_as_a_run_does(tmp_path: Path) -> None:
    lines = [f'"{text}",{label}' for text, label in sound(40)]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *lines[:30]]) + "\n", encoding="utf-8")
    unanswered = [line.rpartition(",")[0] + "," for line in lines[30:]]
    (tmp_path / "test.csv").write_text("\n".join(["text,label", *unanswered]) + "\n", encoding="utf-8")
    config = configured(tmp_path)

    report = inspect(find(config), config)

    assert report.failed == []
    assert report.label_counts == {"negative": 15, "positive": 15}
