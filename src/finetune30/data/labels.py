"""Labels: from what a source calls them to the numbers a model learns.

Whole numbers are sorted as numbers and named by their digits; anything else is sorted by name.
A source that orders its labels itself keeps that order. A missing or unknown label is an error that
names its rows, never a class of its own. Neighbours: prepare asks, table holds the cells.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from finetune30.data.table import Cell, Columns, Labels, Table, shortened
from finetune30.errors import DataError

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_NO_LABEL = "-1"  # what GLUE writes where it keeps the answers to itself


def label_of(value: object, place: str) -> Cell:
    """The label that a typed cell holds; several for a list, None where there is none.

    Raises: DataError for fractions, objects and lists within lists.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value != value:  # NaN is how pandas writes "none" among numbers
            return None
        if value.is_integer():
            return str(int(value))
    if isinstance(value, list):
        parts = [label_of(part, place) for part in value]
        if all(isinstance(part, str) for part in parts):
            return _together(part for part in parts if isinstance(part, str))
    raise DataError(
        f"the label is {str(value)[:40]}, expected a name, a whole number, or a list of these",
        where=place,
        hint="this trains classifiers; numbers to predict are not labels",
    )


def told_by(cell: str, columns: Columns) -> Cell:
    """The label that a cell of a text file holds; several where ``columns`` names a separator."""
    return cell if columns.separator is None else _together(cell.split(columns.separator))


def flagged(values: Iterable[object], columns: Columns, place: str) -> Cell:
    """The labels whose column of ``columns.flags`` holds 1.

    Raises: DataError for anything but 0 and 1 (or false and true).
    """
    labels = []
    for name, value in zip(columns.flags, values, strict=True):
        flag = _FLAGS.get(str(value).strip().lower())
        if flag is None:
            raise DataError(
                f"column {name!r} is {str(value)[:40]!r}, expected 0 or 1",
                where=place,
                hint="data.label_columns are columns that say of each label whether the row has it",
            )
        if flag:
            labels.append(name)
    return _together(labels)


def _together(labels: Iterable[str]) -> tuple[str, ...]:
    """In one order, so that the same labels are the same cell."""
    return tuple(sorted({label.strip() for label in labels} - {""}))


def tidied(table: Table, *, several: bool = False) -> Table:
    """The table with surrounding white space taken off its labels, and a note if there was any.

    Args:
        several: Every row tells several labels; a single one becomes a set of one.
    """
    tidy = table.labels.renamed(lambda cell: _tidy(cell, several=several))
    padded = [at for at, cell in enumerate(table.labels.cells) if isinstance(cell, str) and cell != cell.strip()]
    changed = int(np.isin(table.labels.codes, padded).sum()) if padded else 0
    note = f"{table.where}: white space around {changed} labels was taken off"
    return replace(table, labels=tidy, notes=(*table.notes, note) if changed else table.notes)


def _tidy(cell: str | tuple[str, ...], *, several: bool) -> Cell:
    if isinstance(cell, tuple):
        return cell
    name = cell.strip()
    return _together([name]) if several else name or None


def names_in(labels: Labels) -> set[str]:
    """Every label that some row tells."""
    return {name for cell in labels.cells for name in each(cell)}


def each(cell: Cell) -> tuple[str, ...]:
    """The labels of a cell, one by one."""
    return () if cell is None else (cell,) if isinstance(cell, str) else cell


def names_of(table: Table) -> tuple[str, ...]:
    """Every label of the train table, in the order of the model's outputs."""
    present = names_in(table.labels) | set(table.columns.flags)
    if len(present) < 2:
        only = f"one label only ({next(iter(present))!r})" if present else "no label"
        columns = f"column {table.columns.label!r}" if table.columns.label else f"columns {table.columns.flags}"
        raise DataError(
            f"the train split holds {only}, expected two or more",
            where=table.where,
            hint=f"labels come from {columns}; data.label_column chooses another",
        )
    return table.label_order or table.columns.flags or ordered(present)


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Numerically when all are whole numbers (``01`` stays ``01``), else by name."""
    listed = sorted(names)
    if all(_WHOLE_NUMBER.fullmatch(name) for name in listed):
        listed.sort(key=int)
    return tuple(listed)


def check_count(names: Sequence[str], wanted: int | None, where: str) -> None:
    """Refuse a configured number of labels that is not the data's."""
    if wanted is not None and wanted != len(names):
        raise DataError(
            f"model.num_labels is {wanted}, the train split has {len(names)}: {shortened(names)}",
            where=where,
            hint=f"leave model.num_labels out, or set it to {len(names)}",
        )


def unlabelled(table: Table, known: Collection[str]) -> bool:
    """Whether no row of the split tells its label, as in the test splits of benchmarks."""
    if not len(table.labels) or table.labels.several:
        return False
    return not table.labels.cells or (table.labels.cells == (_NO_LABEL,) and _NO_LABEL not in known)


def check_present(table: Table, rows: NDArray[np.int64]) -> None:
    """Refuse rows that have no label."""
    missing = rows[table.labels.codes[rows] < 0]
    if len(missing):
        have = "has" if len(missing) == 1 else "have"
        raise DataError(
            f"{len(missing)} of {len(rows)} rows in use {have} no label: {table.places(missing)}",
            where=table.where,
            hint=f"fill column {table.columns.label!r} or remove these rows",
        )


def check_known(table: Table, rows: NDArray[np.int64], known: Sequence[str]) -> None:
    """Refuse labels that the train split never shows."""
    strange = {at for at, cell in enumerate(table.labels.cells) if not set(each(cell)) <= set(known)}
    strangers = rows[np.isin(table.labels.codes[rows], list(strange))] if strange else rows[:0]
    if len(strangers):
        told = {name for code in set(table.labels.codes[strangers].tolist()) for name in each(table.labels.cells[code])}
        listed = shortened(map(repr, ordered(told - set(known))))
        raise DataError(
            f"labels that the train split does not have: {listed}; {table.places(strangers)}",
            where=table.where,
            hint=f"train has {shortened(map(repr, known))}; spelling and case count",
        )


def numbered(labels: Labels, rows: NDArray[np.int64], names: Sequence[str], *, several: bool) -> NDArray[np.int64]:
    """What a model learns of these rows.

    Returns: Shape (rows,), positions in ``names``; with ``several`` shape (rows, names), 0 or 1.
    """
    number = {name: at for at, name in enumerate(names)}
    if not several:
        ids = np.array([number.get(cell, -1) if isinstance(cell, str) else -1 for cell in labels.cells], np.int64)
        return ids[labels.codes[rows]]
    sets = np.zeros((len(labels.cells), len(names)), np.int64)
    for at, cell in enumerate(labels.cells):
        sets[at, [number[name] for name in each(cell) if name in number]] = 1
    return sets[labels.codes[rows]]
