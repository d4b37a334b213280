"""Rows of CSV and TSV files, whose first line names the columns.

CSV follows RFC 4180, so a text may hold the delimiter and line feeds. TSV has no quoting: real texts
begin with a quote.
Rows that do not fit are one error that names them, never guessed around.
Neighbours: dialects finds the delimiter, lines gives the lines, table chooses the columns and takes the rows.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter

from finetune30.data.labels import flagged, told_by
from finetune30.data.reading.decoding import TextFile
from finetune30.data.reading.dialects import Dialect, dialect_of, is_blank
from finetune30.data.reading.lines import HEADER, Lines, Places, placed
from finetune30.data.table import Cell, Columns, Table, TableWriter, choose_columns
from finetune30.errors import DataError

LONGEST_FIELD = 10_000_000  # characters
_MOST_COLUMNS = 10_000


def read_rows(file: TextFile, *, ending: str, wanted: Columns) -> Table:
    """Every row of a ``.csv`` or ``.tsv`` file.

    Raises: DataError for wrong quotes, ragged rows and missing columns.
    """
    start = file.start()
    dialect = dialect_of(start) if ending == ".csv" else None
    said = [] if dialect is None else dialect.notes(file.where)
    newline = "" if ending == ".csv" or _has_lone_returns(start) else "\n"
    with file.lines(first=HEADER, newline=newline) as lines, _long_fields():
        cut = _cut_at_tabs(lines) if dialect is None else _cut_as_csv(lines, dialect)
        repeats = Places()
        rows = _rows(cut, lines, repeats)
        header = next(rows, None)
        if header is None:
            raise DataError("the file is empty", where=file.where, hint="the first line names the columns")
        names = _names(header, lines)
        columns, found = choose_columns(names, wanted, file.where)
        writer = TableWriter(file.where, columns, has_lines=True)
        beyond = _fill(writer, rows, lines, names, len(header), ending)
    if repeats.count:
        said.append(f"{file.where} repeats the header, skipped: {repeats}")
    if beyond:
        said.append(f"{file.where}: {beyond} rows have cells in columns without a name, which are not read")
    return writer.finish(notes=(*said, *found))


def _fill(
    writer: TableWriter, rows: Iterator[list[str]], lines: Lines, names: list[str], width: int, ending: str
) -> int:
    """Add every row; how many had something in the unnamed columns at the end.

    Raises: DataError for ragged rows, all of them together, and for wrong quotes.
    """
    columns = writer.columns
    add, tell = writer.add, _label_of(names, columns, lines)
    at_text = names.index(columns.text or "")
    at_pair = None if columns.pair is None else names.index(columns.pair)
    beyond = 0
    for cells in rows:
        if len(cells) != width and _is_ragged(cells, names, width):
            raise _ragged(cells, rows, names, width, ending, lines)
        if width > len(names) and any(cells[len(names) :]):
            beyond += 1
        pair = None if at_pair is None else cells[at_pair]
        add(cells[at_text], tell(cells), line=lines.begins, pair=pair)
    return beyond


def _is_ragged(cells: list[str], names: list[str], width: int) -> bool:
    return len(cells) < len(names) or any(cells[width:])


def _label_of(names: list[str], columns: Columns, lines: Lines) -> Callable[[list[str]], Cell]:
    """How a row tells its label."""
    if columns.flags:
        places = [names.index(flag) for flag in columns.flags]
        return lambda cells: flagged([cells[at] for at in places], columns, lines.place())
    if columns.label is None:
        return lambda _: None
    at_label = names.index(columns.label or "")
    if columns.separator is not None:
        return lambda cells: told_by(cells[at_label], columns)
    return itemgetter(at_label)


def _names(header: list[str], lines: Lines) -> list[str]:
    """The names of the columns, those at the end that have none left out."""
    if len(header) > _MOST_COLUMNS:
        raise lines.fault(
            f"there are {len(header):,} columns, expected {_MOST_COLUMNS:,} at most",
            "keep the columns that are needed: texts and labels",
        )
    names = [_bare(name) for name in header]
    while names and not names[-1]:
        names.pop()
    return names


def _bare(name: str) -> str:
    name = name.strip().strip("\ufeff").strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        return name[1:-1].strip()
    return name


def _rows(cut: Iterator[list[str]], lines: Lines, repeats: Places) -> Iterator[list[str]]:
    """The header, then every row; blank lines and repeated headers are neither.

    Args:
        cut: The cells of each line; of several where a quoted text goes on.
        repeats: Gets the line of every row that is the header once more.
    """
    names: list[str] = []
    last = None
    try:
        for cells in cut:
            if is_blank(cells, before_header=last is None):
                lines.skip()
            elif cells[-1] == last and [_bare(cell) for cell in cells] == names:
                repeats.add(f"line {lines.begins}")
                lines.skip()
            else:
                if last is None:
                    names, last = [_bare(cell) for cell in cells], cells[-1]
                yield cells
                lines.end_row()
    except csv.Error as cause:
        hint = 'inside a quoted field write "" for one quote; .tsv files have no quoting at all'
        raise lines.fault(_csv_fault(str(cause)), hint) from cause


def _cut_as_csv(lines: Lines, dialect: Dialect) -> Iterator[list[str]]:
    given = iter(lines)
    if dialect.declared:
        next(given, None)
        lines.skip()
    return csv.reader(given, delimiter=dialect.delimiter, skipinitialspace=dialect.spaced, strict=True)


def _cut_at_tabs(lines: Lines) -> Iterator[list[str]]:
    return (line.rstrip("\n").removesuffix("\r").split("\t") for line in lines)


def _csv_fault(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quoted field that begins in this row is never closed"
    if "field larger than" in message:
        return f"a field is longer than {LONGEST_FIELD:,} characters, or its quote is never closed"
    return f"quotes are wrong in this row: {message}"


@contextmanager
def _long_fields() -> Iterator[None]:
    """The csv module's own limit, one for the whole process, is too short for long documents."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _ragged(
    first: list[str], rows: Iterator[list[str]], names: list[str], width: int, ending: str, lines: Lines
) -> DataError:
    """The one error for a ragged row and all that follow it, however many."""
    hint = 'a text with a comma goes in quotes: "so, so"' if ending == ".csv" else "a text must hold no tab"
    alone = lines.fault(f"the row has {len(first)} cells, the header has {len(names)}", hint)
    places = Places()
    then = ""
    try:
        for cells in chain([first], rows):
            if len(cells) != width and _is_ragged(cells, names, width):
                places.add(f"{placed(lines.begins, lines.row)} has {len(cells)}")
    except DataError as fault:  # beyond which no rows can be told apart
        then = f"; then {str(fault.where).removeprefix(f'{lines.where}: ')}: {fault.message}"
    if places.count == 1:
        return DataError(f"{alone.message}{then}", where=alone.where, hint=hint)
    message = f"{places.count:,} rows have another number of cells than the header ({len(names)}): {places}{then}"
    return DataError(message, where=lines.where, hint=hint)


def _has_lone_returns(start: str) -> bool:
    """Whether the line of names ends in a carriage return alone, as on old Macs."""
    return "\r" in start.lstrip("\r\n").partition("\n")[0].rstrip("\r")
