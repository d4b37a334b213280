"""When a waiting job will start: an estimate from what is known just now.

The runs before it are taken to last as long as recent ones did, and running ones as long as they say.
Neighbours: ``jobs`` gathers the figures. No SQL here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Place:
    """Where a job stands in the queue.

    Attributes:
        position: 1 is the next one to start.
        starts_in_s: Estimate; None where nobody serves the queue, or no run has ended yet to judge by.
        slots: What the living workers of its queue can run at once.
        delay_s: It failed a moment ago and is tried again no sooner; others go first meanwhile.
        too_large: It needs more devices than any living worker of its queue has. Who has GPUs will not take
            it; who has none tells only how many attempts it runs at once, and may.
    """

    position: int
    starts_in_s: float | None
    slots: int
    delay_s: float = 0.0
    too_large: bool = False


def starts_in(ahead: int, slots: int, running: Sequence[float | None], usual_s: float | None) -> float | None:
    """Seconds until the job behind ``ahead`` others gets one of ``slots``.

    Args:
        running: What each running job still needs, seconds; None where it cannot say.
        usual_s: How long a job takes; None where none has ended yet.
    """
    if slots <= 0:
        return None
    if len(running) + ahead < slots:
        return 0.0
    left = [usual_s if one is None else one for one in running]
    known = [max(0.0, one) for one in left if one is not None]
    if len(known) < len(left) or (ahead and usual_s is None):
        return None
    # Each slot by the moment it comes free. More may run than there are slots: a worker has just gone.
    free = sorted([0.0] * max(0, slots - len(known)) + known)[:slots]
    return _free_after(ahead, free, usual_s or 0.0)


def _free_after(ahead: int, free: Sequence[float], usual_s: float) -> float:
    """When a slot comes free for one with ``ahead`` before it, each of whom keeps theirs for ``usual_s``.

    Args:
        free: The moment each slot comes free first, ascending.
    """
    if usual_s <= 0.0 or not ahead:
        return free[0]
    # Only slots that come free before that moment matter; what is done before the last of them joins in is counted.
    several, done = 1, 0
    for place in range(1, len(free)):
        before = sum(ceil((free[place] - one) / usual_s) for one in free[:place])
        if before > ahead:
            break
        several, done = place + 1, before
    last = free[several - 1]
    moments = sorted(one + ceil((last - one) / usual_s) * usual_s for one in free[:several])
    rounds, place = divmod(ahead - done, several)
    return moments[place] + rounds * usual_s
