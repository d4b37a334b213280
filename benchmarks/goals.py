"""Goals and whether they are met, in Markdown for ``docs/benchmarks.md`` and in numbers for a file.

What was measured is a ratio a round; the goal is held against the median. Neighbours: ``serving`` brings them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune30.bench.report import Spread
from finetune30.monitoring import environment_report


@dataclass(frozen=True)
class Goal:
    """One line of the table.

    Attributes:
        bound: What the median may be: at least this, or at most.
        rounds: What each round brought; none if it was not measured.
    """

    name: str
    bound: float
    rounds: Sequence[float]
    at_least: bool = True
    digits: int = 2

    @property
    def met(self) -> bool | None:
        """None if it was not measured."""
        if not self.rounds:
            return None
        median = Spread.of(self.rounds).median
        return median >= self.bound if self.at_least else median <= self.bound

    def line(self) -> str:
        """Of the table."""
        sign = "≥" if self.at_least else "≤"
        found = _shown(self.rounds, self.digits) if self.rounds else "–"
        told = {True: "met", False: "**missed**", None: "not measured"}[self.met]
        return f"| {self.name} | {sign} {self.bound:g} | {found} | {told} |"

    def figures(self) -> dict[str, Any]:
        """For a file."""
        median = Spread.of(self.rounds).median if self.rounds else None
        return {
            "goal": self.bound,
            "at_least": self.at_least,
            "median": median,
            "rounds": [*self.rounds],
            "met": self.met,
        }


def table(goals: Sequence[Goal]) -> list[str]:
    """All of them."""
    return ["| goal | wanted | found | |", "|---|---|---|---|", *(goal.line() for goal in goals)]


def machine(more: str = "") -> str:
    """A sentence about where and when this was measured."""
    found = environment_report()
    versions = ", ".join(f"{name} {found['versions'][name]}" for name in ("torch", "transformers"))
    load = f"load of the last minute {os.getloadavg()[0]:.1f}"
    peers = f"; peers: {more}" if more else ""
    return (
        f"Machine: {found['cpu']}, {found['cores']} cores, {found['memory_bytes'] / 2**30:.0f} GiB; "
        f"Python {found['python']}, {versions}{peers}; {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {load}."
    )


def _shown(rounds: Sequence[float], digits: int) -> str:
    return Spread.of(rounds).shown(digits) if len(rounds) > 1 else f"{rounds[0]:,.{digits}f}"
