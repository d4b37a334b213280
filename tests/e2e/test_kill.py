"""Killed for real, by signals, and resumed: nothing is lost, nothing is trained twice over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from finetune30.config import from_mapping
from finetune30.experiments import Status, open_store
from finetune30.settings import get_settings
from tests.e2e.conftest import Ended, Workplace

# What is refused or only asked for is so by this process, which has imported everything: another one than trains.
Cli = Callable[..., Ended]
WEIGHTS = Path("artifacts") / "final_model" / "adapter_model.safetensors"


def _wait_for_step(workplace: Workplace, process, step: int) -> Path:
    """The run's folder, once its journal shows the step."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        for journal in workplace.results.glob("*/progress.jsonl"):
            steps = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
            if any(e["kind"] == "step" and e["step"] >= step for e in steps):
                return journal.parent
        if process.poll() is not None:
            break
        time.sleep(0.005)
    raise AssertionError(f"step {step} never came: {process.communicate()}")


def _expected(workplace: Workplace, run_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> bytes:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("RESULTS_DIR", "whole")
        whole = run_cli("train", str(workplace.config), "--json")
    assert whole.code == 0, whole.err
    return (workplace.path / whole.json["folder"] / WEIGHTS).read_bytes()


def test_sigkill_at_three_steps_in_one_run_resumes_to_the_uninterrupted_weights(
    workplace: Workplace, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _expected(workplace, run_cli, monkeypatch)
    process = workplace.start("train", str(workplace.config), "--json")
    for step in (3, 6, 10):
        folder = _wait_for_step(workplace, process, step)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        row = workplace.row(folder.name)
        assert row.status == "STARTED"  # nobody could tell the row
        process = workplace.start("train", "--resume", folder.name, "--json")

    out, err = process.communicate(timeout=240)

    assert process.returncode == 0, err
    answer = json.loads(out.splitlines()[-1])
    assert answer["status"] == "SUCCESS"
    assert answer["id"] == folder.name
    assert (folder / WEIGHTS).read_bytes() == expected
    assert workplace.row(folder.name).attempt == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_writes_a_checkpoint_pauses_and_the_run_can_be_resumed(
    workplace: Workplace, number: signal.Signals, code: int
) -> None:
    process = workplace.start("train", str(workplace.config), "--set", "training.num_train_epochs=300")
    folder = _wait_for_step(workplace, process, 3)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=120)

    assert process.returncode == code, err
    assert f"{folder.name}  paused; go on with: finetune30 train --resume {folder.name}" in out
    assert "Traceback" not in out + err
    row = workplace.row(folder.name)
    assert (row.status, row.paused) == ("PENDING", True)
    assert list((folder / "artifacts").glob("checkpoint-*"))


def test_a_run_that_is_alive_is_not_run_twice(workplace: Workplace, run_cli: Cli) -> None:
    process = workplace.start("train", str(workplace.config), "--set", "training.num_train_epochs=500")
    try:
        folder = _wait_for_step(workplace, process, 1)
        second = run_cli("train", "--resume", folder.name, "--json")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    assert second.code == 2
    assert second.json["error"]["code"] == "already_claimed"


@pytest.mark.parametrize("again", [False, True], ids=["", "after one that failed before it had a checkpoint"])
def test_a_cancelled_run_ends_revoked_and_resuming_it_is_a_new_run(
    workplace: Workplace, run_cli: Cli, again: bool
) -> None:
    process = workplace.start("train", str(workplace.config), "--set", "training.num_train_epochs=200", "--json")
    folder = _wait_for_step(workplace, process, 3)
    assert run_cli("runs", "cancel", folder.name).code == 0
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert json.loads(out.splitlines()[-1])["status"] == "REVOKED"

    named = _failed_at_once(workplace, folder.name) if again else folder.name
    process = workplace.start("train", "--resume", named, "--json")
    try:
        deadline = time.monotonic() + 120
        while not (new := [p for p in workplace.results.glob("tiny_*") if p != folder and (p / "logs.txt").exists()]):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        _wait_for_step_in(new[0], process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert workplace.row(new[0].name).resumed_from == folder.name
    assert "resuming from checkpoint-" in (new[0] / "logs.txt").read_text()
    assert workplace.row(folder.name).status == "REVOKED"


def _failed_at_once(workplace: Workplace, before: str) -> str:
    """A run that was to go on from another one's checkpoints and failed before it had taken them over."""
    store = open_store(get_settings())
    config = from_mapping(workplace.row(before).config)
    row = store.create(config, "ana", tz="UTC", resumed_from=before, claimed_by="w1")
    store.finish(row.id, row.attempt, "w1", Status.FAILURE)
    store.close()
    return row.id


def _wait_for_step_in(folder: Path, process) -> None:
    deadline = time.monotonic() + 120
    while not (folder / "progress.jsonl").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


def test_a_run_does_not_go_on_with_other_data_or_another_base_than_it_began_with(
    workplace: Workplace, run_cli: Cli, tiny_model
) -> None:
    base = shutil.copytree(tiny_model("distilbert"), workplace.path / "base")
    given = ("--set", "training.num_train_epochs=300", "--set", f"model.name={base}")
    process = workplace.start("train", str(workplace.config), *given)
    folder = _wait_for_step(workplace, process, 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    train, weights = workplace.path / "reviews" / "train.csv", base / "model.safetensors"
    rows, tensors = train.read_text(), load_file(weights)

    train.write_text(rows.replace("the ", "thee "))
    ended = run_cli("train", "--resume", folder.name, "--json")
    assert ended.code == 2
    assert "the dataset" in ended.err
    assert "has changed since" in ended.err

    train.write_text(rows)
    save_file({name: tensor * 3 for name, tensor in tensors.items()}, weights, metadata={"format": "pt"})
    ended = run_cli("train", "--resume", folder.name, "--json")
    assert ended.code == 2
    assert f"the base model {base} has changed since" in ended.err
    assert workplace.row(folder.name).status == "STARTED"


def test_a_reader_that_hangs_up_does_not_stop_the_run(workplace: Workplace) -> None:
    process = workplace.start("train", str(workplace.config))
    assert process.stdout is not None
    while not process.stdout.readline().startswith("experiment "):
        assert process.poll() is None
    process.stdout.close()
    process.stdout = None
    process.communicate(timeout=240)

    assert workplace.row(workplace.only_run().name).status == "SUCCESS"


def test_ctrl_c_while_the_saved_adapter_is_checked_does_not_fail_the_run(workplace: Workplace) -> None:
    process = workplace.start("train", str(workplace.config), "--json")
    folder = _wait_for_step(workplace, process, 12)
    deadline = time.monotonic() + 100
    while "reloading it in a fresh process" not in (folder / "logs.txt").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=200)

    assert json.loads(out.splitlines()[-1])["status"] == "SUCCESS", err
    assert process.returncode == 0


def test_a_failed_run_is_continued_by_one_new_run_only(workplace: Workplace, run_cli: Cli) -> None:
    process = workplace.start("train", str(workplace.config), "--set", "training.num_train_epochs=300")
    folder = _wait_for_step(workplace, process, 3)
    assert run_cli("runs", "cancel", folder.name).code == 0
    process.communicate(timeout=120)
    first = workplace.start("train", "--resume", folder.name)
    try:
        deadline = time.monotonic() + 120
        while len(list(workplace.results.glob("tiny_*/progress.jsonl"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        second = run_cli("train", "--resume", folder.name, "--json")
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()

    assert second.code == 2
    assert "is already continued by" in second.err
