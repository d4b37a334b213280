"""What the processes of ``test_distributed`` run, in turn: several trainings in one group, because starting costs most.

As a module of its own it is started by torchrun in the place of ``finetune30.training.rank``.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from finetune30 import modeling
from finetune30.errors import Finetune30Error
from finetune30.training import rank, ties
from finetune30.training.encode import LabelledRows
from finetune30.training.launcher import PARENT
from finetune30.training.order import Order
from finetune30.training.peers import Peers
from finetune30.training.progress import Event

SCENARIOS = "scenarios.json"


class Seen(LabelledRows):
    """Rows that remember in which batches they were asked for, and what dropout would draw from at the first."""

    def __init__(self, rows: LabelledRows) -> None:
        super().__init__(rows.tokens, rows.labels, rows.inputs)
        self.asked: list[list[int]] = []
        self.generator = ""

    def batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        if not self.asked:
            self.generator = hashlib.sha256(bytes(torch.get_rng_state().tolist())).hexdigest()
        self.asked.append([int(row) for row in rows])
        return super().batch(rows)


class Listener:
    """In the place of the line to another process."""

    def __init__(self, stop_after: int | None) -> None:
        self.events: list[Event] = []
        self.trained: dict[str, Any] = {}
        self.steps = 0
        self.stop_after = stop_after

    def say(self, **message: Any) -> None:
        self.trained = message["trained"]

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def why_stop(self) -> str | None:
        self.steps += 1
        return "interrupted" if self.steps == self.stop_after else None


def loads(trouble: str | None) -> Callable[[modeling.BaseModel, Sequence[str]], modeling.LoadedBase] | None:
    """The real model, with trouble in it: ``narrow`` has no room for more than two rows, ``broken`` gives NaN."""
    if trouble is None:
        return None

    def load(base: modeling.BaseModel, names: Sequence[str]) -> modeling.LoadedBase:
        loaded = modeling.load(base, names, seed=3)

        def limit(_module: torch.nn.Module, _args: object, inputs: dict[str, torch.Tensor]) -> None:
            if loaded.model.training and len(inputs["input_ids"]) > 2:
                raise torch.OutOfMemoryError("fake device: out of memory")

        def spoil(_module: torch.nn.Module, _args: object, output: Any) -> None:
            output.logits = output.logits * float("nan")

        if trouble == "narrow":
            loaded.model.register_forward_pre_hook(limit, with_kwargs=True)
        else:
            loaded.model.register_forward_hook(spoil)
        return loaded

    return load


def carry_out(artifacts: Path, peers: Peers, *, stop_after: int | None = None, trouble: str | None = None) -> None:
    """Train what was ordered below ``artifacts``; each process leaves ``told-RANK.json``."""
    order = Order.read(artifacts / ".processes")
    seen = Seen(order.train_rows)
    listener = Listener(stop_after)
    error = None
    try:
        rank.carry_out(
            replace(order, train_rows=seen),
            peers,
            listener if peers.first else None,  # type: ignore[arg-type]
            artifacts,
            order.compute,
            loads(trouble),
        )
    except Finetune30Error as fault:
        error = str(fault)
    told = {
        "asked": seen.asked,
        "generator": seen.generator,
        "trained": listener.trained,
        "error": error,
        "notes": [event.message for event in listener.events if event.kind != "step"],
        "losses": [event.loss for event in listener.events if event.kind == "step"],
        "metrics": [event.metrics for event in listener.events if event.kind == "evaluation"],
    }
    (artifacts / f"told-{peers.rank}.json").write_text(json.dumps(told))


def main() -> None:
    folder, role = Path(sys.argv[1]), sys.argv[2]
    if not (folder / SCENARIOS).exists():  # one training, as fit orders it: only the last process is in trouble
        rank.main(load=loads("broken" if os.environ["RANK"] == "1" else None))
        return
    ties.die_with_parent(int(os.environ[PARENT]))
    ties.die_with_socket(socket.socket(fileno=os.dup(0)))
    peers = rank.connect("cpu", leads=os.environ["RANK"] == "0", role=role)
    for scenario in json.loads((folder / SCENARIOS).read_text()):
        trouble = scenario["trouble"] if not peers.first else None
        carry_out(Path(scenario["artifacts"]), peers, stop_after=scenario["stop_after"], trouble=trouble)
    dist.destroy_process_group()
    rank.leave(0)


if __name__ == "__main__":
    main()
