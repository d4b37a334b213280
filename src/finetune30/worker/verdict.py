"""Why an attempt process ended that said no last word, in words its user understands.

Promise: every ending has a code, a sentence and a next step; what may pass by itself is tried again,
what would only fail again is not.
Neighbours: ``attempt`` exits with these codes, ``supervisor`` asks.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from finetune30.errors import (
    Crashed,
    DataError,
    DiskFull,
    Diverged,
    Finetune30Error,
    Killed,
    ModelError,
    OutOfMemory,
    RunFailed,
)

# What ``attempt`` exits with, by the code of the error; 0 is a last word that was heard.
EXIT_CODES = {
    OutOfMemory.code: 70,
    DataError.code: 71,
    "data_quality": 71,
    ModelError.code: 72,
    DiskFull.code: 73,
    Diverged.code: 74,
    "lease_lost": 76,
}
STOPPED, BAD_INPUT, CRASHED = 75, 77, 1
_SEE = "see the end of its log: finetune30 jobs logs ID"
_FINAL: dict[int, type[Finetune30Error]] = {70: OutOfMemory, 71: DataError, 72: ModelError, 73: DiskFull, 74: Diverged}


@dataclass(frozen=True)
class Verdict:
    """The error of an attempt; ``again`` if another try may end better."""

    error: Finetune30Error
    again: bool


def judge(exit_code: int, *, out_of_memory: bool = False, said: str = "") -> Verdict:
    """What an exit without a last word means.

    Args:
        exit_code: Negative for a signal, as ``subprocess`` counts.
        out_of_memory: The kernel ended a process for its memory meanwhile, here.
        said: The last line of output.
    """
    said = f": {said}" if said else ""
    if exit_code < 0:
        return _signalled(-exit_code, out_of_memory)
    if exit_code in _FINAL:
        return Verdict(_FINAL[exit_code](f"the training process ended{said}", hint=_SEE), again=False)
    if exit_code == BAD_INPUT:
        failed = RunFailed(f"the training process refused its input{said}", hint=_SEE)
        return Verdict(failed, again=False)
    crashed = Crashed(f"the training process ended without a last word, exit code {exit_code}{said}", hint=_SEE)
    return Verdict(crashed, again=True)


def _signalled(number: int, out_of_memory: bool) -> Verdict:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if out_of_memory and number == signal.SIGKILL:
        error: Finetune30Error = OutOfMemory(
            "the system ran out of memory and ended the training process",
            hint="lower training.per_device_train_batch_size or data.max_length, or give the machine more memory",
        )
    elif number == signal.SIGKILL:
        error = Killed(
            "the training process was killed (SIGKILL)",
            hint="often the kernel, when memory runs out: try a smaller training.per_device_train_batch_size; "
            "the kernel's log (dmesg) tells",
        )
    elif number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        error = Killed(f"the training process was ended from outside ({name})", hint=_SEE)
    else:
        error = Crashed(f"the training process crashed ({name})", hint=_SEE)
    return Verdict(error, again=True)


def memory_kills() -> int | None:
    """Processes the kernel has ended for the memory limit of this process's group; None if it does not tell."""
    try:
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers in ("", "memory"):
                return _kills(controllers, place.lstrip("/"))
    except (OSError, ValueError):
        pass
    return None


def _kills(controllers: str, place: str) -> int | None:
    root, name = Path("/sys/fs/cgroup", controllers), "memory.oom_control" if controllers else "memory.events"
    for folder in (root / place, root):  # inside a container the path is often that of the machine
        if (folder / name).is_file():
            counts = dict(line.split() for line in (folder / name).read_text(encoding="utf-8").splitlines())
            return int(counts["oom_kill"]) if "oom_kill" in counts else None
    return None
