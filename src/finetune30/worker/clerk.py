"""The row of one attempt, written by a thread of its own.

Promise: a database that hangs or is away never hangs who watches the process: wishes are handed over
at once and answers fetched when they are there. A word that must be written is tried again until its
time is over, and one that a broken connection had already carried through is recognised. What the
attempt told before its end is in the row before the end is.
Neighbours: ``supervisor`` asks and keeps the time, ``news`` is what a heartbeat carries, ``experiments`` does it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from finetune30.errors import Crashed, DiskFull, Finetune30Error, LeaseLost, StorageError
from finetune30.experiments import Experiment, ExperimentStore
from finetune30.experiments.record import Beat, Claimed, Status
from finetune30.worker.news import News

_AGAIN_S = 0.3
_LAST_S = 5.0


@dataclass(frozen=True)
class Answer:
    """What became of a wish: a value, or why there is none."""

    wish: str
    value: object = None
    error: Finetune30Error | None = None


class Clerk:
    """Writes as the attempt that holds the row.

    Args:
        wake: Called when an answer is there.

    Attributes:
        news: What the attempt told; each heartbeat carries what there is.
        sent: ``time.monotonic()`` when the last heartbeat that was answered was sent, or the claim.
        loss: The database said that the row is not ours any more.
        silent: The last try found no database.
    """

    def __init__(self, store: ExperimentStore, claimed: Claimed, wake: Callable[[], None]) -> None:
        self.news = News()
        self.sent = claimed.sent
        self.loss: LeaseLost | None = None
        self.silent: Finetune30Error | None = None
        self._store = store
        self._claimed = claimed
        self._wake = wake
        self._pending = 0
        self._wishes: queue.SimpleQueue[Callable[[], Answer] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"clerk of {claimed.experiment.id}", daemon=True).start()

    @property
    def busy(self) -> bool:
        """A wish was not answered yet."""
        return self._pending > 0

    def beat(self) -> None:
        """Prolong the lease, once; answered as ``beat`` with a ``Beat``."""
        self._hand_over(self._beat)

    def write(self, wish: str, call: Callable[[], object], until: float, done: Status | None = None) -> None:
        """Have ``call`` done, however often it takes before ``time.monotonic()`` is ``until``.

        Args:
            done: The state in which the row of this attempt is when an earlier try had worked; given for
                what ends the attempt.
        """
        self._hand_over(lambda: self._write(wish, call, until, done))

    def answers(self) -> list[Answer]:
        """Those that have come."""
        come: list[Answer] = []
        while not self._answers.empty():
            come.append(self._answers.get())
            self._pending -= 1
        return come

    def finally_write(self, wish: str, call: Callable[[], object], until: float, done: Status | None = None) -> Answer:
        """As ``write``, and wait for its answer, a little longer than ``until``."""
        self.write(wish, call, until, done)
        patience = max(until, time.monotonic()) + _LAST_S
        while (left := patience - time.monotonic()) > 0:
            try:
                answer = self._answers.get(timeout=left)
            except queue.Empty:
                break
            self._pending -= 1
            if answer.wish == wish:
                return answer
        return Answer(wish, error=StorageError("the database did not answer in time"))

    def close(self) -> None:
        """No more wishes; a call that hangs is left alone."""
        self._wishes.put(None)

    def _hand_over(self, work: Callable[[], Answer]) -> None:
        self._pending += 1
        self._wishes.put(work)

    def _work(self) -> None:
        while (work := self._wishes.get()) is not None:
            answer = work()
            if isinstance(answer.error, LeaseLost):
                self.loss = answer.error
            self._answers.put(answer)
            self._wake()

    def _beat(self) -> Answer:
        sent = time.monotonic()
        try:
            beat = self._carry()
        except LeaseLost as loss:
            return Answer("beat", error=loss)
        except Finetune30Error as error:
            self.silent = error
            return Answer("beat", error=error)
        except Exception as fault:  # noqa: BLE001 - as in _write
            self.silent = Crashed(f"{type(fault).__name__}: {fault}")
            return Answer("beat", error=self.silent)
        self.sent, self.silent = sent, None
        return Answer("beat", beat)

    def _write(self, wish: str, call: Callable[[], object], until: float, done: Status | None) -> Answer:
        tried = False
        while True:
            try:
                if done is not None:
                    self._tell_the_rest()
                return Answer(wish, call())
            except (StorageError, DiskFull) as error:
                self.silent = error
                tried = True
                if time.monotonic() + _AGAIN_S > until:
                    return Answer(wish, error=error)
                time.sleep(_AGAIN_S)
            except LeaseLost as loss:
                # The connection may have broken after the commit: then the row says what we wanted.
                if tried and (found := self._already(done)):
                    return Answer(wish, found)
                return Answer(wish, error=loss)
            except Finetune30Error as error:
                return Answer(wish, error=error)
            except Exception as fault:  # noqa: BLE001 - who waits for the answer must get one
                return Answer(wish, error=Crashed(f"{type(fault).__name__}: {fault}"))

    def _carry(self) -> Beat:
        row = self._claimed
        return self.news.carry(
            lambda progress, events: self._store.heartbeat(row.experiment.id, row.attempt, row.worker, progress, events)
        )

    def _tell_the_rest(self) -> None:
        try:
            if self.news:
                self._carry()
        except (StorageError, DiskFull, LeaseLost):
            raise
        except Exception:  # noqa: BLE001 - news that no database takes must not keep the row from its end
            self.news = News()

    def _already(self, done: Status | None) -> Experiment | None:
        try:
            found = self._store.get(self._claimed.experiment.id)
        except Finetune30Error:
            return None
        # One that somebody had asked to cancel ends so, whatever its attempt says.
        ends = (done, Status.REVOKED) if done is Status.SUCCESS else (done,)
        return found if found.attempt == self._claimed.attempt and found.status in ends else None
