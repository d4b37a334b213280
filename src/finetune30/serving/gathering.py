"""Whether a thread that is idle lets more rows come before it computes those that wait.

Who was just answered mostly asks again, but HTTP needs some milliseconds to answer a batch and to read what comes next.
On a machine whose cores all compute, a thread that takes the first rows at once takes that time from HTTP, and computes
many small batches, which cost a third more processor time a row than batches of sixteen.
Neighbours: ``lane`` has the threads and the lock; ``crew`` says where this is worth it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

# From so many rows on a row of a batch gets hardly cheaper; where fewer than these are on their way nobody waits.
_BATCH, _MANY = 16, 8
# This share of the rows that were on their way lately is waited for, while they keep coming.
_SHARE, _FADES = 0.9, 0.9
_MORE_S, _LONGEST_S = 0.004, 0.02


@dataclass
class Load:
    """Rows of a lane; written with its lock held.

    Attributes:
        inside: Of batches that its threads have taken.
        came: All that were ever asked for.
    """

    waiting: int = 0
    inside: int = 0
    came: int = 0


class Gathering:
    """Of a lane; everything here is called with its lock held.

    Args:
        lock: The lane's.
        on: Else nobody waits.
    """

    def __init__(self, lock: threading.RLock, load: Load, *, on: bool) -> None:
        self._load = load
        self._on = on
        self._enough = threading.Condition(lock)
        self._expected = 0.0
        self._idle = 0
        self._ended = False

    @property
    def is_going_on(self) -> bool:
        """Whether a thread waits, which will take what has come."""
        return self._idle > 0

    def more(self, idle: int) -> None:
        """Wait while more rows come; the lock is free meanwhile.

        Args:
            idle: Threads that compute nothing, the calling one too.
        """
        if self._on and not self._idle and self._expected >= _MANY:
            self._idle = idle
            self._wait()
            self._idle = 0
        self._expected = max(self._load.waiting + self._load.inside, _FADES * self._expected)

    def _wait(self) -> None:
        load, until = self._load, time.monotonic() + _LONGEST_S
        while not self._ended and not self._is_enough() and time.monotonic() < until:
            came = load.came
            if self._enough.wait(_MORE_S) or load.came == came:
                return

    def came(self, *, hurry: bool) -> None:
        """Rows were asked for.

        Args:
            hurry: They are not to wait for others.
        """
        if hurry or self._is_enough():
            self._enough.notify_all()

    def end(self) -> None:
        """Nobody waits any more."""
        self._ended = True
        self._enough.notify_all()

    def _is_enough(self) -> bool:
        load = self._load
        return load.waiting >= _BATCH * self._idle or load.waiting + load.inside >= _SHARE * self._expected
