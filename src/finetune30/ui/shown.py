"""How values look on every page: moments, durations, sizes, numbers, states; in the language of who looks.

A value that is not there is a dash. Moments are in the zone the page was started with. A state has a sign, a name and a
colour, so that colour never stands alone. Everything here is plain text but ``badge``, which is Markdown of ours.
Neighbours: pages use it for cells, captions and figures; its words are ``words/shown.py``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Literal
from zoneinfo import ZoneInfo

import streamlit as st

from finetune30.ui import shell
from finetune30.ui.shell import say

NOTHING = "–"
Colour = Literal["gray", "blue", "green", "red", "orange", "violet"]


@dataclass(frozen=True)
class State:
    """How a state looks.

    Attributes:
        name: In the language of who looks.
        icon: As Streamlit's ``icon=`` takes it.
        sign: One character, for cells of tables.
        colour: Of badges; ``PILL`` has it for cells.
    """

    name: str
    icon: str
    sign: str
    colour: Colour

    @property
    def cell(self) -> str:
        """For a cell of a table, plain text."""
        return f"{self.sign} {self.name}"


# A newer server may know more states; those are shown by their own word.
_STATES: dict[str, tuple[str, str, Colour]] = {
    "PENDING": ("schedule", "○", "gray"),
    "STARTED": ("play_circle", "▶", "blue"),
    "SUCCESS": ("check_circle", "✓", "green"),
    "FAILURE": ("error", "✕", "red"),
    "REVOKED": ("stop_circle", "■", "orange"),
    "PAUSED": ("pause_circle", "‖", "violet"),
}
STATES = ("PENDING", "STARTED", "SUCCESS", "FAILURE", "REVOKED")
"""Those of a run, in the order of its life."""
GUESS_BELOW_S = 600.0
"""Seconds; below it nobody is told a number for when a run will start."""
ENDED = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


def state(status: str, *, paused: bool = False) -> State:
    """How a run's state looks; one that was paused waits, and says so."""
    known = "PAUSED" if paused and status == "PENDING" else status
    if known not in _STATES:
        return State(known, ":material/help:", "?", "gray")
    icon, sign, colour = _STATES[known]
    return State(say(f"shown.{known}"), f":material/{icon}:", sign, colour)


def badge(status: str, *, paused: bool = False) -> None:
    """The state as a coloured badge with its icon."""
    found = state(status, paused=paused)
    st.badge(shell.inert(found.name), icon=found.icon, color=found.colour)


def moment(at: float | None, *, seconds: bool = False) -> str:
    """Unix seconds as date and time: ``2026-01-31 20:15``."""
    if at is None:
        return NOTHING
    return f"{datetime.fromtimestamp(at, _zone()):%Y-%m-%d %H:%M{':%S' if seconds else ''}}"


def local(at: float | None) -> datetime | None:
    """Unix seconds as a moment for a column of moments: the hands of the clock in the page's zone."""
    return None if at is None else datetime.fromtimestamp(at, _zone()).replace(tzinfo=None, microsecond=0)


def zone() -> str:
    """The name of the zone moments are shown in, for captions: ``Asia/Taipei``."""
    return shell.OPTIONS.tz


def ago(at: float | None, now: float | None = None) -> str:
    """How long since: ``3 min ago``; a date beyond a week."""
    if at is None:
        return NOTHING
    passed = (time.time() if now is None else now) - at
    if passed > 7 * 86400:
        return moment(at)
    return say("shown.just_now") if passed < 5 else say("shown.ago", time=duration(passed, short=True))


def duration(seconds: float | None, *, short: bool = False) -> str:
    """Seconds for people: ``4.2 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``.

    Args:
        short: Only the largest unit, in whole numbers.
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if abs(seconds) < 10 and not short:
        return f"{seconds:.1f} {say('shown.s')}"
    left, parts = max(0, round(seconds)), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts.append((count, unit))
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    some = parts[first : first + (1 if short else 2)]
    return " ".join(f"{count} {say(f'shown.{unit}')}" for place, (count, unit) in enumerate(some) if count or not place)


def wait(seconds: float | None) -> str:
    """When a run starts that waits so long: ``in a moment``, ``within minutes``, ``in about 2 h``.

    It is judged by how long other runs took, so short times are no more than a guess, and told as one.
    """
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return say("shown.at_once")
    if seconds < GUESS_BELOW_S:
        return say("shown.in_minutes")
    return say("shown.in_about", time=duration(seconds, short=True))


def size(count: float | None) -> str:
    """Bytes for people: ``1.5 MiB``."""
    if count is None:
        return NOTHING
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def number(value: float | None, digits: int = 4) -> str:
    """A figure with so many significant digits, thousands apart: ``12,345``, ``0.0005``, ``2.5e-07``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def share(value: float | None, digits: int = 2) -> str:
    """A share of one as percent: ``93.21 %``."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def rate(value: float | None) -> str:
    """Tokens a second: ``1,234 tokens/s``."""
    return NOTHING if value is None else f"{number(value, 3)} {say('shown.tokens_s')}"


def names(some: Iterable[str], most: int = 3) -> str:
    """A few names, and how many more there are."""
    found = list(some)
    told = reduce(lambda one, other: say("shown.and", one=one, other=other), found[:most] or [""])
    return told if len(found) <= most else say("shown.and_more", names=told, count=len(found) - most)


def _zone() -> ZoneInfo:
    return ZoneInfo(shell.OPTIONS.tz)
