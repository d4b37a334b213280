"""The queue before the models: what waits is computed in batches, whoever asked, by the threads of a crew.

Nobody else calls a model. Each thread computes a batch of its own; what they share (the base, adapters) is only
read. Requests take turns row by row, so a thousand texts of one do not keep one text of another waiting. Of what
has its turn, rows of one engine make a batch. A request that was given up frees its place.
Neighbours: ``host`` asks, ``crew`` says how many threads; ``modeling.shared`` computes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from finetune30.errors import Busy, Finetune30Error
from finetune30.modeling.memory import is_out_of_memory
from finetune30.modeling.shared import Row
from finetune30.serving.crew import Crew
from finetune30.serving.limits import Figures, Limits
from finetune30.serving.timing import Timing

Logits = list[NDArray[np.float32]]
_LOG = logging.getLogger("finetune30.serving")
# A thread computes fewer rows for not much less than these.
_WORTH_A_BATCH = 8


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
class _Asked:
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
class _Place:
    asked: _Asked
    at: int

    @property
    def row(self) -> Row:
        return self.asked.rows[self.at]


class Lane:
    """Threads with a bounded queue before them.

    Args:
        waited: Told the seconds each request waited until its first row was computed.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        waited: Callable[[float], None] = lambda _: None,
        crew: Crew | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.crew = crew or Crew()
        self.figures = Figures()
        self._waited = waited
        self._turns: deque[_Asked] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._alone = threading.Lock()
        self._closed = False
        self._busy = 0
        self._timing = Timing(self.crew.together)
        threads = torch.get_num_threads()
        begun = threading.Barrier(self.crew.workers + 1)
        self._threads = [
            threading.Thread(target=self._run, args=(begun,), name=f"lane-{number}", daemon=True)
            for number in range(self.crew.workers)
        ]
        for thread in self._threads:
            thread.start()
        begun.wait()
        torch.set_num_threads(threads)  # what a thread sets is also what threads to come begin with

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._waiting

    @property
    def is_idle(self) -> bool:
        """Whether no thread computes, and nothing waits."""
        return not self._busy and not self._turns

    def ask(self, engine: Engine, rows: Sequence[Row], *, bounded: bool = True, here: bool = False) -> Future[Logits]:
        """Logits of each row, in the order of the rows; cancel the future to give the request up.

        Args:
            bounded: False for the service's own rows, a batch at most: they are not refused for what waits, and have
                the next turn, all at once: one by one between others' they would make a batch each.
            here: One short row may be computed by the caller, if nothing else waits or is computed just now: the
                threads need not be woken, which takes as long as a tenth of the row.
        Raises: Busy when too many rows wait.
        """
        asked = _Asked(engine, rows, Future(), time.monotonic(), [None] * len(rows), left=len(rows), whole=not bounded)
        if not rows:
            asked.future.set_result([])
            return asked.future
        with self._changed:
            if self._closed:
                raise Busy("the service is ending", hint="ask again in some seconds")
            if bounded and self._waiting + len(rows) > self.limits.waiting_rows:
                raise Busy(
                    f"{self._waiting} texts wait already, at most {self.limits.waiting_rows} may",
                    hint="ask again in some seconds, or with fewer texts",
                )
            now = here and len(rows) == 1 and engine.mixes and self.is_idle
            now = now and self._timing.is_short(engine, len(rows[0].ids))
            if not now:
                self._waiting += len(rows)
                (self._turns.append if bounded else self._turns.appendleft)(asked)
                self._changed.notify()
        if now:
            with self._timing.lone(engine, len(rows[0].ids)):
                self._compute([_Place(asked, 0)])
            return asked.future
        asked.future.add_done_callback(lambda future: self._forget(asked) if future.cancelled() else None)
        return asked.future

    def close(self) -> None:
        """Compute what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _forget(self, asked: _Asked) -> None:
        with self._changed:
            if asked in self._turns:
                self._turns.remove(asked)
                self._waiting -= len(asked.rows) - asked.next

    def _run(self, begun: threading.Barrier) -> None:
        self.crew.begin()
        begun.wait()
        busy = 0
        while True:
            with self._changed:
                self._busy -= busy
                busy = 0
                while not self._turns and not self._closed:
                    self._changed.wait()
                if not self._turns:
                    return
                places = self._take()
                busy = 1
                self._busy += busy
                if self._turns:
                    self._changed.notify()
            for batch in _batches(places, self.limits):
                self._compute(batch)

    def _take(self) -> list[_Place]:
        """The rows whose turn it is, one of each request after the other; as many as are an idle thread's share."""
        share = max(_WORTH_A_BATCH, -(-self._waiting // (self.crew.workers - self._busy)))
        places: list[_Place] = []
        most = 1 if self._turns[0].whole else min(share, self.limits.batch_rows)
        while self._turns and len(places) < most:
            asked = self._turns.popleft()
            until = len(asked.rows) if asked.whole else asked.next + 1
            places += [_Place(asked, at) for at in range(asked.next, until)]
            asked.next = until
            if asked.next < len(asked.rows):
                self._turns.append(asked)
        self._waiting -= len(places)
        return places

    def _compute(self, batch: list[_Place]) -> None:
        batch = [place for place in batch if not place.asked.future.done()]
        if not batch:
            return
        began = time.monotonic()
        with self._changed:
            new = [asked for asked in dict.fromkeys(place.asked for place in batch) if asked.began_at is None]
            for asked in new:
                asked.began_at = began
        for asked in new:
            self._waited(began - asked.asked_at)
        engine = batch[0].asked.engine
        try:
            with nullcontext() if engine.mixes else self._alone:
                answers = _answers(engine, [place.row for place in batch])
        except Exception as fault:  # noqa: BLE001 - the lane must go on
            _LOG.error("a batch failed: %s", type(fault).__name__, exc_info=not isinstance(fault, Finetune30Error))
            for place in batch:
                _settle(place.asked.future, fault)
            return
        done: list[_Asked] = []
        with self._changed:
            self._note(batch, time.monotonic() - began)
            for place, answer in zip(batch, answers, strict=True):
                place.asked.found[place.at] = answer
                place.asked.left -= 1
                if place.asked.left == 0:
                    done.append(place.asked)
        for asked in done:
            _settle(asked.future, asked.found)

    def _note(self, batch: Sequence[_Place], took_s: float) -> None:
        lengths = [len(place.row.ids) for place in batch]
        figures = self.figures
        figures.batches += 1
        figures.rows += len(batch)
        figures.last_rows = len(batch)
        figures.tokens += sum(lengths)
        figures.padded += max(lengths) * len(lengths)
        figures.busy_s += took_s
        self._timing.note(batch[0].asked.engine, sum(lengths), took_s)


def _batches(places: Sequence[_Place], limits: Limits) -> Iterator[list[_Place]]:
    """Cut into batches of one engine and similar length, rows of one adapter together."""
    kinds: dict[object, list[_Place]] = {}
    for place in places:
        engine = place.asked.engine
        kinds.setdefault((id(engine), None if engine.mixes else id(place.row.adapter)), []).append(place)
    for some in kinds.values():
        some.sort(key=lambda place: len(place.row.ids))
        batch: list[_Place] = []
        for place in some:
            if (len(batch) + 1) * len(place.row.ids) > limits.batch_tokens and batch:
                yield _by_adapter(batch)
                batch = []
            batch.append(place)
        yield _by_adapter(batch)


def _by_adapter(batch: list[_Place]) -> list[_Place]:
    return sorted(batch, key=lambda place: id(place.row.adapter))


def _answers(engine: Engine, rows: Sequence[Row]) -> Logits:
    """A batch that does not fit into memory is halved."""
    try:
        return engine.logits(rows)
    except (RuntimeError, MemoryError) as fault:
        if len(rows) == 1 or not is_out_of_memory(fault):
            raise
    half = len(rows) // 2
    return [*_answers(engine, rows[:half]), *_answers(engine, rows[half:])]


def _settle(future: Future[Logits], found: Any) -> None:
    if future.done():
        return
    with suppress(RuntimeError):  # another thread settles it at this moment: two batches of one request failed
        if not future.set_running_or_notify_cancel():
            return
        if isinstance(found, BaseException):
            future.set_exception(found)
        else:
            future.set_result(found)


__all__ = ["Engine", "Figures", "Lane", "Limits", "Logits"]
