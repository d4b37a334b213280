"""How often open pages are drawn anew by themselves, where the machine has something else to compute.

A browser asks for a live page again every few seconds, whether it has been drawn meanwhile or not; and a training on
the same machine waits for each of its cores. Promises: what a person does is never held back; a page that took long to
draw rests for ``RESTS`` times as long; where others use the machine, all live pages together take ``SHARE`` of it, each
as much as another. A look that is left out loses nothing, for its browser asks again.
Neighbours: ``sockets`` asks here for each look; a page says how long ago it was drawn before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable

import psutil

RESTS = 1
"""A page is drawn for half of its time at most."""
LONGEST_REST_S = 8.0
"""A look may have waited for an API that was away: that is no work, and it should be seen when it is back."""
SHARE = 0.016
"""Of all cores."""
LONGEST_WAIT_S = 13.0
"""However many they are: nobody should take a page for dead."""
_COST_S, _MOST_COST_S = 0.02, 0.05
"""Of a look, as long as none was seen, and as far as what was seen can be one look's."""
_BUSY = 0.6
"""Of all cores: from there on, others wait for what pages take."""
_SEEN_EVERY_S = 2.0
_LOST_S = 30.0
"""A look at what has gone from the page meanwhile is never told to be drawn."""
_LIVE_S = 60.0
"""Who has not asked for so long has no live page any more, or one that nobody sees: browsers let those rest."""


class Machine:
    """What is computed on it."""

    def __init__(self) -> None:
        mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        self._mine = frozenset(mine)
        self.cores = len(self._mine)

    def spent_s(self) -> float:
        """Processor seconds of this process so far."""
        return time.process_time()

    def busy(self) -> float:
        """The part of the cores we may use that was in use since it was asked last."""
        each = psutil.cpu_percent(None, percpu=True)
        mine = [used for core, used in enumerate(each) if core in self._mine] or each
        return sum(mine) / len(mine) / 100


class Pace:
    """That of one process.

    Args:
        clock: Seconds, for tests.
    """

    def __init__(self, machine: Machine | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._machine = machine or Machine()
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[Hashable, float] = {}
        self._began: dict[Hashable, tuple[float, float]] = {}
        self._free_at: dict[Hashable, float] = {}
        self._spent, self._cost_s = self._machine.spent_s(), _COST_S
        self._seen_at, self._busy = clock(), self._machine.busy()

    def may_look(self, page: Hashable) -> bool:
        """Whether this page is drawn now that its browser asks for it by itself; ``looked`` hears when it was."""
        with self._lock:
            now = self._clock()
            self._asked[page] = now
            begun = self._began.get(page)
            if (begun is not None and now - begun[0] < _LOST_S) or now < self._free_at.get(page, 0.0):
                return False
            self._began[page] = (now, self._machine.spent_s())
            return True

    def looked(self, page: Hashable) -> None:
        """It is drawn."""
        with self._lock:
            began = self._began.pop(page, None)
            if began is None:
                return
            now, (at, before) = self._clock(), began
            spent = self._machine.spent_s()
            # Others' looks and clicks take processor time meanwhile, too.
            cost = min(spent - max(self._spent, before), _MOST_COST_S)
            self._spent, self._cost_s = spent, 0.9 * self._cost_s + 0.1 * cost
            rest = max(min(RESTS * (now - at), LONGEST_REST_S), min(self._share_s(now), LONGEST_WAIT_S))
            self._free_at[page] = now + rest

    def left(self, page: Hashable) -> None:
        """Nobody looks at it any more."""
        with self._lock:
            for kept in (self._asked, self._began, self._free_at):
                kept.pop(page, None)

    def _share_s(self, now: float) -> float:
        """How long all live pages need for a look each, where they have ``SHARE`` of the machine."""
        if now - self._seen_at >= _SEEN_EVERY_S:
            self._seen_at, self._busy = now, self._machine.busy()
        if self._busy < _BUSY:
            return 0.0
        self._asked = {page: at for page, at in self._asked.items() if now - at < _LIVE_S}
        return len(self._asked) * self._cost_s / (SHARE * self._machine.cores)
