"""The queue before the models: what waits is computed in batches, whoever asked, by the threads of a crew.

Nobody else calls a model. Each thread computes a batch of its own; what they share (the base, adapters) is only
read. Requests take turns row by row, so a thousand texts of one do not keep one text of another waiting. Of what
has its turn, rows of one engine make a batch. A request that was given up frees its place.
Neighbours: ``host`` asks, ``crew`` says how many threads, ``gathering`` when they wait for more, ``timing`` who
computes a lone row, ``batches`` what is computed at once; ``modeling.shared`` computes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext

import torch

from finetune30.errors import Busy, Finetune30Error
from finetune30.modeling.memory import is_out_of_memory
from finetune30.modeling.shared import Row
from finetune30.serving.batches import Asked, Engine, Logits, Place, batches, settle
from finetune30.serving.crew import Crew
from finetune30.serving.gathering import Gathering, Load
from finetune30.serving.limits import Figures, Limits
from finetune30.serving.timing import Timing

_LOG = logging.getLogger("finetune30.serving")
# A thread computes fewer rows for not much less than these.
_WORTH_A_BATCH = 8


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
        self._turns: deque[Asked] = deque()
        self._load = Load(self._turns)
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._alone = threading.Lock()
        self._closed = False
        self._busy = 0
        self._computing = 0
        self._since = 0.0
        self._timing = Timing(self.crew.together)
        self._gathering = Gathering(lock, self._load, on=self.crew.gathers)
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
        return self._load.waiting

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
        asked = Asked(engine, rows, Future(), time.monotonic(), [None] * len(rows), left=len(rows), whole=not bounded)
        if not rows:
            asked.future.set_result([])
            return asked.future
        with self._changed:
            if self._closed:
                raise Busy("the service is ending", hint="ask again in some seconds")
            if bounded and self._load.waiting + len(rows) > self.limits.waiting_rows:
                raise Busy(
                    f"{self._load.waiting} texts wait already, at most {self.limits.waiting_rows} may",
                    hint="ask again in some seconds, or with fewer texts",
                )
            now = here and len(rows) == 1 and engine.mixes and self.is_idle
            now = now and self._timing.is_short(engine, len(rows[0].ids))
            if not now:
                self._load.waiting += len(rows)
                self._load.came += len(rows)
                (self._turns.append if bounded else self._turns.appendleft)(asked)
                if self._gathering.is_going_on:
                    self._gathering.came(hurry=not bounded)
                else:
                    self._changed.notify()
        if now:
            with self._timing.lone(engine, len(rows[0].ids)):
                self._compute([Place(asked, 0)])
            return asked.future
        asked.future.add_done_callback(lambda future: self._forget(asked) if future.cancelled() else None)
        return asked.future

    def close(self) -> None:
        """Compute what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._gathering.end()
        for thread in self._threads:
            thread.join()

    def _forget(self, asked: Asked) -> None:
        with self._changed:
            if asked in self._turns:
                self._turns.remove(asked)
                self._load.waiting -= len(asked.rows) - asked.next

    def _run(self, begun: threading.Barrier) -> None:
        self.crew.begin()
        begun.wait()
        busy = inside = 0
        while True:
            with self._changed:
                self._busy -= busy
                self._load.inside -= inside
                places = self._next()
                if not places:
                    return
                busy, inside = 1, len({id(place.asked) for place in places})
                self._busy += busy
                self._load.inside += inside
                if self._turns:
                    self._changed.notify()
            for batch in batches(places, self.limits):
                self._compute(batch)

    def _next(self) -> list[Place]:
        """Rows for a thread that has none, once there are some; none when the lane is closed."""
        while True:
            while not self._turns and not self._closed:
                self._changed.wait()
            if not self._turns:
                return []
            if not self._turns[0].whole:
                self._gathering.more(self.crew.workers - self._busy)
            if self._turns:  # they may have been given up meanwhile, or another thread has them
                return self._take()

    def _take(self) -> list[Place]:
        """The rows whose turn it is, one of each request after the other; as many as are an idle thread's share."""
        share = max(_WORTH_A_BATCH, -(-self._load.waiting // (self.crew.workers - self._busy)))
        places: list[Place] = []
        most = 1 if self._turns[0].whole else min(share, self.limits.batch_rows)
        while self._turns and len(places) < most:
            asked = self._turns.popleft()
            until = len(asked.rows) if asked.whole else asked.next + 1
            places += [Place(asked, at) for at in range(asked.next, until)]
            asked.next = until
            if asked.next < len(asked.rows):
                self._turns.append(asked)
        self._load.waiting -= len(places)
        return places

    def _compute(self, batch: list[Place]) -> None:
        batch = [place for place in batch if not place.asked.future.done()]
        if not batch:
            return
        began = time.monotonic()
        with self._changed:
            new = [asked for asked in dict.fromkeys(place.asked for place in batch) if asked.began_at is None]
            for asked in new:
                asked.began_at = began
            if not self._computing:
                self._since = began
            self._computing += 1
        for asked in new:
            self._waited(began - asked.asked_at)
        try:
            self._answer(batch, began)
        finally:
            with self._changed:
                self._computing -= 1
                if not self._computing:
                    self.figures.computing_s += time.monotonic() - self._since

    def _answer(self, batch: list[Place], began: float) -> None:
        engine = batch[0].asked.engine
        try:
            with nullcontext() if engine.mixes else self._alone:
                answers = _answers(engine, [place.row for place in batch])
        except Exception as fault:  # noqa: BLE001 - the lane must go on
            _LOG.error("a batch failed: %s", type(fault).__name__, exc_info=not isinstance(fault, Finetune30Error))
            for place in batch:
                settle(place.asked.future, fault)
            return
        done: list[Asked] = []
        with self._changed:
            self._note(batch, time.monotonic() - began)
            for place, answer in zip(batch, answers, strict=True):
                place.asked.found[place.at] = answer
                place.asked.left -= 1
                if place.asked.left == 0:
                    done.append(place.asked)
        for asked in done:
            settle(asked.future, asked.found)

    def _note(self, batch: Sequence[Place], took_s: float) -> None:
        lengths = [len(place.row.ids) for place in batch]
        figures = self.figures
        figures.batches += 1
        figures.rows += len(batch)
        figures.last_rows = len(batch)
        figures.tokens += sum(lengths)
        figures.padded += max(lengths) * len(lengths)
        figures.busy_s += took_s
        self._timing.note(batch[0].asked.engine, sum(lengths), took_s)


def _answers(engine: Engine, rows: Sequence[Row]) -> Logits:
    """A batch that does not fit into memory is halved."""
    try:
        return engine.logits(rows)
    except (RuntimeError, MemoryError) as fault:
        if len(rows) == 1 or not is_out_of_memory(fault):
            raise
    half = len(rows) // 2
    return [*_answers(engine, rows[:half]), *_answers(engine, rows[half:])]


__all__ = ["Engine", "Figures", "Lane", "Limits", "Logits"]
