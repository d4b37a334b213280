"""One run of two processes, as a user starts, stops, loses and resumes it."""

from __future__ import annotations

import json
import os
import signal

import psutil

from tests.e2e.conftest import Workplace
from tests.e2e.test_kill import _wait_for_step

TOGETHER = ("--set", "training.num_processes=2", "--set", "training.num_train_epochs=60")


def test_two_processes_are_stopped_killed_and_resumed_like_one(workplace: Workplace) -> None:
    # Ctrl+C: a checkpoint, and the run can go on.
    process = workplace.start("train", str(workplace.config), *TOGETHER)
    folder = _wait_for_step(workplace, process, 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert f"{folder.name}  paused; go on with: finetune30 train --resume {folder.name}" in out
    assert "Traceback" not in out + err
    stopped_at = max(int(path.name.partition("-")[2]) for path in (folder / "artifacts").glob("checkpoint-*"))
    assert stopped_at < 180

    # The power of kill -9: nothing goes on training, and nothing stays behind that does.
    process = workplace.start("train", "--resume", folder.name)
    _wait_for_step(workplace, process, stopped_at + 3)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len([child for child in below if "finetune30.training.rank" in child.cmdline()]) == 3  # and the launcher
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == []

    ended = workplace.call("train", "--resume", folder.name, "--json")

    assert ended.code == 0, ended.err
    assert ended.json["status"] == "SUCCESS"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["train"]["steps"], metrics["train"]["processes"]) == (180, 2)
    assert not (folder / "artifacts" / ".processes").exists()
