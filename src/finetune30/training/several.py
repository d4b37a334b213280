"""An adapter trained by several processes, seen from the one that wants it.

Same words as one process: events come out, a wish to stop goes in, an error is one clear error.
This process trains nothing itself; it starts torchrun, listens, and when it ends, however that
happens, no training process is left. Neighbours: ``fit`` calls it, ``launcher`` and ``rank`` are what
it starts, ``join`` starts them on other machines.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from finetune30.durable import remove
from finetune30.modeling.memory import release
from finetune30.modeling.process import cores
from finetune30.training import faults
from finetune30.training.launcher import LEADS
from finetune30.training.order import FOLDER, Order
from finetune30.training.processes import processes
from finetune30.training.progress import Event, Progress, StopRequested, note
from finetune30.training.sitting import TrainedAdapter

RANK = "finetune30.training.rank"
LOG = "processes.log"
_LAUNCHER = "finetune30.training.launcher"
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
# How long processes that were told to end may take; they do it by SIGKILL.
_END_S = 10.0


def train(
    order: Order, progress: Progress, *, artifacts: Path, stop_requested: StopRequested, rank: str = RANK
) -> TrainedAdapter:
    """Let several processes train an adapter.

    Raises: What a process raised; Crashed if one was killed; whatever ``progress`` and ``stop_requested`` raise.
    """
    folder = artifacts / FOLDER
    nodes = order.config.training.num_nodes
    release()  # this process may have measured batches on a device that the first of the others needs
    order.write(folder)
    if nodes > 1:
        progress(
            note(
                f"waiting for {nodes - 1} more machine(s); on each of them: "
                f"python -m finetune30.training.join {artifacts.absolute()}"
            )
        )
    log = artifacts / LOG
    try:
        with launched(folder, LEADS, rank, order.config.training.num_processes, nodes, log) as (launcher, line):
            trained = _listen(line, progress, stop_requested, artifacts)
            code = launcher.wait()
        if trained is None:
            raise faults.cause(folder, code, processes(order.config), log)
    finally:
        with suppress(OSError):
            remove(folder)
    remove(log)  # it held no failure
    return trained


@contextmanager
def launched(
    folder: Path, role: str, rank: str, count: int, nodes: int, log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A launcher and the line to its processes; none of them is left behind."""
    ours, theirs = socket.socketpair()
    with log.open("ab") as output:
        launcher = subprocess.Popen(
            # -P: a calendar.py in the user's folder must not be imported instead of Python's own.
            [sys.executable, "-P", "-m", _LAUNCHER, str(folder), str(os.getpid()), role, rank],
            stdin=theirs,
            stdout=output,
            stderr=output,
            env=_environment(count, nodes),
            start_new_session=True,  # Ctrl+C is for this process, which decides
        )
    theirs.close()
    try:
        yield launcher, ours
    finally:
        _end(launcher, ours)


def _listen(
    line: socket.socket, progress: Progress, stop_requested: StopRequested, artifacts: Path
) -> TrainedAdapter | None:
    """Hear all that comes until the last process is gone; the result, if there was one."""
    trained: TrainedAdapter | None = None
    told = False
    with line.makefile("rb") as messages:
        for message in messages:
            said = json.loads(message)
            match said["kind"]:
                case "event":
                    progress(Event(**said["event"]))
                case "step" if not told and (reason := stop_requested()):
                    told = True
                    with suppress(OSError):  # it may have ended by itself
                        line.sendall(json.dumps({"reason": reason}).encode() + b"\n")
                case "trained":
                    trained = _trained(said["trained"], artifacts)
    return trained


def _trained(values: dict[str, Any], artifacts: Path) -> TrainedAdapter:
    folder = values.pop("folder")
    return TrainedAdapter(folder=None if folder is None else artifacts / folder, **values)


def _end(launcher: subprocess.Popen[bytes], line: socket.socket) -> None:
    """Say to all that nobody listens any more, see the last of them go, then the launcher."""
    with suppress(OSError):
        line.shutdown(socket.SHUT_WR)
        line.settimeout(_END_S)
        while line.recv(65_536):
            pass
    line.close()
    launcher.kill()
    launcher.wait()


def _environment(count: int, nodes: int) -> dict[str, str]:
    own = {"OMP_NUM_THREADS": str(max(1, cores() // count)), "PYTHONUNBUFFERED": "1"}
    if nodes == 1:
        # Within one machine nothing goes through the network, whatever its name resolves to.
        own["GLOO_SOCKET_IFNAME"] = _LOOPBACK
    return {**own, **os.environ}


__all__ = ["RANK", "launched", "train"]
