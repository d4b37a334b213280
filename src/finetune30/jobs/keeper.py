"""The keeper: what must be done again and again so that no job is lost.

Every ``LEASE_S`` / 6 it says that its worker lives, finds jobs whose worker fell silent, and rings for
jobs whose message may be lost. Every worker has one (and the API, later); they need not know each other.
Promises: an outage of database or broker is said once and survived; after this machine was suspended the
processes on it may prove that they live before they are given up.
Neighbours: ``experiments.queue`` does what is asked, ``bell`` rings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from finetune30.errors import Finetune30Error
from finetune30.experiments import Queue
from finetune30.jobs.bell import Bell
from finetune30.settings import Settings

# Messages sent in one round; more wait for the next one.
_AT_ONCE = 100
# A round so many periods late means that this machine, or this process, stood still.
_STOOD_STILL = 2.5
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def awake_or_not() -> float:
    """Seconds that go on while the machine sleeps, unlike ``time.monotonic()``."""
    return time.clock_gettime(_CLOCK)


class Keeper:
    """Rounds in a thread of its own while the ``with`` block runs.

    Args:
        bell: Rung for jobs that wait; workers of one machine without a broker need none.
        say: Told in a sentence when something fails, and when it works again.
        sign: Notes in the database that this worker lives; None where there is no worker.
        clock: Seconds, the time this machine is suspended included.
    """

    def __init__(
        self,
        queue: Queue,
        bell: Bell | None,
        settings: Settings,
        say: Callable[[str], None],
        sign: Callable[[], None] | None = None,
        clock: Callable[[], float] = awake_or_not,
    ) -> None:
        self._queue = queue
        self._bell = bell if settings.broker_url is not None else None
        self._period_s = settings.lease_s / 6
        self._ring_again_s = settings.ring_again_s
        self._say = say
        self._sign = sign
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._last_round: float | None = None
        self._troubled: set[str] = set()

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=self._period_s)  # a hung connection must not hold the worker

    def round(self) -> None:
        """One round. Never raises: an outage is said, once."""
        works = [self._sign, None if self._stood_still() else self._queue.reap, self._ring if self._bell else None]
        faults = [fault for work in works if work is not None and (fault := _fault(work)) is not None]
        self._tell("database", f"{faults[0]}; going on when it is back" if faults else None)

    def _keep(self) -> None:
        while True:
            self.round()
            if self._stop.wait(self._period_s):
                return

    def _stood_still(self) -> bool:
        now, before = self._clock(), self._last_round
        late = before is not None and now - before > _STOOD_STILL * self._period_s
        # Never twice in a row: on a machine that is always late nobody would reap.
        self._last_round = None if late else now
        return late

    def _ring(self) -> None:
        due, silent = self._queue.due(_AT_ONCE, self._ring_again_s), False
        for experiment_id, queue in due:
            silent = silent or self._bell is None or not self._bell.ring(experiment_id, queue)
            if silent:  # the others would only wait for the same silence
                self._queue.unrung(experiment_id)
        if due:
            told = "the broker cannot be reached; jobs wait in the database until it is back"
            self._tell("broker", told if silent else None)

    def _tell(self, what: str, trouble: str | None) -> None:
        """Say that something began or ceased to be in trouble."""
        if trouble is not None and what not in self._troubled:
            self._say(trouble)
        elif trouble is None and what in self._troubled:
            self._say(f"the {what} is back")
        (self._troubled.discard if trouble is None else self._troubled.add)(what)


def _fault(work: Callable[[], object]) -> str | None:
    try:
        work()
    except Finetune30Error as cause:
        return cause.message
    except Exception as cause:  # noqa: BLE001 - a keeper that ended would be missed only when a job is lost
        return f"unexpected {type(cause).__name__}: {cause}"
    return None
