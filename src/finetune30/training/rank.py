"""One of several processes that train an adapter; torchrun starts it, once a device.

It takes its place among the others and trains as one process does. The first, on the machine of the
process that wants the adapter, speaks for all over standard input, which is a socket: JSON lines of
events out, answers in, a wish to stop among them. Neighbours: ``launcher`` starts it, ``several`` listens.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from finetune30.standby import importing

with importing():
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    from finetune30.modeling import Compute, inspect
    from finetune30.training import faults, giving_way, ties
    from finetune30.training.launcher import LEADS, PARENT
    from finetune30.training.order import Order
    from finetune30.training.peers import PeerLost, Peers
    from finetune30.training.progress import Event
    from finetune30.training.sitting import Load, Sitting, load_seeded

# Longest wait for another process that lives but does not answer. One that is gone is noticed at once.
_PATIENCE = timedelta(hours=1)
_LOOK_S = 1.0


class Line:
    """The first process's way to the one that wants the adapter.

    Every message is answered. Training runs at most one step ahead of the answers, and writes nothing
    after an evaluation that was not: when the other process is frozen, perhaps past its lease, this one
    waits, and all others with it.

    Args:
        closed: What happens when the other end is gone.
    """

    def __init__(self, connection: socket.socket, closed: Callable[[], object] = ties.end) -> None:
        self._connection = connection
        self._closed = closed
        self._changed = threading.Condition()
        self._said = self._answered = 0
        self._stop: str | None = None
        threading.Thread(target=self._hear, daemon=True).start()

    def say(self, *, unanswered: int = 0, **message: object) -> None:
        """One message out; returns when all but so many were answered."""
        self._said += 1
        self._connection.sendall(json.dumps(message).encode() + b"\n")
        with self._changed:
            self._changed.wait_for(lambda: self._answered >= self._said - unanswered)

    def tell(self, event: Event) -> None:
        """What happened."""
        self.say(kind="event", event=asdict(event), unanswered=1 if event.kind == "step" else 0)

    def why_stop(self) -> str | None:
        """Asked once a step; the answer to an earlier question, so that nobody waits for the way there and back."""
        self.say(kind="step", unanswered=1)
        return self._stop

    def _hear(self) -> None:
        with suppress(OSError, ValueError, KeyError), self._connection.makefile("rb") as lines:
            for line in lines:
                reason = json.loads(line)["reason"]
                with self._changed:
                    self._stop = self._stop or reason
                    self._answered += 1
                    self._changed.notify_all()
        self._closed()


def main(load: Load | None = None) -> None:
    """Train; exit code 1 if this process failed, and a file that says why.

    Args:
        load: How the base gets into memory; as ``fit`` does unless a test says otherwise.
    """
    folder, role = Path(sys.argv[1]), sys.argv[2]
    ties.die_with_parent(int(os.environ.pop(PARENT)))
    connection = socket.socket(fileno=os.dup(0))
    leads = role == LEADS and os.environ["LOCAL_RANK"] == "0"
    line = Line(connection) if leads else None
    if line is None:
        ties.die_with_socket(connection)
    peers = Peers()
    try:
        order = Order.read(folder)
        device = _device(order.compute, int(os.environ["LOCAL_RANK"]))
        peers = connect(device.device, leads=leads, role=role)
        carry_out(order, peers, line, folder.parent, device, load)
    except Exception as fault:  # noqa: BLE001 - the boundary: whatever it was, somebody waits for a reason
        faults.write_failed(folder, peers.rank, fault, secondary=isinstance(fault, PeerLost))
        sys.excepthook(type(fault), fault, fault.__traceback__)
        leave(1)
    dist.destroy_process_group()
    leave(0)


def leave(code: int) -> NoReturn:
    """Not through the interpreter's end: a group whose members are gone may wait there, and a thread that is on its way
    back from torch aborts the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def carry_out(
    order: Order, peers: Peers, line: Line | None, artifacts: Path, compute: Compute, load: Load | None
) -> None:
    """Train what was ordered; the first process reports."""
    config = order.config
    sitting = Sitting(
        inspect(config.model.name, config.model.revision),
        config,
        order.train_rows,
        order.eval_rows,
        order.task,
        line.tell if line else lambda _: None,
        artifacts,
        compute,
        line.why_stop if line else lambda: None,
        load or load_seeded(config),
        peers,
    )
    trained = giving_way.train(sitting)
    peers.wait()  # nobody leaves before the first has written what all have trained
    if line is not None:
        folder = None if trained.folder is None else trained.folder.name
        line.say(kind="trained", trained={**asdict(trained), "folder": folder})


def connect(device: str, *, leads: bool, role: str) -> Peers:
    """Meet the others. The process that leads is number 0, whatever number torchrun gave it."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store, _, _ = next(rendezvous("env://", rank=rank, world_size=size))
    if role != LEADS:
        _end_with_first_machine()
    if leads:
        store.set("leads", str(rank))
    rank = (rank - int(store.get("leads"))) % size
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    group_store = dist.PrefixStore("group", store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=group_store, rank=rank, world_size=size, timeout=_PATIENCE)
    for name in [*os.environ]:
        # transformers and accelerate would spread batches and gradients by these, too.
        if name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE") or name.startswith("TORCHELASTIC_"):
            del os.environ[name]
    return Peers(rank, size)


def _end_with_first_machine() -> None:
    """No pipe reaches another machine: there the meeting place itself is watched."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    place = dist.TCPStore(host, port, is_master=False, wait_for_workers=False)  # type: ignore[attr-defined]
    ties.die_unless(lambda: place.check(["leads"]), _LOOK_S)


def _device(compute: Compute, number: int) -> Compute:
    """The device of this process: of several GPUs the one of its number."""
    return replace(compute, device=f"cuda:{number}") if compute.device.startswith("cuda") else compute


if __name__ == "__main__":
    main()
