"""What a run does with checks and versions of data: recorded, shared, kept while used, stopped at a FAIL."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Ended, Workplace

Cli = Callable[..., Ended]
SHORT = ("--epochs", "1", "--json")


def rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def faulty(workplace: Workplace) -> None:
    """A label in two spellings: FAIL."""
    with (workplace.path / "reviews" / "train.csv").open("a") as file:
        file.write("we found the film quite lovely and bright,Positive\n")
    with (workplace.path / "reviews" / "validation.csv").open("a") as file:
        file.write("a very kind and superb book we found,Positive\n")


def test_a_run_records_its_version_everywhere(workplace: Workplace, run_cli: Cli) -> None:
    ended = run_cli("train", str(workplace.config), *SHORT)

    assert ended.code == 0, ended.err
    folder = workplace.path / ended.json["folder"]
    (version,) = run_cli("data", "versions", "list", "--json").json["versions"]
    assert workplace.row(folder.name).dataset_hash == version["id"]
    assert f"data: version {version['id'][:12]}, 144 rows" in (folder / "logs.txt").read_text()
    assert json.loads((folder / "environment.json").read_text())["dataset_sha256"] == version["id"]
    report = json.loads((folder / "quality.json").read_text())
    shown = run_cli("data", "versions", "show", version["id"][:9], "--json").json
    metrics = json.loads((folder / "metrics.json").read_text())
    counts = {check["name"]: (check["status"], check["count"]) for check in report["checks"]}
    for summary in (metrics["data"]["quality"], shown["card"]["quality"]):
        assert summary["status"] == report["status"]
        assert {check["name"]: (check["status"], check["count"]) for check in summary["checks"]} == counts
    assert version["id"][:16] in (folder / "artifacts" / "final_model" / "README.md").read_text()
    assert version["splits"] == {"train": 96, "validation": 32, "test": 16}
    assert shown["card"]["source"] == "reviews"


def test_runs_on_the_same_rows_share_a_version_that_lives_as_long_as_they_do(
    workplace: Workplace, run_cli: Cli
) -> None:
    first = run_cli("train", str(workplace.config), *SHORT).json["id"]
    (version,) = run_cli("data", "versions", "list", "--json").json["versions"]
    run_cli("data", "versions", "tag", version["id"], "gold")
    again = run_cli("train", str(workplace.config), *SHORT, "--set", "data.dataset_name=version:gold")
    assert again.code == 0, again.err
    second = again.json["id"]

    shown = run_cli("data", "versions", "show", "gold", "--json").json
    assert sorted(shown["runs"]) == sorted([first, second])
    assert len(run_cli("data", "versions", "list", "--json").json["versions"]) == 1
    # A tag may move on: the run keeps the id.
    assert workplace.row(second).dataset == f"version:{version['id']}"

    run_cli("data", "versions", "untag", "gold")
    for run in (first, second):
        assert run_cli("data", "versions", "gc", "--json").json["versions"] == []
        assert run_cli("data", "versions", "delete", version["id"], "--yes", "--json").code == 2
        assert run_cli("runs", "delete", run, "--yes", "--json").code == 0
    assert run_cli("data", "versions", "gc", "--json").json["versions"] == [version["id"]]
    assert [*(workplace.path / "data" / "datasets").iterdir()] == []


def test_data_that_fails_its_checks_stops_before_anything_is_made(workplace: Workplace, run_cli: Cli) -> None:
    faulty(workplace)
    before = sorted(path.name for path in workplace.path.iterdir())

    ended = run_cli("train", str(workplace.config), *SHORT)

    assert (ended.code, ended.json["error"]["code"]) == (2, "data_quality")
    for words in ("label_variant", "finetune30 data validate reviews", "data.on_quality_fail: warn"):
        assert words in ended.err
    assert "Traceback" not in ended.err + ended.out
    assert sorted(path.name for path in workplace.path.iterdir()) == before
    assert run_cli("data", "validate", "reviews", "--json").code == 1


def test_it_trains_all_the_same_when_it_is_told_to_warn(workplace: Workplace, run_cli: Cli) -> None:
    faulty(workplace)

    ended = run_cli("train", str(workplace.config), *SHORT, "--set", "data.on_quality_fail=warn")

    assert ended.code == 0, ended.err
    folder = workplace.path / ended.json["folder"]
    assert "quality: FAIL label_variant" in (folder / "logs.txt").read_text()
    assert json.loads((folder / "metrics.json").read_text())["data"]["quality"]["status"] == "FAIL"


def test_a_repaired_copy_can_be_trained_on(workplace: Workplace, run_cli: Cli) -> None:
    faulty(workplace)

    fixed = run_cli("data", "validate", "reviews", "--fix", "--out", "repaired", "--json").json["fixed"]
    ended = run_cli("train", str(workplace.config), *SHORT, "--set", "data.dataset_name=repaired")

    assert fixed["fixes"] == {"label_variant": 2}
    assert sorted(path.name for path in (workplace.path / "repaired").iterdir()) == [
        "test.csv",
        "train.csv",
        "validation.csv",
    ]
    assert ended.code == 0, ended.err
    (version,) = run_cli("data", "versions", "list", "--json").json["versions"]
    assert version["label_names"] == ["negative", "positive"]


def test_a_label_that_sampling_took_out_of_train_does_not_stop_a_run_on_the_version(
    workplace: Workplace, run_cli: Cli
) -> None:
    """The version of a run is a dataset like the run's own: what could be trained can be trained again."""
    rewrite(workplace.path / "reviews" / "train.csv", "text,label\n", "text,label\nthe room found it a bit,mixed\n")
    with (workplace.path / "reviews" / "validation.csv").open("a") as file:
        file.write("we found the room quite a bit,mixed\n")
    first = run_cli("train", str(workplace.config), *SHORT, "--set", "data.train_samples=24")
    assert first.code == 0, first.err
    row = workplace.row(first.json["id"])
    (version,) = run_cli("data", "versions", "list", "--json").json["versions"]
    card = run_cli("data", "versions", "show", version["id"], "--json").json["card"]
    assert card["splits"]["train"]["labels"]["mixed"] == 0

    again = run_cli("train", str(workplace.config), *SHORT, "--set", f"data.dataset_name=version:{version['id']}")

    assert again.code == 0, again.err
    assert workplace.row(again.json["id"]).dataset_hash == row.dataset_hash


def test_a_paused_run_keeps_its_version_and_goes_on_only_with_the_same_rows(workplace: Workplace, run_cli: Cli) -> None:
    long = ("--set", "training.num_train_epochs=30", "--set", "training.save_steps=500")
    process = workplace.start("train", str(workplace.config), *long)
    deadline = time.monotonic() + 120
    while not (journals := [*workplace.results.glob("*/progress.jsonl")]) or not journals[0].read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=120)
    run = journals[0].parent.name
    assert (workplace.row(run).status, workplace.row(run).paused) == ("PENDING", True)
    train = workplace.path / "reviews" / "train.csv"

    assert run_cli("data", "versions", "gc", "--json").json["versions"] == []
    first_row = train.read_text().splitlines()[1]
    rewrite(train, first_row, f"very {first_row}")
    refused = run_cli("train", "--resume", run, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "state_conflict")
    assert "has changed since" in refused.err
    rewrite(train, f"very {first_row}", first_row)
    ended = run_cli("train", "--resume", run, "--json")

    assert ended.code == 0, ended.err
    (version,) = run_cli("data", "versions", "list", "--json").json["versions"]
    assert version["runs"] == [run]


@pytest.mark.parametrize("broken", ["taken", "taken/below"])
def test_a_data_folder_that_cannot_be_used_is_one_clear_error(
    workplace: Workplace, run_cli: Cli, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace.path / "taken").write_text("a file")
    monkeypatch.setenv("DATA_DIR", broken)

    ended = run_cli("train", str(workplace.config), *SHORT)

    assert (ended.code, ended.json["error"]["code"]) == (2, "storage_unusable")
    assert "DATA_DIR" in ended.err
    assert "Traceback" not in ended.err
    assert workplace.made() == []
