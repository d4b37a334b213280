"""One optimizer step of several processes: every gradient, the loss and all decisions in one exchange.

Each process has the gradient of its own rows' share of the step's mean, so the sum over processes is
the gradient of the whole step, whoever had how many rows. What must be decided alike goes along: a
process without room for its batch, a wish to stop. Neighbours: ``trainer`` calls, ``peers`` exchanges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from finetune30.training.peers import NoRoom, Peers
from finetune30.training.progress import StopRequested


class StopTogether:
    """A wish to stop that all processes hear at the same step.

    The first process asks while gradients are exchanged; so a wish is heard at the end of the step in
    which it was found. Alone, it asks when it is asked.
    """

    def __init__(self, ask: StopRequested, peers: Peers) -> None:
        self._ask = ask
        self._peers = peers
        self._reason: str | None = None

    def __call__(self) -> str | None:
        """Why to stop after this step, or None."""
        return self._ask() if self._peers.size == 1 else self._reason

    def wish(self) -> float:
        """1 if the first process is asked to stop."""
        if self._peers.first:
            self._reason = self._ask()
        return float(self._reason is not None)

    def heard(self, wish: float) -> None:
        """What all processes together wish."""
        if wish and self._reason is None:
            self._reason = "interrupted"  # the first process knows better, and reports


@dataclass(frozen=True)
class StepFigures:
    """Of a whole step: its mean loss, tokens and rows over all processes."""

    loss: float
    tokens: int
    rows: int


class SharedStep:
    """Collects this process's part of a step, then adds up all parts.

    Args:
        trained: The parameters, in the same order everywhere.
    """

    def __init__(self, peers: Peers, trained: Sequence[nn.Parameter], stop: StopTogether) -> None:
        self._peers = peers
        self._trained = trained
        self._stop = stop
        self._loss: Tensor | float = 0.0
        self.no_room = False

    def add(self, loss: Tensor) -> None:
        """The loss of one batch, already divided by the rows of the whole step."""
        self._loss = self._loss + loss

    def finish(self, tokens: int, rows: int) -> StepFigures:
        """Make every gradient that of the whole step.

        Raises: NoRoom if a process ran out of memory; PeerLost.
        """
        there = [float(parameter.grad is not None) for parameter in self._trained]
        for parameter in self._trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self._trained if parameter.grad is not None]
        figures = [self._loss, float(tokens), float(rows), float(self.no_room), self._stop.wish(), *there]
        loss, all_tokens, all_rows, no_room, stop, *anywhere = self._peers.add_up(gradients, figures)
        self._loss, self.no_room = 0.0, False
        if no_room:
            raise NoRoom("out of memory in one of the processes")
        for parameter, owners in zip(self._trained, anywhere, strict=True):
            if not owners:
                parameter.grad = None  # nobody used it: as alone, the optimizer must not touch it
        self._stop.heard(stop)
        return StepFigures(loss, int(all_tokens), int(all_rows))
