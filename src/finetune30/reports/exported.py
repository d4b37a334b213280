"""Predictions as files for other programs: CSV, and JSON Lines, made piece by piece.

A CSV is opened by spreadsheets, which compute what begins with ``=``: such a cell begins with an apostrophe (OWASP,
CSV injection). JSON Lines keeps every text as it is. Neighbours: ``predictions`` reads the rows.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from finetune30.reports.shapes import Answer, Name

# In full width, too: some programs fold them.
_COMPUTED = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_COLUMNS = ("position", "row", "text", "pair", "label", "predicted", "right", "certainty")
_ROWS_A_PIECE = 500


def csv_pieces(answers: Iterable[Answer], label_names: Sequence[str]) -> Iterator[bytes]:
    """A header, then a line a row; the probability of each label in a column of its own."""
    yield _lines([[*_COLUMNS, *(f"probability of {name}" for name in label_names)]])
    for some in _pieces(answers):
        yield _lines(_cells(one, label_names) for one in some)


def jsonl_pieces(answers: Iterable[Answer]) -> Iterator[bytes]:
    """An object a line."""
    for some in _pieces(answers):
        lines = (json.dumps(asdict(one), ensure_ascii=False, allow_nan=False) for one in some)
        yield "".join(f"{line}\n" for line in lines).encode()


def inert(cell: str) -> str:
    """``cell`` as a spreadsheet will show it, and not compute it; a number is only a number."""
    # Behind spaces, too: some programs trim them first.
    computed = cell.lstrip().startswith(_COMPUTED) or cell.startswith(("\t", "\r"))
    return f"'{cell}" if computed and not _NUMBER.fullmatch(cell) else cell


def _pieces(answers: Iterable[Answer]) -> Iterator[list[Answer]]:
    left = iter(answers)
    while some := list(islice(left, _ROWS_A_PIECE)):
        yield some


def _cells(one: Answer, label_names: Sequence[str]) -> list[Any]:
    told = [one.text, one.pair, _joined(one.label), _joined(one.predicted), str(one.right).lower()]
    return [one.position, one.row, *told, one.certainty, *(one.probabilities[name] for name in label_names)]


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    # With the line ends of RFC 4180: only so is a lone carriage return in a text quoted.
    writer = csv.writer(text)
    writer.writerows([["" if cell is None else inert(str(cell)) for cell in row] for row in rows])
    return text.getvalue().encode()


def _joined(name: Name) -> str:
    return name if isinstance(name, str) else "|".join(name)
