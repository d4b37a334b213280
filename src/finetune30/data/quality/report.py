"""What the checks found: a status, a count and the rows of each, and the figures of the specification.

Rows are complete, however many they are; people see the first few. The report is a value: it
changes nothing and stops nothing. Neighbours: inspect makes it, the pipeline and the command line read it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from finetune30.data.quality.rows import Dataset

_SHOWN = 5
_NAME_SHOWN = 60
_WRITTEN_AT_ONCE = 10_000
_VERBS = {
    "have": "has",
    "are": "is",
    "hold": "holds",
    "repeat": "repeats",
    "carry": "carries",
    "spell their": "spells its",
}
_SINGLE = re.compile(rf"(?<![\d,.])1 ((?:train |validation |test |held-out )?)(row|text)s ({'|'.join(_VERBS)})\b")


class Verdict(StrEnum):
    """How bad it is: nothing, worth a look, or unfit for training."""

    PASS = "PASS"  # noqa: S105 - no secret
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Rows:
    """A field of a check that names rows of its own: ``{"count", "rows"}`` in JSON."""

    count: int
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Check:
    """One question to the data and its answer.

    Args:
        count: Rows found, unless the reference says otherwise.
        rows: Every row involved, numbered through as in ``Dataset``, ascending.
        found: One sentence for people; empty when there is nothing to say.
        hint: What to do about it.
        details: Further fields of the JSON report, by name.
    """

    name: str
    status: Verdict
    count: int = 0
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    found: str = ""
    hint: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def check(
    name: str,
    rows: NDArray[np.int64],
    found: str,
    hint: str = "",
    *,
    fail: bool = False,
    count: int | None = None,
    **details: Any,
) -> Check:
    """A check that warns, or fails, when it found rows."""
    if (rows[1:] <= rows[:-1]).any():
        rows = np.unique(rows)
    count = len(rows) if count is None else count
    if not count:
        return Check(name, Verdict.PASS, details=details)
    return Check(name, Verdict.FAIL if fail else Verdict.WARN, count, rows, one_of(found), hint, details)


def one_of(sentence: str) -> str:
    """The sentence, in the singular where it counts one: ``1 rows have`` is ``1 row has``."""
    return _SINGLE.sub(lambda it: f"1 {it[1]}{it[2]} {_VERBS[it[3]]}", sentence)


def quoted(name: str) -> str:
    """A label or a word for a sentence: in quotes, on one line, not too long."""
    return repr(name if len(name) <= _NAME_SHOWN else name[: _NAME_SHOWN - 1] + "…")


def _plain(name: str) -> str:
    """The name itself where it can stand on a line."""
    return name if name.isprintable() and len(name) <= _NAME_SHOWN else quoted(name)


@dataclass(frozen=True)
class QualityReport:
    """The answers of all checks.

    Args:
        label_counts: Rows of each label, in all splits that tell labels.
        imbalance_ratio: Rows of the most frequent label over those of the rarest, two digits.
    """

    dataset: Dataset
    source: str
    checks: Sequence[Check]
    label_counts: dict[str, int]
    imbalance_ratio: float
    is_balanced: bool
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Verdict:
        """The worst of all."""
        order = (Verdict.FAIL, Verdict.WARN)
        return next((verdict for verdict in order if any(c.status is verdict for c in self.checks)), Verdict.PASS)

    @property
    def failed(self) -> list[Check]:
        """The checks that say: unfit for training."""
        return [c for c in self.checks if c.status is Verdict.FAIL]

    def __getitem__(self, name: str) -> Check:
        return next(c for c in self.checks if c.name == name)

    def summary(self) -> dict[str, Any]:
        """Everything but the rows, as JSON types: what a run keeps in its metrics and a version in its card."""
        return {
            "status": str(self.status),
            **self._figures(),
            "checks": [{"name": c.name, "status": str(c.status), "count": c.count} for c in self.checks],
        }

    def write_json(self, stream: TextIO, more: Mapping[str, Any] | None = None) -> None:
        """One JSON object on one line, every row named; written bit by bit, so it needs no memory.

        Args:
            more: Further fields at its end.
        """
        head = {"status": str(self.status), "source": self.source, **self._figures(), "notes": list(self.notes)}
        stream.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "checks": [')
        for number, one in enumerate(self.checks):
            fields = {"name": one.name, "status": str(one.status), "count": one.count, "found": one.found}
            fields |= {"hint": one.hint} if one.hint else {}
            stream.write((", " if number else "") + json.dumps(fields, ensure_ascii=False)[:-1] + ', "rows": [')
            self._write_rows(stream, one.rows)
            stream.write("]")
            for name, value in one.details.items():
                stream.write(f', "{name}": ')
                if isinstance(value, Rows):
                    stream.write(f'{{"count": {value.count}, "rows": [')
                    self._write_rows(stream, value.rows)
                    stream.write("]}")
                else:
                    stream.write(json.dumps(value, ensure_ascii=False))
            stream.write("}")
        stream.write("]")
        for name, value in (more or {}).items():
            stream.write(f', "{name}": {json.dumps(value, ensure_ascii=False)}')
        stream.write("}")

    def lines(self) -> Iterator[str]:
        """The report for people."""
        yield f"{self.source}: {self._rows_told()}"
        counts = sorted(self.label_counts.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{_plain(name)} {count:,}" for name, count in counts[:_SHOWN])
        more = f", and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
        balance = "balanced" if self.is_balanced else "not balanced"
        where = " in all splits" if len(self.dataset.roles) > 1 else ""
        yield f"labels: {listed}{more} ({balance}, {self.imbalance_ratio:g} to 1{where})"
        yield from self.notes
        yield ""
        for one in self.checks:
            yield f"{one.status!s:<5} {one.name:<20} {one.found}".rstrip()
            if len(one.rows):
                yield f"{'':<26} {self.rows_shown(one)}"
            if one.hint:
                yield f"{'':<26} {one.hint}"
        yield ""
        yield str(self.status)

    def rows_shown(self, one: Check) -> str:
        """The first rows of a check, and how many more there are."""
        more = f" and {len(one.rows) - _SHOWN:,} more" if len(one.rows) > _SHOWN else ""
        return ", ".join(self.dataset.names(one.rows[:_SHOWN])) + more

    def _rows_told(self) -> str:
        sizes = zip(self.dataset.roles, np.diff(self.dataset.starts), strict=True)
        return ", ".join(f"{size:,} {role} rows" for role, size in sizes)

    def _figures(self) -> dict[str, Any]:
        sizes = zip(self.dataset.roles, np.diff(self.dataset.starts), strict=True)
        return {
            "total_samples": len(self.dataset),
            "splits": {str(role): int(size) for role, size in sizes},
            "label_counts": self.label_counts,
            "imbalance_ratio": self.imbalance_ratio,
            "is_balanced": self.is_balanced,
        }

    def _write_rows(self, stream: TextIO, rows: NDArray[np.int64]) -> None:
        for start in range(0, len(rows), _WRITTEN_AT_ONCE):
            names = ", ".join(f'"{name}"' for name in self.dataset.names(rows[start : start + _WRITTEN_AT_ONCE]))
            stream.write((", " if start else "") + names)
