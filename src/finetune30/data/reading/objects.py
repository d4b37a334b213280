"""Rows of JSON Lines files: an object a line.

A text must be a string; a label may be whatever ``labels`` takes for one, lists included. Nesting,
numbers and characters that Python's reader or a database could not bear are errors with their line.
Neighbours: conversations reads rows that are some, lines gives the lines, table chooses the columns and takes the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from finetune30.data.labels import flagged, label_of, told_by
from finetune30.data.reading.conversations import plain
from finetune30.data.reading.decoding import TextFile
from finetune30.data.reading.lines import Lines
from finetune30.data.table import Cell, Columns, Table, TableWriter, choose_columns
from finetune30.errors import DataError

_EXPECTED = 'expected one JSON object a line: {"text": …, "label": …}'


def read_objects(file: TextFile, *, wanted: Columns) -> Table:
    """Every row of a ``.jsonl`` file.

    Raises: DataError for lines that are no objects and for missing columns.
    """
    writer: TableWriter | None = None
    notes: tuple[str, ...] = ()
    with file.lines(first=0, newline="") as lines:
        for line in lines:
            if not line.strip():
                lines.skip()
                continue
            row = plain(_object(line, lines), wanted, lines)
            if writer is None:
                columns, notes = choose_columns(list(row), wanted, file.where)
                writer = TableWriter(file.where, columns, has_lines=True)
            pair = None if columns.pair is None else _text(row, columns.pair, lines)
            text = _text(row, columns.text or "", lines)
            writer.add(text, _label(row, columns, lines), line=lines.begins, pair=pair)
            lines.end_row()
    if writer is None:
        raise DataError("the file is empty", where=file.where, hint='one object a line: {"text": …, "label": …}')
    return writer.finish(notes=notes)


def typed_label(row: Mapping[str, object], columns: Columns, place: str) -> Cell:
    """The label of a row whose cells have types.

    Raises: DataError for what is no label.
    """
    if columns.flags:
        return flagged([row.get(flag) for flag in columns.flags], columns, place)
    cell = label_of(row.get(columns.label or ""), place)
    return told_by(cell, columns) if isinstance(cell, str) else cell


def _label(row: Mapping[str, object], columns: Columns, lines: Lines) -> Cell:
    try:
        return typed_label(row, columns, lines.place())
    except RecursionError as cause:
        raise lines.fault("the label is a list of lists of lists", "a label is a name, or a list of names") from cause


def _object(line: str, lines: Lines) -> dict[str, object]:
    try:
        row = json.loads(line)
        if "\\u" in line:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as cause:
        raise lines.fault(
            "half a surrogate pair, which is no character",
            "a text was cut inside an emoji; remove the broken half",
        ) from cause
    except (ValueError, RecursionError) as cause:
        fault = str(cause).partition(": line ")[0]
        hint = "a JSON array is not read; write its objects one a line" if line.lstrip()[0] == "[" else None
        raise DataError(f"not valid JSON ({fault}), {_EXPECTED}", where=lines.place(), hint=hint) from cause
    if not isinstance(row, dict):
        raise DataError(f"a JSON {type(row).__name__}, {_EXPECTED}", where=lines.place())
    return row


def _text(row: Mapping[str, object], column: str, lines: Lines) -> str:
    if column not in row:
        raise lines.fault(f"the object has no {column!r}", "every line needs the same keys")
    text = row[column]
    if text is None:
        return ""
    if not isinstance(text, str):
        raise lines.fault(f"{column!r} is {json.dumps(text)[:40]}, expected a string", "quote it")
    return text
