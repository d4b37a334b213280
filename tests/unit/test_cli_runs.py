"""``finetune30 runs``: see, follow, stop and remove experiments."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from finetune30.cli.runs import app
from finetune30.config import ExperimentConfig
from finetune30.errors import BadInput, NotFound, StateError, StorageError
from finetune30.experiments import ExperimentFolder, ExperimentStore, Status, open_store
from finetune30.settings import get_settings


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder that does not exist yet, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("TZ", "Asia/Taipei")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return tmp_path / "results"


@pytest.fixture
def store() -> Iterator[ExperimentStore]:
    store = open_store(get_settings())
    yield store
    store.close()


def runs(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def answer(*arguments: str) -> Any:
    """The JSON object in the last line of standard output."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(runs(*arguments, "--json").stdout.splitlines()[-1], parse_constant=refuse)


def made(store: ExperimentStore, results: Path, name: str = "reviews", log: str = "began\n") -> ExperimentFolder:
    id = store.create(ExperimentConfig(experiment_name=name), owner="ana", tz="Asia/Taipei").id
    folder = ExperimentFolder.create(results, id)
    folder.write_text(folder.config_yaml, "seed: 1\n")
    folder.logs_txt.write_text(log, encoding="utf-8")
    return folder


def revoked(store: ExperimentStore, results: Path, name: str = "reviews") -> ExperimentFolder:
    """A run that may be deleted."""
    folder = made(store, results, name)
    store.cancel(folder.id)
    return folder


def done(store: ExperimentStore, results: Path, name: str, accuracy: float, runtime: float = 65.0) -> ExperimentFolder:
    folder = made(store, results, name)
    metrics = {"train": {"runtime_s": runtime, "loss": float("nan")}, "eval": {"accuracy": accuracy}}
    store.finish(folder.id, store.claim(folder.id, "w1"), "w1", Status.SUCCESS, metrics=metrics)
    return folder


# Looking -----------------------------------------------------------------------------------------


def test_listing_without_a_results_folder_prints_an_empty_table_and_makes_nothing(results: Path) -> None:
    assert "accuracy" in runs("list").stdout
    assert answer("list") == {"runs": []}
    assert not results.exists()


def test_the_table_shows_what_people_compare(store: ExperimentStore, results: Path) -> None:
    folder = done(store, results, "films", 0.91234)
    (folder.artifacts / "weights").write_bytes(b"x" * 3 * 2**20)
    paused = made(store, results, "waits")
    store.pause(paused.id, store.claim(paused.id, "w1"), "w1")

    table = runs("list").stdout

    line = next(line for line in table.splitlines() if folder.id in line)
    assert re.search(r"SUCCESS +0\.9123 +builtin:minilm +builtin:reviews +1m 05s +3\.0 MiB +20\d\d-\d\d-\d\d", line)
    assert "PENDING (paused)" in table


def test_times_are_in_the_zone_of_the_settings(
    store: ExperimentStore, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(store, results)

    here = runs("list").stdout.split()[-1]
    monkeypatch.setenv("TZ", "UTC")
    there = runs("list").stdout.split()[-1]

    assert (int(here[:2]) - int(there[:2])) % 24 == 8


def test_filters_and_order_reach_the_store(store: ExperimentStore, results: Path) -> None:
    done(store, results, "alpha", 0.9, 10)
    done(store, results, "beta", 0.7, 30)
    made(store, results, "gamma")

    def names(*arguments: str) -> list[str]:
        return [run["name"] for run in answer("list", *arguments)["runs"]]

    assert names() == ["gamma", "beta", "alpha"]
    assert names("--asc", "--sort-by", "name") == ["alpha", "beta", "gamma"]
    assert names("--sort-by", "eval_accuracy", "--limit", "1") == ["alpha"]
    assert names("--min-accuracy", "0.8") == ["alpha"]
    assert names("--max-runtime", "20") == ["alpha"]
    assert names("--status", "pending") == ["gamma"]
    assert names("--name", "ET") == ["beta"]
    assert names("-q", "accuracy < 0.8 OR NOT status = SUCCESS") == ["gamma", "beta"]
    assert names("--where", "runtime > 5", "--max-runtime", "20") == ["alpha"]


@pytest.mark.parametrize("wrong", [["--status", "DONE"], ["--sort-by", "size"], ["--limit", "0"]])
def test_a_wrong_filter_says_what_was_expected(wrong: list[str]) -> None:
    with pytest.raises(BadInput, match="expected"):
        runs("list", *wrong)


def test_a_filter_in_words_says_where_it_went_wrong(results: Path) -> None:
    with pytest.raises(
        BadInput, match=r"character 1 of the filter: there is no such field(.|\n)*did you mean accuracy"
    ):
        runs("list", "-q", "acuracy > 1")


def test_show_tells_everything_also_how_it_failed(store: ExperimentStore, results: Path) -> None:
    folder = made(store, results)
    error = {"code": "diverged", "message": "the loss is [NaN]", "where": "step 3", "hint": "lower it"}
    store.finish(folder.id, store.claim(folder.id, "w1"), "w1", Status.FAILURE, error=error)

    text = runs("show", folder.id).stdout
    for word in ("FAILURE", "the loss is [NaN]", "step 3", "lower it", "w1", str(folder.path), "ana"):
        assert word in text

    detail = answer("show", folder.id[:9])
    assert (detail["id"], detail["status"], detail["error"]) == (folder.id, "FAILURE", error)
    assert detail["config"]["seed"] == ExperimentConfig().seed
    assert [line["outcome"] for line in detail["attempts"]] == ["FAILURE"]
    assert detail["size_bytes"] == folder.size_bytes()


def test_json_never_holds_nan(store: ExperimentStore, results: Path) -> None:
    folder = done(store, results, "films", float("nan"))

    assert answer("show", folder.id)["metrics"]["train"]["loss"] is None
    assert answer("list")["runs"][0]["accuracy"] is None


def test_a_run_whose_process_died_is_shown_as_such(store: ExperimentStore, results: Path) -> None:
    folder = made(store, results)
    ExperimentStore(store._engine, lease_s=-1).claim(folder.id, "w1")

    assert "STARTED (process gone)" in runs("list").stdout
    assert answer("list")["runs"][0]["lease_live"] is False


def test_an_unknown_run_is_not_found(store: ExperimentStore, results: Path) -> None:
    made(store, results)
    for verb in ("show", "logs", "delete", "cancel"):
        with pytest.raises(NotFound):
            runs(verb, "nothing")


def test_an_unusable_results_folder_is_one_clear_error(results: Path) -> None:
    results.write_text("a file")

    for arguments in (["list"], ["gc"], ["logs"]):
        with pytest.raises(StorageError) as caught:
            runs(*arguments)
        assert caught.value.hint


# Logs --------------------------------------------------------------------------------------------


def test_logs_prints_the_newest_run_unless_told_otherwise(store: ExperimentStore, results: Path) -> None:
    first = made(store, results, "first", "one\n")
    made(store, results, "second", "two\n")

    assert runs("logs").stdout == "two\n"
    assert runs("logs", first.id).stdout == "one\n"


def test_logs_without_any_run_says_so() -> None:
    with pytest.raises(NotFound, match="no experiment yet"):
        runs("logs")


def test_a_run_without_a_log_yet_is_no_error(store: ExperimentStore, results: Path) -> None:
    made(store, results).logs_txt.unlink()

    result = runs("logs")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "no log yet" in result.stderr


def test_following_waits_for_the_file_and_ends_with_the_run(store: ExperimentStore, results: Path) -> None:
    folder = made(store, results)
    folder.logs_txt.unlink()
    seen: list[Result] = []
    watcher = threading.Thread(target=lambda: seen.append(runs("logs", "-f")))
    watcher.start()

    attempt = store.claim(folder.id, "w1")
    time.sleep(0.6)
    with folder.logs_txt.open("ab", buffering=0) as log:
        for part in ("一\n".encode(), "二".encode()[:2]):  # a letter may be seen half-written
            log.write(part)
            time.sleep(0.6)
        log.write("二".encode()[2:] + b"\n")
        assert watcher.is_alive()
        log.write(b"the end\n")
        store.finish(folder.id, attempt, "w1", Status.SUCCESS)
    watcher.join(timeout=30)

    assert seen[0].stdout == "一\n二\nthe end\n"
    assert seen[0].exit_code == 0


def test_following_a_paused_run_says_why_nothing_comes_and_ends_when_it_is_deleted(
    store: ExperimentStore, results: Path
) -> None:
    folder = made(store, results)
    store.pause(folder.id, store.claim(folder.id, "w1"), "w1")
    seen: list[Result] = []
    watcher = threading.Thread(target=lambda: seen.append(runs("logs", "-f")))
    watcher.start()

    time.sleep(0.6)
    assert watcher.is_alive()
    store.cancel(folder.id)
    store.delete(folder.id)
    watcher.join(timeout=30)

    assert f"--resume {folder.id}" in seen[0].stderr


def test_ctrl_c_leaves_a_followed_log_quietly(store: ExperimentStore, results: Path) -> None:
    made(store, results, log="began\n")
    # A shell starts what it puts in the background with SIGINT ignored, and children inherit that.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from finetune30.cli.runs import app; app(['logs', '-f'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout
        assert follower.stdout.readline() == "began\n"
        time.sleep(0.5)
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=30)

    assert (follower.returncode, out) == (0, "")
    assert "Traceback" not in err
    assert "Aborted" not in err


# Stopping and removing ---------------------------------------------------------------------------


def test_delete_removes_row_and_folder_and_says_the_bytes_freed(store: ExperimentStore, results: Path) -> None:
    folder, other = revoked(store, results), revoked(store, results, "other")
    (folder.artifacts / "weights").write_bytes(b"x" * 2**20)
    size = folder.size_bytes()

    assert answer("delete", folder.id, "--yes") == {"id": folder.id, "bytes_freed": size}

    assert [run["id"] for run in answer("list")["runs"]] == [other.id]
    assert sorted(path.name for path in results.iterdir() if path.is_dir()) == [other.id]
    assert "freed" in runs("delete", other.id, "--yes").stdout


def test_delete_of_a_run_whose_folder_is_gone_removes_the_row(store: ExperimentStore, results: Path) -> None:
    folder = revoked(store, results)
    folder.delete()

    assert answer("delete", folder.id)["bytes_freed"] == 0
    assert answer("list") == {"runs": []}


def test_delete_refuses_a_running_run_and_removes_nothing(store: ExperimentStore, results: Path) -> None:
    folder = made(store, results)
    store.claim(folder.id, "w1")

    with pytest.raises(StateError, match="running on w1"):
        runs("delete", folder.id, "--yes")
    assert folder.logs_txt.exists()


def test_delete_refuses_a_waiting_run_and_one_whose_checkpoints_are_needed(
    store: ExperimentStore, results: Path
) -> None:
    folder = made(store, results)
    with pytest.raises(StateError, match="is PENDING, expected a run that has ended"):
        runs("delete", folder.id, "--yes")
    store.cancel(folder.id)
    heir = store.create(ExperimentConfig(), owner="ana", tz="UTC", resumed_from=folder.id).id

    with pytest.raises(StateError, match=f"from which {heir} goes on"):
        runs("delete", folder.id, "--yes")
    assert folder.logs_txt.exists()


def test_gc_leaves_checkpoints_from_which_an_unfinished_run_goes_on(store: ExperimentStore, results: Path) -> None:
    folder = revoked(store, results)
    heir = store.create(ExperimentConfig(), owner="ana", tz="UTC", resumed_from=folder.id).id
    with sqlite3.connect(results / "experiments.db") as connection:  # as deletes of before left it
        connection.execute("DELETE FROM experiments WHERE id = ?", (folder.id,))
    connection.close()

    assert answer("gc")["garbage"] == []
    store.cancel(heir)
    assert [one["path"] for one in answer("gc")["garbage"]] == [str(folder.path)]


def test_delete_asks_in_a_terminal(store: ExperimentStore, results: Path) -> None:
    pty = pytest.importorskip("pty")
    folder = revoked(store, results)
    program = f"from finetune30.cli.runs import app; app(['delete', {folder.id!r}])"

    for reply, kept in ((b"n\n", True), (b"y\n", False)):
        keyboard, screen = pty.openpty()
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, stdin=screen, stderr=subprocess.PIPE) as asked:
            os.write(keyboard, reply)
            _, err = asked.communicate(timeout=60)
        os.close(keyboard)
        os.close(screen)
        assert f"Delete {folder.id}".encode() in err
        assert folder.path.exists() is kept
        assert (asked.returncode != 0) is kept


def test_a_delete_killed_at_any_moment_leaves_nothing_that_gc_does_not_finish(
    store: ExperimentStore, results: Path
) -> None:
    after_row, in_trash = revoked(store, results), revoked(store, results)
    for folder in (after_row, in_trash):
        store.delete(folder.id)
    in_trash.path.rename(results / f".trash-{in_trash.id}")
    (results / f".trash-{in_trash.id}" / "config.yaml").unlink()

    assert answer("list") == {"runs": []}
    runs("gc")
    assert [path.name for path in results.iterdir() if path.is_dir()] == []


def test_cancel_ends_a_waiting_run_and_asks_a_running_one(store: ExperimentStore, results: Path) -> None:
    waiting, running = made(store, results), made(store, results)
    attempt = store.claim(running.id, "w1")

    assert answer("cancel", waiting.id)["status"] == "REVOKED"
    assert answer("cancel", running.id) == {"id": running.id, "status": "STARTED", "cancel_requested": True}
    assert "(cancelling)" in runs("list").stdout
    assert store.heartbeat(running.id, attempt, "w1").cancel_requested is True
    with pytest.raises(StateError, match="is REVOKED"):
        runs("cancel", waiting.id)


def test_gc_dry_run_names_sizes_and_removes_nothing(store: ExperimentStore, results: Path) -> None:
    kept, orphan = made(store, results), revoked(store, results)
    store.delete(orphan.id)
    half = kept.artifacts / ".staging-checkpoint-3"
    half.mkdir()
    (half / "weights").write_bytes(b"x" * 2**20)

    text = runs("gc", "--dry-run").stdout
    assert re.search(rf"1\.0 MiB +unfinished checkpoint +{half}", text)
    assert re.search(rf"run without a row +{orphan.path}", text)
    assert re.search(r"2 folders, 1\.0 MiB would be freed", text)
    assert answer("gc", "--dry-run")["bytes_freed"] == 0
    assert half.exists()
    assert orphan.path.exists()

    found = answer("gc")
    assert found["bytes_freed"] == found["total_bytes"] > 2**20
    assert not half.exists()
    assert not orphan.path.exists()
    assert kept.logs_txt.exists()
    assert answer("gc")["garbage"] == []


def test_help_answers_without_the_database_or_torch() -> None:
    # typer itself may load pydantic.
    program = (
        "import sys; from finetune30.cli.runs import app\n"
        "try: app(['list', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('sqlalchemy', 'torch', 'psutil') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
