"""One run of two processes, as a user starts, loses and resumes it."""

from __future__ import annotations

import json
import os
import signal

import psutil

from tests.e2e.conftest import Workplace
from tests.e2e.test_kill import _wait_for_step

TOGETHER = ("--set", "training.num_processes=2", "--set", "training.num_train_epochs=20")


def test_two_processes_die_with_the_program_and_are_resumed_like_one(workplace: Workplace) -> None:
    process = workplace.start("train", str(workplace.config), *TOGETHER)
    folder = _wait_for_step(workplace, process, 3)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len([child for child in below if "finetune30.training.rank" in child.cmdline()]) == 3  # and the launcher

    os.kill(process.pid, signal.SIGKILL)  # this process alone: the others must see it themselves
    process.communicate()

    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == []
    assert max(int(path.name.partition("-")[2]) for path in (folder / "artifacts").glob("checkpoint-*")) < 60
    ended = workplace.call("train", "--resume", folder.name, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["status"] == "SUCCESS"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["train"]["steps"], metrics["train"]["processes"]) == (60, 2)
    assert "resuming from checkpoint-" in (folder / "logs.txt").read_text()
    assert not (folder / "artifacts" / ".processes").exists()
