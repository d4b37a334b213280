"""``finetune30 data validate`` and ``analyze``: what people and scripts read, exit codes, the repaired copy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.cli_cases import GOOD, Cli, run_here, write_csv
from tests.data_cases import jsonl
from tests.version_cases import listed

from finetune30.data.quality import CHECKS

FAULTY = [
    *GOOD,
    GOOD[0],  # a copy
    ("", "good"),  # empty
    ("<b>bold</b> words of the guests", "good"),  # HTML
    ("one of those hotels\x07", "bad"),  # a control character
    ("quite another hotel by the sea", "Good"),  # a variant: FAIL
]


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs ``finetune30 data ARGUMENTS`` in an empty folder; no traceback ever."""
    return run_here(monkeypatch, capsys, tmp_path, "data")


# validate ---------------------------------------------------------------------------------------


def test_a_good_dataset_passes_with_exit_code_0(data: Cli) -> None:
    ended = data("validate", write_csv("rows.csv", GOOD))

    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "rows.csv: 60 train rows"
    assert "labels: bad 30, good 30 (balanced, 1 to 1)" in lines
    assert [line.split()[1] for line in lines if line[:4] in ("PASS", "WARN", "FAIL") and " " in line] == [*CHECKS]
    assert lines[-1] in ("PASS", "WARN")


def test_a_faulty_dataset_fails_with_exit_code_1_and_names_its_rows(data: Cli) -> None:
    ended = data("validate", write_csv("rows.csv", FAULTY))

    assert ended.code == 1
    assert ended.out.splitlines()[-1] == "FAIL"
    assert re.search(r"FAIL +label_variant +1 row spells its .*'Good' for 'good'\n +train:64\n", ended.out)
    assert re.search(r"WARN +empty .*\n +train:61\n", ended.out)


def test_a_warning_alone_is_exit_code_0(data: Cli) -> None:
    ended = data("validate", write_csv("rows.csv", [*GOOD, GOOD[0]]), "--json")

    assert (ended.code, ended.json["status"]) == (0, "WARN")


def test_json_is_one_object_in_the_last_line(data: Cli) -> None:
    ended = data("validate", write_csv("rows.csv", FAULTY), "--json")

    report = ended.json
    assert ended.code == 1
    assert len(ended.out.splitlines()) == 1
    assert (report["status"], report["total_samples"], report["splits"]) == ("FAIL", 65, {"train": 65})
    assert report["label_counts"] == {"Good": 1, "bad": 32, "good": 32}
    assert report["imbalance_ratio"] == 32
    assert report["is_balanced"] is False
    assert [check["name"] for check in report["checks"]] == [*CHECKS]
    found = {check["name"]: check for check in report["checks"]}
    for check in report["checks"]:
        assert {"name", "status", "count", "rows"} <= check.keys()
    assert found["duplicate"]["rows"] == ["train:60"]
    assert (found["empty"]["count"], found["empty"]["rows"]) == (1, ["train:61"])
    assert found["html"]["rows"] == ["train:62"]
    assert found["control_chars"]["rows"] == ["train:63"]


def test_the_rules_and_columns_of_a_configuration_count(data: Cli) -> None:
    write_csv(
        "rows.csv", [(f"hotel{at}", text, label) for at, (text, label) in enumerate(GOOD)], ("short", "long", "gold")
    )
    Path("rules.yaml").write_text(
        "data: {dataset_name: rows.csv, text_column: short, label_column: gold, validation_rules: {min_text_length: 7}}"
    )

    def short(*arguments: str) -> int:
        checks = data("validate", *arguments, "--json").json["checks"]
        return next(check["count"] for check in checks if check["name"] == "too_short")

    assert short("--config", "rules.yaml") == 10
    assert short("--config", "rules.yaml", "--set", "data.validation_rules.min_text_length=6") == 0
    assert short("--config", "rules.yaml", "--text-column", "long") == 0
    assert short("rows.csv", "--text-column", "short", "--label-column", "gold") == 0
    assert short("rows.csv", "--text_column", "short", "--label_column", "gold") == 0


NAMES = [
    "[x]",
    "{x: y}",
    'a "b" c',
    '"open',
    "it's",
    "null",
    "true",
    "1",
    "~",
    "a, b",
    "x # y",
    "- x",
    "評論 欄",
    "*x",
    "a=b",
]


@pytest.mark.parametrize("name", NAMES)
def test_columns_and_files_may_have_any_name(data: Cli, name: str) -> None:
    header = (f"{name}", "first", f"{name} gold")
    write_csv(f"{name}.csv", [(text, f"note {at}", label) for at, (text, label) in enumerate(GOOD)], header)

    columns = ("--text-column", "first", "--text-pair-column", name, "--label-column", f"{name} gold")
    report = data("validate", f"./{name}.csv", *columns, "--json").json

    assert report["label_counts"] == {"bad": 30, "good": 30}
    assert report["source"] == f"./{name}.csv"


def test_a_pair_is_judged_as_a_pair(data: Cli) -> None:
    rows = [("the same question", text, label) for text, label in GOOD]
    write_csv("rows.csv", rows, ("text", "other", "label"))

    def duplicates(*arguments: str) -> int:
        checks = data("validate", "rows.csv", *arguments, "--json").json["checks"]
        return next(check["count"] for check in checks if check["name"] == "duplicate")

    assert duplicates("--text-pair-column", "other") == 0
    assert duplicates() == 59


def test_the_built_in_reviews_need_no_arguments_more(data: Cli, tmp_path: Path) -> None:
    ended = data("validate", "builtin:reviews", "--json")

    assert ended.code == 0
    assert ended.json["status"] in ("PASS", "WARN")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["rowz.csv"], "data_invalid", ["rowz.csv", "did you mean 'rows.csv'?"]),
        (["rows.csv", "--label-column", "lable"], "data_invalid", ["'lable'", "did you mean 'label'?"]),
        (["rows.csv", "--text-column", "[no]"], "data_invalid", ["no column '[no]'"]),
        (["rows.csv", "--text-column", ""], "config_invalid", ["data.text_column"]),
        (["rows.csv", "--set", "data.text_colum=x"], "config_invalid", ["did you mean data.text_column?"]),
        (["rows.csv", "--config", "none.yaml"], "config_invalid", ["none.yaml"]),
        (["rows.csv", "--fix"], "bad_input", ["--fix and --out go together"]),
        (["rows.csv", "--out", "new.csv"], "bad_input", ["--fix and --out go together"]),
        (["rows.csv", "--fix", "--out", "rows.csv"], "bad_input", ["exists already"]),
        (["rows.csv", "--fix", "--out", "dead"], "bad_input", ["exists already"]),
        (["rows.csv", "--fix", "--out", "new.xlsx"], "data_invalid", [".xlsx cannot be written"]),
        (["rows.csv", "--fix", "--out", "rows.csv/new.csv"], "storage_unusable", ["cannot be written"]),
        (["version:gold"], "not_found", ["'gold'"]),
        (["builtin:revews"], "data_invalid", ["did you mean 'reviews'?"]),
    ],
)
def test_bad_input_is_one_clear_message_and_exit_code_2(
    data: Cli, tmp_path: Path, arguments: list[str], code: str, words: list[str]
) -> None:
    write_csv("rows.csv", GOOD)
    Path("dead").symlink_to("nowhere")

    ended = data("validate", *arguments, "--json")

    assert (ended.code, ended.json["error"]["code"]) == (2, code)
    for word in words:
        assert word in ended.err
    assert listed(tmp_path) == ["dead", "rows.csv"]


# The repaired copy ------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["new.csv", "new.jsonl", "new.parquet", "new.tsv", "new"])
def test_what_was_fixed_passes_when_it_is_checked_again(data: Cli, out: str) -> None:
    before = Path(write_csv("rows.csv", FAULTY)).read_bytes()

    ended = data("validate", "rows.csv", "--fix", "--out", out, "--json")

    assert ended.code == 0
    fixed = ended.json["fixed"]
    assert fixed["fixes"] == {"empty": 1, "html": 1, "control_chars": 1, "label_variant": 1, "duplicate": 1}
    assert fixed["rows"] == {"train": 63}
    assert [Path(file).is_file() for file in fixed["files"]] == [True]
    again = data("validate", out, "--json")
    checks = {check["name"]: check["status"] for check in again.json["checks"]}
    assert [checks[name] for name in fixed["fixes"]] == ["PASS"] * 5
    assert again.code == 0
    assert again.json["label_counts"] == {"bad": 31, "good": 32}
    assert Path("rows.csv").read_bytes() == before


def test_people_read_what_was_fixed_and_where_it_is(data: Cli) -> None:
    ended = data("validate", write_csv("rows.csv", FAULTY), "--fix", "--out", "new/fixed.csv")

    assert ended.code == 0
    assert "fixed: empty 1, html 1, control_chars 1, duplicate 1, label_variant 1\n" in ended.out
    assert "written: new/fixed.csv (63 train rows)" in ended.out
    assert "apostrophe" not in ended.out
    assert ended.out.endswith("the copy: WARN, left to you: near_duplicate\n")
    assert Path("new/fixed.csv").read_text().splitlines()[0] == "text,label,row"


def test_a_copy_that_still_fails_is_a_failure(data: Cli) -> None:
    torn = [(text, label) for text, _ in GOOD[:10] for label in ("good", "bad")]

    ended = data("validate", write_csv("rows.csv", torn), "--fix", "--out", "new.csv", "--json")

    assert ended.code == 1
    assert ended.json["fixed"]["failed"] == ["contradictory_label"]


def test_a_fix_can_be_left_out_by_name(data: Cli) -> None:
    rows = write_csv("rows.csv", [*GOOD, ("<b>good</b> food by the sea", "good")])

    assert data("validate", rows, "--fix", "--out", "new.csv", "--skip", "html").code == 0
    assert "<b>good</b>" in Path("new.csv").read_text()
    wrong = data("validate", rows, "--fix", "--out", "other.csv", "--skip", "htm")
    assert (wrong.code, "did you mean 'html'?" in wrong.err) == (2, True)


def test_s72_it_is_said_when_a_csv_got_apostrophes(data: Cli) -> None:
    rows = [*GOOD, ("=cmd|' /C calc'!A0 of a hotel", "good")]

    ended = data("validate", write_csv("rows.csv", rows), "--fix", "--out", "new.csv")

    assert "1 cells begin with = + - or @" in ended.out
    assert (
        "\"'=cmd|' /C calc'!A0" in Path("new.csv").read_text() or "'=cmd|' /C calc'!A0" in Path("new.csv").read_text()
    )


def test_a_folder_keeps_its_format_unless_that_would_change_a_text(data: Cli) -> None:
    for folder, text in (("plain", "a fine hotel by the sea"), ("run", "=a fine hotel by the sea")):
        Path(folder).mkdir()
        write_csv(f"{folder}/train.csv", [*GOOD, (text, "good")])
        write_csv(f"{folder}/validation.csv", [(f"held out hotel {at} by a lake", "good") for at in range(3)])
        Path(folder, "notes.tsv").write_text("not a split")
        data("validate", folder, "--fix", "--out", f"{folder} fixed")

    assert listed(Path("plain fixed")) == ["train.csv", "validation.csv"]
    assert listed(Path("run fixed")) == ["train.jsonl", "validation.jsonl"]
    assert '"=a fine hotel by the sea"' in Path("run fixed/train.jsonl").read_text()


def test_several_labels_and_pairs_say_how_to_read_the_copy(data: Cli) -> None:
    rows = [{"text": text, "also": f"{text} too", "label": [label, "all"]} for text, label in GOOD]
    Path("rows.jsonl").write_text(jsonl(*rows))

    ended = data("validate", "rows.jsonl", "--text-pair-column", "also", "--fix", "--out", "new.csv")

    told = """read it with: --set 'data.text_pair_column="also"' --set 'data.label_separator="|"'\n"""
    assert told in ended.out
    read = data("validate", "new.csv", "--text-pair-column", "also", "--set", "data.label_separator=|", "--json")
    assert read.json["label_counts"] == {"all": 60, "bad": 30, "good": 30}


# uploads ----------------------------------------------------------------------------------------


def test_an_upload_is_checked_by_its_name(data: Cli, tmp_path: Path) -> None:
    from finetune30.data.uploads import UploadStore

    store = UploadStore(tmp_path / "data")
    with store.receive(
        "ana", "../rows.csv", "csv", purpose="dataset", limit_bytes=0, quota_bytes=0, quota_files=0
    ) as arriving:
        arriving.write(Path(write_csv("rows.csv", GOOD)).read_bytes())
        upload = arriving.finish()

    ended = data("validate", f"upload:{upload.id}")

    assert ended.code == 0
    assert ended.out.splitlines()[0] == f"upload:{upload.id}: 60 train rows"
    assert data("validate", "upload:ds-0123456789abcdef").code == 2
