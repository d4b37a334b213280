"""What a worker starts instead of a training: counts steps, trains nothing, tells everything.

It speaks over the real line (``finetune30.worker.line``) and keeps one checkpoint, written as atomically
as the real ones. Whatever it does is a line in the log of effects, a file that all attempts of all
workers append to; the checks read who did what when. The experiment's name says how it behaves, as
``word.number`` pairs behind any first word: ``poison kill_at.7 steps.20``.

    steps, ms       how many steps of how many milliseconds (20 of 30)
    every           steps between two checkpoints (5)
    kill_at         kills itself with signal 9 at this step, as the kernel does when memory is short
    kills           in so many attempts (all)
    crash_at        ends with 1 and without a last word
    exit_at, code   ends with this code and without a last word
    fail_at         reports that the data is at fault
    stubborn        ignores wishes to stop, and SIGTERM
    flood           prints so many megabytes at its first step
    family          starts a child process that outlives it, if nobody ends it
    linger          stays so many milliseconds after it has said that it stopped
    garble          sends what is no message
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from finetune30.errors import LeaseLost
from finetune30.worker.line import LINE_VARIABLE, Line


class Effects:
    """The log of effects: one write a line, so that lines of many processes never mix."""

    def __init__(self, path: str, task: str, attempt: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._who = {"task": task, "attempt": attempt, "pid": os.getpid()}

    def add(self, what: str, at: float, **more: object) -> None:
        """``at`` is when it was decided, by the clock that all processes of a machine share."""
        os.write(self._fd, json.dumps({**self._who, "what": what, "at": at, **more}).encode() + b"\n")


class Behaviour:
    """The numbers in an experiment's name."""

    def __init__(self, name: str) -> None:
        self._numbers = {}
        for word in name.split()[1:]:
            key, _, number = word.partition(".")
            self._numbers[key] = int(number or 1)

    def __call__(self, key: str, default: int = 0) -> int:
        return self._numbers.get(key, default)


class Checkpoint:
    """Which step was reached last: one file, replaced in one step."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "artifacts" / "checkpoint.json"
        self._file.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> int:
        try:
            return int(json.loads(self._file.read_text(encoding="utf-8"))["step"])
        except FileNotFoundError:
            return 0

    def write(self, step: int) -> None:
        temporary = self._file.with_name(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"step": step, "pid": os.getpid()}), encoding="utf-8")
        temporary.replace(self._file)


def main(effects_path: str) -> int:
    """One attempt; returns the exit code."""
    fd = int(os.environ[LINE_VARIABLE])
    order, hold = Line.from_environment()
    behaves = Behaviour(order["config"]["experiment_name"])
    effects = Effects(effects_path, order["id"], int(order["attempt"]))
    folder = Path(order["results_dir"])
    checkpoint = Checkpoint(folder / order["id"])
    effects.add("start", time.monotonic())
    done = checkpoint.read()
    if not done and order.get("resumed_from"):
        done = Checkpoint(folder / str(order["resumed_from"])).read()
    if behaves("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaves("family"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=False)
        effects.add("child", time.monotonic(), child=child.pid)
    if behaves("flood"):
        _flood(behaves("flood"))
    try:
        with hold:
            return _train(hold, order, behaves, effects, checkpoint, done, fd)
    except LeaseLost:
        effects.add("lost", time.monotonic())
        return 76


def _train(
    hold: Any, order: Any, behaves: Behaviour, effects: Effects, checkpoint: Checkpoint, done: int, fd: int
) -> int:
    total, every = behaves("steps", 20), behaves("every", 5)
    hold.planned(order["config"], "0" * 64, "1" * 64)
    for step in range(done + 1, total + 1):
        time.sleep(behaves("ms", 30) / 1000)
        # When it is decided, not when it is written down: who freezes in between has decided already.
        at = time.monotonic()
        if loss := hold.loss:
            raise loss
        effects.add("step", at, step=step)
        _misbehave(behaves, step, int(order["attempt"]), hold, fd)
        hold.update({"step": step, "total": total, "loss": 1 / step, "eta_s": 0.0})
        stop = None if behaves("stubborn") else hold.stop_reason
        if step % every == 0 or stop:
            checkpoint.write(step)
            hold.event("checkpoint", f"step {step}", step)
            effects.add("checkpoint", at, step=step)
        if stop and step < total:
            hold.stopped(stop)
            effects.add("stopped", time.monotonic(), reason=stop)
            time.sleep(behaves("linger") / 1000)
            effects.add("left", time.monotonic())
            return 75
    at = time.monotonic()
    hold.check()
    hold.succeeded({"train": {"runtime_s": 1.0, "pid": os.getpid()}, "eval": {"accuracy": 0.5}})
    effects.add("end", at)
    return 0


def _misbehave(behaves: Behaviour, step: int, attempt: int, hold: Any, fd: int) -> None:
    if step == behaves("kill_at") and attempt <= behaves("kills", attempt):
        os.kill(os.getpid(), signal.SIGKILL)
    if step == behaves("crash_at"):
        raise RuntimeError("the trainer crashed, as it was told to")
    if step == behaves("exit_at"):
        os._exit(behaves("code", 1))
    if step == behaves("garble"):
        os.write(fd, b'{"kind": \xff\n')
    if step == behaves("fail_at"):
        hold.failed({"code": "data_invalid", "message": "row 3 has no label", "where": "train.csv", "hint": "add one"})
        raise SystemExit(71)


def _flood(megabytes: int) -> None:
    line = b"x" * 1023 + b"\n"
    for _ in range(megabytes * 1024):
        os.write(1, line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
