"""What was told of a training a moment ago, for all who look at it: the API reads its files once, not once for each.

Promises: nothing is older than ``FRESH_S`` and what the API took to tell it; of many who ask at once one asks, and a
refusal or a fault is that one's alone; nobody waits for another one for longer than ``FRESH_S``. It does not know who
may see what: ``look`` comes here only right after the API has told the task to the same person, who may know of its
curves and log whatever another one was told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")
FRESH_S = 1.5
"""Less than from one look to the next, so that each look of one who is alone brings something new."""


@dataclass
class _Told:
    value: Any = None
    at: float = float("-inf")
    ended: float = float("-inf")
    asking: threading.Lock = field(default_factory=threading.Lock)


class Near:
    """Of one process.

    Args:
        clock: Seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[Hashable, _Told] = {}
        self._lock = threading.Lock()

    def __call__(self, name: Hashable, ask: Callable[[], T]) -> T:
        """What was told under this name, if that is fresh, else what is told now."""
        with self._lock:
            came = now = self._clock()
            self._told = {
                one: told for one, told in self._told.items() if told.asking.locked() or self._is_fresh(told, now)
            }
            told = self._told.setdefault(name, _Told())
        if not told.asking.acquire(timeout=FRESH_S):
            return ask()  # the other one waits for a server that hangs
        try:
            # However long it took: what came while this one waited is for this one as well.
            if not self._is_fresh(told, self._clock()) and told.ended < came:
                began = self._clock()
                told.value, told.at, told.ended = ask(), began, self._clock()
            return cast("T", told.value)
        finally:
            told.asking.release()

    def __len__(self) -> int:
        return len(self._told)

    @staticmethod
    def _is_fresh(told: _Told, now: float) -> bool:
        return now - told.at < FRESH_S


NEAR = Near()
