"""A run's curves: what ``progress.jsonl`` says, thinned out to as many points as a plot can show.

Promises: memory is bounded however long the journal is; a file that grows meanwhile, a torn last line, a line
that is no JSON are read around; no NaN comes out. Steps that a later attempt did again count once, as it did them.
Thinning keeps the first and the last point, the lowest and the highest loss of every stretch, and the extremes of
every other figure. Neighbours: ``pipeline.attempt`` writes the journal.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

STEP_FIGURES = (
    "loss",
    "learning_rate",
    "epoch",
    "tokens_per_s",
    "at",
    "cpu_percent",
    "memory_bytes",
    "gpu_memory_bytes",
    "gpu_utilization_percent",
)
EVALUATION_FIGURES = ("accuracy", "f1_macro", "loss", "epoch", "at")
LEAST_POINTS = 50
_MOST_BYTES = 8 << 20
_LONGEST_LINE = 1 << 16
_LAST_STEP = 2**53


@dataclass(frozen=True)
class Series:
    """Columns of equal length: ``steps``, and the figures of each step by name; None where one was not told.

    Attributes:
        found: Points there were before thinning.
    """

    steps: list[int]
    figures: dict[str, list[float | None]]
    found: int


@dataclass(frozen=True)
class Curves:
    """Of one run.

    Attributes:
        whole: The journal was read from its beginning; False where only its last 8 MiB were.
    """

    training: Series
    evaluations: Series
    whole: bool


def read_curves(file: BinaryIO | None, points: int) -> Curves:
    """The curves of an open journal, at most ``points`` each; empty where there is none.

    Args:
        points: ``LEAST_POINTS`` or more.
    """
    training, evaluations, whole = _Columns(STEP_FIGURES), _Columns(EVALUATION_FIGURES), True
    if file is not None:
        size = file.seek(0, 2)
        whole = size <= _MOST_BYTES
        file.seek(max(0, size - _MOST_BYTES))
        for line in _lines(file, whole):
            _take(line, training, evaluations)
    return Curves(training.thinned(points, "loss"), evaluations.thinned(points, "accuracy"), whole)


def _lines(file: BinaryIO, whole: bool) -> Iterator[bytes]:
    """Whole lines of what is there now; the first one is torn unless the file was read from its beginning."""
    left, torn = _MOST_BYTES, not whole
    while left > 0 and (line := file.readline(min(_LONGEST_LINE, left))):
        left -= len(line)
        ends = line.endswith(b"\n")
        if ends and not torn:
            yield line
        torn = not ends  # what follows is the rest of a line too long to be ours


def _take(line: bytes, training: _Columns, evaluations: _Columns) -> None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(told, dict) or type(step := told.get("step")) is not int or not 0 <= step <= _LAST_STEP:
        return
    if told.get("kind") == "step":
        system = told.get("system")
        if training.add(step, told | (system if isinstance(system, dict) else {})):
            evaluations.forget(step)
    elif told.get("kind") == "evaluation" and isinstance(metrics := told.get("metrics"), dict):
        evaluations.add(step, {"epoch": told.get("epoch"), "at": told.get("at"), **metrics})


class _Columns:
    """Figures of steps in ascending order, eight bytes each; NaN stands for what was not told."""

    def __init__(self, names: Sequence[str]) -> None:
        self._steps = array("q")
        self._figures = {name: array("d") for name in names}

    def add(self, step: int, told: dict[str, Any]) -> bool:
        """One more; True if it was done before, by an attempt that was lost."""
        again = self.forget(step)
        self._steps.append(step)
        for name, column in self._figures.items():
            column.append(_number(told.get(name)))
        return again

    def forget(self, step: int) -> bool:
        """Take away all from this step on; True if there were any."""
        before = len(self._steps)
        while self._steps and self._steps[-1] >= step:
            self._steps.pop()
            for column in self._figures.values():
                column.pop()
        return len(self._steps) < before

    def thinned(self, points: int, leading: str) -> Series:
        """At most so many of them, the extremes of ``leading`` kept in every stretch."""
        count = len(self._steps)
        kept: Iterable[int] = range(count)
        if count > points:
            kept = sorted(self._worth_keeping(points, leading))
        kept = list(kept)
        figures = {name: [_value(column[at]) for at in kept] for name, column in self._figures.items()}
        return Series([self._steps[at] for at in kept], figures, count)

    def _worth_keeping(self, points: int, leading: str) -> set[int]:
        count = len(self._steps)
        kept = {0, count - 1}
        for column in self._figures.values():
            kept.update(_extremes(column, 0, count))
        stretches = (points - len(kept)) // 2
        edges = [count * at // stretches for at in range(stretches + 1)]
        for begin, end in pairwise(edges):
            kept.update(_extremes(self._figures[leading], begin, end))
        return kept


def _extremes(column: array[float], begin: int, end: int) -> list[int]:
    """Where it is lowest and where highest; where nothing was told, the first place."""
    told = [at for at in range(begin, end) if not math.isnan(column[at])]
    if not told:
        return [begin] if begin < end else []
    return [min(told, key=column.__getitem__), max(told, key=column.__getitem__)]


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        return math.nan
    try:
        found = float(value)
    except OverflowError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def _value(number: float) -> float | None:
    return None if math.isnan(number) else number
