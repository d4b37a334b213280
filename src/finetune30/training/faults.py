"""How a process that trains with others says what went wrong, and what of it is the cause.

When one process fails, all others fail a moment later because it is gone. Each leaves a file in the
order's folder; the launcher adds who was killed. ``cause`` finds the one error worth telling.
Neighbours: ``rank`` and ``launcher`` write, ``several`` raises.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

from finetune30 import errors
from finetune30.durable import write_text
from finetune30.errors import Crashed, DiskFull, Finetune30Error, Killed, RunFailed

_FAILED, _ENDED, _UNMET = "failed", "ended", "unmet"


def write_failed(folder: Path, rank: int, fault: BaseException, *, secondary: bool) -> None:
    """Keep what a process raised.

    Args:
        secondary: Whether it failed because another process was gone.
    """
    known = fault if isinstance(fault, Finetune30Error) else None
    _write(
        folder,
        _FAILED,
        {
            "rank": rank,
            "at": time.time(),
            "secondary": secondary,
            "class": type(fault).__name__ if known else None,
            "error": known.to_dict() if known else None,
            "text": f"{type(fault).__name__}: {fault}",
            "errno": fault.errno if isinstance(fault, OSError) else None,
            "trace": "".join(traceback.format_exception(fault)),
        },
    )


def write_ended(folder: Path, exit_codes: dict[int, int]) -> None:
    """Keep how processes ended that did not end well: rank -> exit code, negative by a signal."""
    _write(folder, _ENDED, {str(rank): code for rank, code in exit_codes.items()})


def write_unmet(folder: Path, text: str) -> None:
    """Keep why the machines did not come together."""
    _write(folder, _UNMET, {"text": text})


def cause(folder: Path, launcher_code: int, processes: int, log: Path) -> Exception:
    """The one error to tell, and of several the one that came first.

    Args:
        launcher_code: Exit code of the launcher, negative by a signal.
        log: Where all output of the processes is.
    """
    failed = sorted(_read(folder, _FAILED), key=lambda one: float(one["at"]))
    first = next((one for one in failed if not one["secondary"]), None)
    if first is not None and first["class"] is not None:
        return _as_raised(first)
    killed = [(rank, -code) for ended in _read(folder, _ENDED) for rank, code in ended.items() if code < 0]
    # The launcher ends the rest with SIGTERM, and NCCL may abort those whose peer is gone: another signal is the cause.
    late = [signal.SIGABRT, signal.SIGTERM]
    for rank, number in sorted(killed, key=lambda one: late.index(one[1]) + 1 if one[1] in late else 0):
        if number != signal.SIGTERM or first is None:
            return _killed(f"process {rank} of {processes}", number)
    if first is not None:
        return _unforeseen(first, processes, log)
    for unmet in _read(folder, _UNMET):
        return RunFailed(
            f"the machines did not come together: {unmet['text']}",
            where="training.rdzv_endpoint",
            hint="expected a name of the first machine that all others reach, a free port, and join started on each",
        )
    if launcher_code < 0:
        return _killed("the launcher of the training processes", -launcher_code)
    if failed:
        return _unforeseen(failed[0], processes, log)
    return Crashed(
        f"the {processes} training processes ended without a result (exit code {launcher_code})",
        hint=f"their output is in {log}",
    )


def _as_raised(failed: dict[str, Any]) -> Finetune30Error:
    kind = getattr(errors, failed["class"], RunFailed)
    if not (isinstance(kind, type) and issubclass(kind, Finetune30Error)):
        kind = RunFailed
    told = failed["error"]
    error = kind(told["message"], where=told["where"], hint=told["hint"])
    error.code = told["code"]
    return error


def _unforeseen(failed: dict[str, Any], processes: int, log: Path) -> RunFailed:
    full = (errno.ENOSPC, errno.EDQUOT)
    text = failed["text"]
    # safetensors reports the system's error inside its own exception.
    if failed["errno"] in full or f"os error {errno.ENOSPC}" in text or os.strerror(errno.ENOSPC) in text:
        return DiskFull("the disk is full")
    return Crashed(
        f"process {failed['rank']} of {processes} failed: {text}",
        hint=f"its traceback is in {log}; finetune30 env prints what a bug report needs",
    )


def _killed(what: str, number: int) -> Killed:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    why = "if nobody did this, memory ran out (the system's log says so); " if number == signal.SIGKILL else ""
    return Killed(
        f"{what} was killed by signal {number} ({name}); the others were ended",
        hint=f"{why}every checkpoint is whole, and the run can go on from the last one",
    )


def _write(folder: Path, kind: str, values: dict[str, Any]) -> None:
    write_text(folder / f"{kind}-{uuid.uuid4().hex}.json", json.dumps(values))


def _read(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"{kind}-*.json"))]
