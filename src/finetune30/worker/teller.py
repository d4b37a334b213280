"""What a worker says: a line each, with the time; the broker's complaints not again and again.

Neighbours: ``serve`` and all below it speak, ``celery_worker`` gives Celery's log to ``BrokerTeller``.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

from finetune30.monitoring.logs import one_line

_LONGEST = 300


class BrokerTeller(logging.Handler):
    """Warnings of Celery as lines of ours: no traceback, and of a kind the 1st, 10th, 100th, …"""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._times: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record, or only count it."""
        self.tell(record.getMessage(), kind=str(record.msg))

    def tell(self, text: str, kind: str | None = None) -> None:
        """Say ``text`` unless its kind was said lately."""
        times = self._times[kind or text] = self._times.get(kind or text, 0) + 1
        if str(times).strip("0") == "1":
            again = f" ({times} times)" if times > 1 else ""
            self._say(f"broker: {' '.join(text.split())[:_LONGEST]}{again}")

    def all_is_well(self, **_: object) -> None:
        """What happens from now on is news."""
        if self._times:
            self._say("broker: listening again")
        self._times.clear()


def teller(zone: ZoneInfo) -> Callable[[str], None]:
    """Says a line on standard output; who reads no more is not missed."""
    lock = threading.Lock()

    def say(text: str) -> None:
        stamp = datetime.now(zone).isoformat(sep=" ", timespec="seconds")
        with lock, suppress(OSError, ValueError):
            sys.stdout.write(f"{stamp}  {one_line(text)}\n")
            sys.stdout.flush()

    return say
