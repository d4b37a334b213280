"""What was asked, row by row, and the batches that are made of it.

Neighbours: ``lane`` queues and computes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from finetune30.modeling.shared import Row
from finetune30.serving.limits import Limits

Logits = list[NDArray[np.float32]]


class Engine(Protocol):
    """Computes batches; only the lane calls it."""

    @property
    def mixes(self) -> bool:
        """Whether rows of different adapters may stand in one batch, and several batches be computed at a time."""
        ...

    def logits(self, rows: Sequence[Row]) -> Logits:
        """Of each row."""
        ...


@dataclass(eq=False)
class Asked:
    """Rows of one request, and their answers."""

    engine: Engine
    rows: Sequence[Row]
    future: Future[Logits]
    asked_at: float
    found: list[Any] = field(default_factory=list)
    next: int = 0
    left: int = 0
    began_at: float | None = None
    whole: bool = False


@dataclass(frozen=True)
class Place:
    """One of them."""

    asked: Asked
    at: int

    @property
    def row(self) -> Row:
        """What is to be computed."""
        return self.asked.rows[self.at]


def batches(places: Sequence[Place], limits: Limits) -> Iterator[list[Place]]:
    """Cut into batches of one engine and similar length, rows of one adapter together."""
    kinds: dict[object, list[Place]] = {}
    for place in places:
        engine = place.asked.engine
        kinds.setdefault((id(engine), None if engine.mixes else id(place.row.adapter)), []).append(place)
    for some in kinds.values():
        some.sort(key=lambda place: len(place.row.ids))
        batch: list[Place] = []
        for place in some:
            if (len(batch) + 1) * len(place.row.ids) > limits.batch_tokens and batch:
                yield _by_adapter(batch)
                batch = []
            batch.append(place)
        yield _by_adapter(batch)


def _by_adapter(batch: list[Place]) -> list[Place]:
    return sorted(batch, key=lambda place: id(place.row.adapter))


def settle(future: Future[Logits], found: Any) -> None:
    """Tell who waits: an answer, or a fault."""
    if future.done():
        return
    with suppress(RuntimeError):  # another thread settles it at this moment: two batches of one request failed
        if not future.set_running_or_notify_cancel():
            return
        if isinstance(found, BaseException):
            future.set_exception(found)
        else:
            future.set_result(found)
