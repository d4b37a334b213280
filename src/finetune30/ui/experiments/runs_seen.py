"""What the API says of the runs somebody wants to see, and for how long that is new enough.

A click in the table asks nothing; a look every few seconds asks for the list, its figures, and where the waiting and
running ones stand. While the API is away the last answer stays. Neighbours: ``runs_wanted`` says what is asked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import streamlit as st

from finetune30.client import Experiment, Page, Statistics, Task
from finetune30.errors import Finetune30Error, Refused, ServerFault, Unreachable
from finetune30.ui.experiments.runs_wanted import PAGE_ROWS, Wanted
from finetune30.ui.seats import Seat

_KEY = "runs_seen"
LOOK_EVERY_S = 5
# A timer comes a little early now and then.
_NEW_S = {True: LOOK_EVERY_S - 1.0, False: 3 * LOOK_EVERY_S - 1.0}
_LIVE = ("PENDING", "STARTED")


@dataclass(frozen=True)
class Seen:
    """One answer.

    Attributes:
        whose: The seat that asked.
        tasks: Those of the runs that wait or run, by id.
        at: When, by a clock that only goes on; ``told_at`` is the same moment of the day.
        fault: Why there is none newer.
    """

    whose: str = field(repr=False)
    wanted: Wanted
    after: str | None
    page: Page[Experiment]
    figures: Statistics
    tasks: dict[str, Task]
    people: tuple[str, ...]
    at: float
    told_at: float
    fault: Finetune30Error | None = None

    @property
    def paused(self) -> int:
        """How many of those that are counted as waiting were paused."""
        return sum(one.paused and one.status == "PENDING" for one in self.tasks.values())

    @property
    def is_live(self) -> bool:
        """Whether something waits or runs, anywhere among the runs that are counted."""
        return any(self.figures.by_status.get(one) for one in _LIVE)


def last(seat: Seat) -> Seen | None:
    """The last answer this seat had here."""
    found = st.session_state.get(_KEY)
    return found if isinstance(found, Seen) and found.whose == seat.id else None


def forget() -> None:
    """Something was changed: the next look asks again."""
    st.session_state.pop(_KEY, None)


def look(seat: Seat, wanted: Wanted, after: str | None) -> Seen:
    """What there is now; while the API is away what there was, with the ``fault``.

    Raises: Finetune30Error where nothing is known, or what is wanted is refused.
    """
    before = last(seat)
    same = before is not None and (before.wanted, before.after) == (wanted, after)
    if before and same and not before.fault and time.monotonic() - before.at < _NEW_S[before.is_live]:
        return before
    try:
        found = _asked(seat, wanted, after, before)
    except (Unreachable, ServerFault) as fault:
        if before is None or not same:
            raise
        found = Seen(**{**before.__dict__, "fault": fault})
    st.session_state[_KEY] = found
    return found


def _asked(seat: Seat, wanted: Wanted, after: str | None, before: Seen | None) -> Seen:
    page = _page(seat, wanted, after)
    figures = seat.client.stats(wanted.owner)
    tasks = {}
    if any(figures.by_status.get(one) for one in _LIVE):
        some = seat.client.tasks_page(q=f"status IN ({', '.join(_LIVE)})", limit=200)
        name = seat.person.name if wanted.owner == "me" else wanted.owner
        tasks = {one.task_id: one for one in some.items if name in (None, one.owner)}
    people = before.people if before else ()
    if seat.is_admin and not people:
        people = tuple(sorted(one.name for one in seat.client.users()))
    return Seen(seat.id, wanted, after, page, figures, tasks, people, time.monotonic(), time.time())


def _page(seat: Seat, wanted: Wanted, after: str | None) -> Page[Experiment]:
    try:
        return seat.client.experiments_page(limit=PAGE_ROWS, after=after, **wanted.filters)
    except Refused:
        if wanted.words and wanted.filters["q"] != wanted.words:
            # Alone it says at which of its own characters the fault is.
            seat.client.experiments_page(limit=1, q=wanted.words, owner=wanted.filters.get("owner"))
        raise
