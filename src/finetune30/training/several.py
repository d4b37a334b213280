"""An adapter trained by several processes, seen from the one that wants it.

Same words as one process: events come out, a wish to stop goes in, an error is one clear error.
This process trains nothing itself; it starts torchrun, listens, and when it ends, however that
happens, no training process is left. Neighbours: ``fit`` calls it, ``launcher`` and ``rank`` are what
it starts, ``join`` starts them on other machines.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from finetune30.durable import remove
from finetune30.modeling.memory import release
from finetune30.training import faults
from finetune30.training.launcher import FOLDER, LEADS, RANK
from finetune30.training.launching import launched
from finetune30.training.order import Order
from finetune30.training.processes import processes
from finetune30.training.progress import Event, Progress, StopRequested, note
from finetune30.training.sitting import TrainedAdapter

LOG = "processes.log"


def train(
    order: Order, progress: Progress, *, artifacts: Path, stop_requested: StopRequested, rank: str = RANK
) -> TrainedAdapter:
    """Let several processes train an adapter.

    Raises: What a process raised; Killed if one was killed; whatever ``progress`` and ``stop_requested`` raise.
    """
    folder = artifacts / FOLDER
    nodes = order.config.training.num_nodes
    log = artifacts / LOG
    release()  # this process may have measured batches on a device that the first of the others needs
    try:
        order.write(folder)
        if nodes > 1:
            where = order.config.training.rdzv_endpoint
            command = f"python -m finetune30.training.join {artifacts.absolute()}"
            progress(note(f"waiting at {where} for {nodes - 1} more machine(s); on each of them: {command}"))
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


def _listen(
    line: socket.socket, progress: Progress, stop_requested: StopRequested, artifacts: Path
) -> TrainedAdapter | None:
    """Hear all that comes until the last process is gone; the result, if there was one."""
    trained: TrainedAdapter | None = None
    reason: str | None = None
    with line.makefile("rb") as messages:
        for message in messages:
            said = json.loads(message)
            match said["kind"]:
                case "event":
                    progress(Event(**said["event"]))
                case "step":
                    reason = reason or stop_requested()
                case "trained":
                    trained = _trained(said["trained"], artifacts)
            with suppress(OSError):  # it may be gone
                line.sendall(json.dumps({"reason": reason}).encode() + b"\n")
    return trained


def _trained(values: dict[str, Any], artifacts: Path) -> TrainedAdapter:
    folder = values.pop("folder")
    return TrainedAdapter(folder=None if folder is None else artifacts / folder, **values)
