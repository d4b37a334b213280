"""The processes that train one adapter together, and what they say to each other.

One process is a group of one and talks to nobody, so the loop is written once. What goes between
processes are tensors and JSON, never pickle. Sums come out bit for bit the same everywhere: all
decide alike without asking. Neighbours: ``rank`` connects them, ``step`` adds up a step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class NoRoom(RuntimeError):
    """One of the processes ran out of memory; all of them raise this at the same step."""


class PeerLost(RuntimeError):
    """Another process is gone; why, it says itself or its launcher does."""


@dataclass(frozen=True)
class Peers:
    """All processes of a training, as seen from one.

    Attributes:
        rank: This process's number, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that speaks, writes and decides."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor], figures: Sequence[Tensor | float]) -> list[float]:
        """Put the sum over all processes into each tensor, in one exchange.

        Args:
            tensors: float32, of equal shapes everywhere.
            figures: Numbers that travel with them, as float32.
        Returns: The sums of the figures.
        """
        device = tensors[0].device
        numbers = [torch.as_tensor(figure, dtype=torch.float32, device=device).reshape(1) for figure in figures]
        flat = torch.cat([*(tensor.detach().reshape(-1) for tensor in tensors), *numbers])
        self._exchange(lambda: dist.all_reduce(flat))
        start = 0
        for tensor in tensors:
            tensor.detach().copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
        sums: list[float] = flat[start:].tolist()
        return sums

    def gather(self, own: Tensor) -> list[Tensor]:
        """The tensors of all processes in their order; equal shapes, on the CPU."""
        if self.size == 1:
            return [own]
        pieces = [torch.empty_like(own) for _ in range(self.size)]
        self._exchange(lambda: dist.all_gather(pieces, own.contiguous()))
        return pieces

    def told(self, value: Any) -> Any:
        """What the first process says, to all; plain data. The others' value is not looked at."""
        if self.size == 1:
            return value
        words = json.dumps(value).encode() if self.first else b""
        length = torch.tensor([len(words)])
        self._exchange(lambda: dist.broadcast(length, src=0))
        text = torch.zeros(int(length), dtype=torch.uint8)
        if self.first:
            text = torch.tensor(list(words), dtype=torch.uint8)
        self._exchange(lambda: dist.broadcast(text, src=0))
        return json.loads(bytes(text.tolist()))

    def wait(self) -> None:
        """Until all are here."""
        self.told(None)

    def share(self, count: int) -> range:
        """Which of ``count`` places are this process's: every ``size``-th, so that neighbours are dealt out."""
        return range(self.rank, count, self.size)

    @staticmethod
    def _exchange(talk: Callable[[], Any]) -> None:
        try:
            talk()
        except RuntimeError as fault:
            raise PeerLost(f"another process of this training is gone ({str(fault).splitlines()[0]})") from fault


ALONE = Peers()
