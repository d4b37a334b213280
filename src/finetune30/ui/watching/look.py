"""What is known of one training while somebody looks at it: its task, curves and log, as they were last told.

Promises: a refresh asks at most two things; a server that is away, or asks for patience, changes nothing of what is
shown, and the next refresh tries again. It lives as long as the view of one browser tab and holds nothing of the job.
Neighbours: ``pages.run`` refreshes it, ``stages``, ``curves`` and others draw it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from finetune30.client import Client, WholeTask
from finetune30.errors import Busy, Finetune30Error, RemoteError, ServerFault, Unreachable
from finetune30.ui.watching.near import NEAR, Near
from finetune30.ui.watching.stages import stage_of

T = TypeVar("T")
AWAY = (Unreachable, ServerFault, Busy)
_POINTS = 300
_LOG_LINES = 200
# Further apart than the slowest pace: nobody was looking.
_PAUSED_S = 30.0


class Look:
    """One training, seen by one person.

    Attributes:
        task: None until the first answer.
        at: When that was told, Unix seconds.
        every_s: How long before it was told the time before, as far as that is its pace; 0 where it is not known.
        fault: Why the last refresh brought nothing; None where it did.
        told: A refusal of what the person asked for last, such as a pause.
    """

    def __init__(self, client: Client, run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.task: WholeTask | None = None
        self.curves: dict[str, Any] | None = None
        self.log: str | None = None
        self.at = self.every_s = self._told_at = 0.0
        self.fault: RemoteError | Busy | None = None
        self.told: Finetune30Error | None = None
        self._kept: dict[str, Any] = {}
        self._turn = 0

    @property
    def is_live(self) -> bool:
        """Whether more is to come."""
        return self.task is None or not self.task.has_ended

    @property
    def stage(self) -> str:
        """Where the training is."""
        return "queued" if self.task is None else stage_of(self.task, self.last("at"))

    def refresh(self) -> None:
        """Ask for the task.

        Raises: Missing, Denied, LoginNeeded and other refusals that do not pass.
        """
        self._ask(self._ask_task)

    def refresh_more(self, *, log: bool) -> None:
        """Ask for the curves, or by turns for the log where it is wanted; for nothing before the training has begun.

        Nor where the task was not told just now: who waits for a server that hangs should not wait twice.
        """
        if self.task is None or not self.task.attempt or self.fault is not None:
            return
        self._turn += 1
        wants_log = log and (self.log is None or self._turn % 2 == 0)
        ask = self.ask_log if wants_log else self.ask_curves
        # The API has told the task to this very person just now: they may know what another one was told of it.
        self._ask(lambda: ask(NEAR))

    def once(self, name: str, ask: Callable[[], T]) -> T:
        """What does not change any more: asked for when it is first shown."""
        if name not in self._kept:
            self._kept[name] = ask()
        return cast("T", self._kept[name])

    def forget(self, name: str) -> None:
        """Ask for it again when it is next shown."""
        self._kept.pop(name, None)

    def last(self, figure: str, series: str = "training") -> float | None:
        """The newest value of a curve."""
        values = ((self.curves or {}).get(series) or {}).get("figures", {}).get(figure) or []
        return next((value for value in reversed(values) if value is not None), None)

    def _ask(self, ask: Callable[[], None]) -> None:
        try:
            ask()
            self.fault = None
        except AWAY as fault:
            self.fault = fault

    def _ask_task(self) -> None:
        self.task = self.client.task(self.run_id)
        now, before = time.monotonic(), self._told_at
        # After an outage, or a tab that nobody saw, it says nothing about the pace.
        if before and self.fault is None and now - before < _PAUSED_S:
            self.every_s = now - before
        self._told_at, self.at = now, time.time()

    def ask_curves(self, near: Near | None = None) -> None:
        """The curves, also while they grow."""
        self.curves = (_alone if near is None else near)(
            ("curves", self.run_id), lambda: self.client.curves(self.run_id, _POINTS)
        )

    def ask_log(self, near: Near | None = None) -> None:
        """The end of the log."""
        self.log = (_alone if near is None else near)(
            ("log", self.run_id), lambda: self.client.logs(self.run_id, _LOG_LINES)
        )


def _alone(_: object, ask: Callable[[], T]) -> T:
    return ask()
