"""What the tests of the data checks share: rows in one line, a report of them in one line."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from finetune30.config import ExperimentConfig
from finetune30.data import Found, find
from finetune30.data.quality import QualityReport, inspect
from finetune30.data.quality.rows import Dataset
from finetune30.data.roles import Role
from finetune30.data.table import Columns, Table, TableWriter
from tests.data_cases import configured

Row = tuple[Any, ...]
"""Text and label, or text, second text and label."""


def table(rows: Sequence[Row], role: str = "train", *, pairs: bool | None = None) -> Table:
    """A table of these rows; of pairs where they have three parts."""
    pairs = len(rows[0]) == 3 if pairs is None and rows else bool(pairs)
    writer = TableWriter(role, Columns("text", "label", "text_pair" if pairs else None), has_lines=False)
    for text, *pair, label in rows:
        writer.add(text, label, pair=pair[0] if pair else None)
    return writer.finish()


def found(train: Sequence[Row], validation: Sequence[Row] | None = None, test: Sequence[Row] | None = None) -> Found:
    """A source of one to three splits."""
    roles: tuple[Role, ...] = ("train", "validation", "test")
    parts = zip(roles, (train, validation, test), strict=True)
    return Found("rows", {role: table(rows, role) for role, rows in parts if rows is not None})


def dataset(*splits: Sequence[Row] | None) -> Dataset:
    """The rows under one numbering."""
    return Dataset(found(*splits).tables, ExperimentConfig())  # type: ignore[arg-type]


def reported(
    train: Sequence[Row],
    validation: Sequence[Row] | None = None,
    test: Sequence[Row] | None = None,
    *,
    rules: Mapping[str, Any] | None = None,
    spoken: set[str] | None = None,
    **options: Any,
) -> QualityReport:
    """The report on these rows."""
    config = configured("rows", rules=rules)
    return inspect(found(train, validation, test), config, spoken=spoken, **options)


def document(report: QualityReport) -> dict[str, Any]:
    """The report as JSON, read again."""
    stream = io.StringIO()
    report.write_json(stream)
    return json.loads(stream.getvalue())


def told(report: QualityReport, name: str) -> tuple[str, int, list[str]]:
    """Status, count and rows of a check as the JSON tells them."""
    (one,) = (one for one in document(report)["checks"] if one["name"] == name)
    assert (one["status"], one["count"]) == (str(report[name].status), report[name].count)
    return one["status"], one["count"], one["rows"]


@cache
def _builtin(name: str) -> dict[str, tuple[tuple[str, str], ...]]:
    tables = find(configured(name)).tables
    return {role: tuple(zip(t.texts, map(str, t.labels), strict=True)) for role, t in tables.items()}


def sound(count: int, start: int = 0, name: str = "builtin:reviews") -> list[Row]:
    """Rows with nothing wrong: different sentences, the labels taking turns."""
    by_label: dict[str, list[Row]] = {}
    for row in _builtin(name)["train"]:
        by_label.setdefault(row[1], []).append(row)
    turns = [row for rows in zip(*by_label.values(), strict=False) for row in rows]
    return turns[start : start + count]


def numbers(*rows: int) -> Any:
    """Rows as an array."""
    return np.array(rows, np.int64)
