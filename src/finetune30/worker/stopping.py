"""Why and until when an attempt is asked to stop.

Promise: who does not stop by itself is dead when its time is over; a wish that came later never
gives more time, and the gravest one decides what becomes of the row.
Neighbour: ``supervisor``.
"""

from __future__ import annotations

import time

# The gravest last: a cancelled run that is drained as well is cancelled.
REASONS = ("drained", "paused", "timed out", "cancelled")
# Share of the time after which a process that does not listen is told by a signal.
_SIGNAL_AFTER = 0.8


class Stopping:
    """The wish to stop, as it stands. Times are ``time.monotonic()``.

    Attributes:
        reason: One of ``REASONS``; None while the attempt may go on.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._asked = 0.0
        self._deadline = 0.0
        self._signalled = False

    def ask(self, reason: str, grace_s: float) -> bool:
        """Note a wish; True if it is news to the attempt."""
        now = time.monotonic()
        if self.reason is None:
            self._asked, self._deadline = now, now + grace_s
        elif REASONS.index(reason) <= REASONS.index(self.reason):
            return False
        self.reason = reason
        self._deadline = min(self._deadline, now + grace_s)
        return True

    def at_once(self, reason: str) -> None:
        """No more time."""
        if self.reason is None:
            self.reason = reason
        self._deadline = 0.0

    @property
    def signal_due(self) -> bool:
        """It is time to terminate it; True once."""
        if self.reason is None or self._signalled:
            return False
        self._signalled = time.monotonic() >= self._asked + _SIGNAL_AFTER * (self._deadline - self._asked)
        return self._signalled

    @property
    def kill_due(self) -> bool:
        """Its time is over."""
        return self.reason is not None and time.monotonic() >= self._deadline
