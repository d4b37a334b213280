"""The report: one verdict for each check, every row named, JSON and lines that agree."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_cases import configured, jsonl
from tests.quality_cases import dataset, document, reported, sound, told

from finetune30.data import find
from finetune30.data.quality import CHECKS, Check, QualityReport, Verdict, inspect
from finetune30.data.quality import report as reporting

NAMES = (
    "empty too_short too_long html control_chars duplicate near_duplicate contradictory_label label_variant rare_class "
    "imbalance label_set split_leak truncation language personal_data shortcut"
)
ODD = ['a "quote"', "two\nlines", "back\\slash", "😀", "x\u2028y", "\x1b[31m", "tab\t", "ß", "名", "{}", "a,b"]


def test_every_report_answers_all_checks_in_one_order() -> None:
    assert list(CHECKS) == NAMES.split()
    assert [one.name for one in reported(sound(20)).checks] == NAMES.split()


def test_sound_data_passes_every_check() -> None:
    report = reported(sound(60), sound(20, 60), sound(20, 80), spoken={"en"})

    assert {one.name for one in report.checks if one.status is not Verdict.PASS} == set()
    assert (report.status, report.failed, report.is_balanced) == (Verdict.PASS, [], True)
    assert list(report.lines())[-1] == "PASS"


@pytest.mark.parametrize(
    ("verdicts", "worst"), [("PPP", "PASS"), ("PWP", "WARN"), ("WFP", "FAIL"), ("F", "FAIL"), ("", "PASS")]
)
def test_the_status_of_a_report_is_the_worst_of_its_checks(verdicts: str, worst: str) -> None:
    by_letter = {str(verdict)[0]: verdict for verdict in Verdict}
    checks = [Check(f"check {at}", by_letter[letter]) for at, letter in enumerate(verdicts)]
    report = QualityReport(dataset(sound(2)), "rows", checks, {}, 1.0, True)

    assert report.status == worst
    assert [one.name for one in report.failed] == [f"check {at}" for at, x in enumerate(verdicts) if x == "F"]


LABELS = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=("Cs",)), max_size=5), st.tuples(st.text("ab", max_size=2)),
    st.sampled_from(ODD),
)  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ["same", "SAME ", "ann@b.org"]
)
ROWS = st.lists(st.tuples(TEXTS, LABELS), max_size=6)


@given(ROWS, st.none() | ROWS, st.none() | ROWS, st.sampled_from([None, {"en"}, {"zh"}]))
def test_the_json_of_any_rows_can_be_read_and_says_what_the_report_says(
    train: list[Any], validation: list[Any] | None, test: list[Any] | None, spoken: set[str] | None
) -> None:
    report = reported(train, validation, test, spoken=spoken)

    read = document(report)

    sizes = {"train": train, "validation": validation, "test": test}
    assert read["splits"] == {role: len(rows) for role, rows in sizes.items() if rows is not None}
    assert read["total_samples"] == sum(read["splits"].values())
    assert read["label_counts"] == report.label_counts
    assert read["status"] == report.status
    for one, its in zip(report.checks, read["checks"], strict=True):
        assert (one.name, str(one.status), one.count, one.found) == (
            its["name"],
            *(its[k] for k in ("status", "count", "found")),
        )
        assert its["rows"] == list(report.dataset.names(one.rows))
        assert (one.status is Verdict.PASS) == (not its["found"] or its["found"].startswith("not looked at"))
        assert set(one.details) <= set(its)
        for name in its["rows"]:
            role, _, row = name.partition(":")
            assert int(row) < read["splits"][role]
    assert all("\n" not in line for line in report.lines())
    assert json.loads(json.dumps(report.summary()))["checks"] == report.summary()["checks"]


def test_odd_labels_are_told_as_they_are_in_json_and_on_one_line_to_people() -> None:
    report = reported(
        [(text, ODD[at % len(ODD)]) for at, (text, _) in enumerate(sound(110))], [(sound(1)[0][0], "a'\n")]
    )

    read = document(report)
    assert set(read["label_counts"]) == {name.strip() for name in ODD} | {"a'"}
    lines = list(report.lines())
    assert all(line.isprintable() for line in lines)
    assert "labels: '\\x1b[31m' 10" in lines[1]


def test_rows_are_complete_in_json_and_the_first_five_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "_WRITTEN_AT_ONCE", 7)
    report = reported([("", "a"), ("fine text", "b")] * 50, [("", "a")])

    assert told(report, "empty")[2] == [*(f"train:{at}" for at in range(0, 100, 2)), "validation:0"]
    assert report.rows_shown(report["empty"]) == "train:0, train:2, train:4, train:6, train:8 and 46 more"
    assert report.rows_shown(reported([("", "a")])["empty"]) == "train:0"


def test_lines_tell_status_rows_and_what_to_do() -> None:
    lines = list(reported([*sound(20), ("<b>bold words</b>", "positive")], sound(9, 20)).lines())

    assert lines[0] == "rows: 21 train rows, 9 validation rows"
    assert lines[1] == "labels: positive 16, negative 14 (balanced, 1.14 to 1 in all splits)"
    at = next(number for number, line in enumerate(lines) if " html " in line)
    assert lines[at].split() == ["WARN", "html", "1", "text", "holds", "HTML", "tags", "or", "entities"]
    assert [line.strip() for line in lines[at + 1 : at + 3]] == [
        "train:20",
        "data.validation_rules.remove_html: true strips it in a run",
    ]


def test_more_fields_are_written_at_the_end() -> None:
    stream = io.StringIO()
    reported(sound(2)).write_json(stream, {"fixed": {"rows": {"train": 2}}})

    read = json.loads(stream.getvalue())
    assert list(read)[-1] == "fixed"
    assert read["fixed"] == {"rows": {"train": 2}}
    assert "\n" not in stream.getvalue()


def test_data_that_no_run_takes_fails_before_it_is_tried() -> None:
    nothing = reported([], [], [])
    assert [one.name for one in nothing.failed] == ["empty", "label_set"]
    assert (nothing.label_counts, nothing.imbalance_ratio) == ({}, 1.0)
    assert document(nothing)["splits"] == {"train": 0, "validation": 0, "test": 0}

    untold = reported([("one text", None), ("", None)], None, [])
    assert [one.name for one in untold.failed] == ["empty", "label_set"]  # the test split has no row

    assert told(reported([("one row", "a")]), "rare_class") == ("WARN", 1, ["train:0"])
    assert [one.name for one in reported([("", "a")] * 3).failed] == ["empty", "label_set"]
    assert [one.name for one in reported([("some words", "a")] * 3).failed] == ["label_set"]
    with_pairs = reported([("", "", "a"), ("a", "", "b")], [])
    assert told(with_pairs, "empty")[2] == ["train:0"]


def test_a_real_folder_is_named_by_the_places_of_its_rows_in_the_files(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in sound(30)]
    (tmp_path / "train.jsonl").write_text(jsonl({"text": " ", "label": "positive"}, *rows), encoding="utf-8")
    (tmp_path / "dev.jsonl").write_text(jsonl(*rows[:2], {"text": "new words here", "label": "odd"}), encoding="utf-8")
    config = configured(tmp_path, rules={"min_text_length": 5})

    report = inspect(find(config), config)

    assert told(report, "empty") == ("WARN", 1, ["train:0"])
    assert told(report, "split_leak") == ("FAIL", 2, ["train:1", "train:2", "validation:0", "validation:1"])
    assert told(report, "label_set") == ("FAIL", 1, ["validation:2"])
    assert report.source == str(tmp_path)
    assert document(report)["notes"] == list(report.notes)


def test_asking_for_a_check_by_name_gives_numbered_rows() -> None:
    rows = reported(sound(3), [("", "a")])["empty"].rows

    assert isinstance(rows, np.ndarray)
    assert rows.tolist() == [3]
