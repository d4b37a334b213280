"""Whether a thread that is idle lets more rows come before it computes those that wait.

Who was just answered mostly asks again, but HTTP needs some milliseconds to answer a batch and to read what comes next.
On a machine whose cores all compute, a thread that takes the first rows at once takes that time from HTTP, and computes
many small batches, which cost a third more processor time a row than batches of sixteen.
Neighbours: ``lane`` has the threads and the lock; ``crew`` says where this is worth it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sized
from dataclasses import dataclass

# From so many rows on a row of a batch gets hardly cheaper. With fewer requests than these on their way nobody waits.
_BATCH, _MANY = 16, 8
# This share of the requests that were on their way lately is waited for, while they keep coming.
_SHARE, _FADES = 0.9, 0.9
_MORE_S, _LONGEST_S, _LATELY_S = 0.004, 0.02, 0.2


@dataclass
class Load:
    """What a lane has to do; written with its lock held.

    Attributes:
        turns: Requests that have rows waiting.
        waiting: Rows.
        inside: Requests that have rows in batches of its threads.
        came: Rows that were ever asked for.
    """

    turns: Sized = ()
    waiting: int = 0
    inside: int = 0
    came: int = 0

    @property
    def requests(self) -> int:
        """On their way; one that has rows in both places counts twice."""
        return len(self.turns) + self.inside


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
        self._expected = self._expected_at = 0.0
        self._gatherers = self._idle = 0
        self._hurries = self._ended = False

    @property
    def is_going_on(self) -> bool:
        """Whether a thread waits, which will take what has come."""
        return self._gatherers > 0

    def more(self, idle: int) -> None:
        """Wait while more rows come; the lock is free meanwhile.

        Args:
            idle: Threads that compute nothing, the calling one too.
        """
        now = time.monotonic()
        lately = self._expected if now < self._expected_at + _LATELY_S else 0.0
        if self._on and lately >= _MANY:
            self._idle, self._hurries = idle, False
            self._gatherers += 1
            comes = self._wait(now + _LONGEST_S)
            self._gatherers -= 1
            lately *= _FADES if comes else 0.0
        self._expected, self._expected_at = max(self._load.requests, lately), time.monotonic()

    def _wait(self, until: float) -> bool:
        """Whether rows came to the end."""
        while not self._is_enough() and time.monotonic() < until:
            came = self._load.came
            if not self._enough.wait(_MORE_S) and self._load.came == came:
                return False
        return True

    def came(self, *, hurry: bool) -> None:
        """Rows were asked for.

        Args:
            hurry: They are not to wait for others.
        """
        self._hurries = self._hurries or hurry
        if self._is_enough():
            self._enough.notify_all()

    def end(self) -> None:
        """Nobody waits any more."""
        self._ended = True
        self._enough.notify_all()

    def _is_enough(self) -> bool:
        load = self._load
        there = load.waiting >= _BATCH * self._idle or load.requests >= _SHARE * self._expected
        return there or self._hurries or self._ended
