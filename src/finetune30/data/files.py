"""Reading CSV, TSV, JSON Lines and Parquet into a table.

Cells stay what they were: ``NA`` and ``null`` are texts, ``01`` is a label. TSV is read without
quoting (real texts begin with a quote), CSV with (RFC 4180: a text may hold commas and line feeds).
A fault names its line, and nothing is guessed around it.
Neighbours: opening hands in what may be read, arrow reads Parquet, table is what comes out.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from typing import BinaryIO

from finetune30.data.labels import label_of
from finetune30.data.opening import check_content
from finetune30.data.table import Columns, Table, choose_columns
from finetune30.errors import DataError

_BOM_NOTE = "began with a byte order mark, which was skipped"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BLANK: tuple[list[str], ...] = ([], [""])
Record = tuple[int, list[str]]  # line where it begins, cells


def read_table(handle: BinaryIO, ending: str, *, where: str, wanted: Columns) -> Table:
    """Every row of one file.

    Args:
        handle: A regular file, opened at its start.
        ending: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``.
        where: The name that errors carry.
        wanted: The columns to take; those left out are found by name.
    Raises: DataError for wrong content, wrong bytes, ragged rows and missing columns.
    """
    start = handle.read(8)
    check_content(start, ending, shown=where)
    if not start:
        raise DataError("the file is empty", where=where, hint="the first line names the columns")
    handle.seek(0)
    if ending == ".parquet":
        from finetune30.data.arrow import read_parquet

        return read_parquet(handle, where=where, wanted=wanted)
    text, notes = _decoded(handle.read(), ending, where)
    if ending == ".jsonl":
        return _from_objects(text, where, wanted, notes)
    return read_rows(text, ending, where=where, wanted=wanted, notes=notes)


def read_rows(text: str, ending: str, *, where: str, wanted: Columns, notes: tuple[str, ...] = ()) -> Table:
    """The rows of a decoded CSV or TSV file, whose first line names the columns."""
    records = _records(text, ending, where)
    header = next(records, None)
    if header is None:
        raise DataError("the file is empty", where=where, hint="the first line names the columns")
    names = [name.strip() for name in header[1]]
    columns, found = _columns(names, wanted, where)
    at_text, at_label = names.index(columns.text or ""), names.index(columns.label or "")
    texts: list[str] = []
    labels: list[str | None] = []
    lines: list[int] = []
    for line, cells in records:
        if len(cells) != len(names):
            raise _ragged(len(cells), len(names), ending, f"{where}: line {line} (row {len(texts)})")
        texts.append(cells[at_text])
        labels.append(cells[at_label])
        lines.append(line)
    return Table(where, columns, texts, labels, lines, notes=(*notes, *found))


def _columns(names: list[str], wanted: Columns, where: str) -> tuple[Columns, tuple[str, ...]]:
    try:
        return choose_columns(names, wanted, where)
    except DataError as fault:
        if len(names) == 1 and ";" in names[0]:
            raise DataError(fault.message, where=where, hint="separate the columns by commas, not ;") from fault
        raise


def _records(text: str, ending: str, where: str) -> Iterator[Record]:
    """Rows with the line on which each begins. Blank lines are no rows."""
    rows = _csv_rows(text, where) if ending == ".csv" else enumerate(_tsv_cells(text), start=1)
    return ((line, cells) for line, cells in rows if cells not in _BLANK)


def _tsv_cells(text: str) -> Iterator[list[str]]:
    return (content.removesuffix("\r").split("\t") for content in text.split("\n"))


def _csv_rows(text: str, where: str) -> Iterator[Record]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line, row = 1, -1  # the header is row -1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as cause:
            place = "the header" if row < 0 else f"row {row}"
            raise DataError(
                _csv_fault(str(cause)),
                where=f"{where}: line {line} ({place})",
                hint='inside a quoted field write "" for one quote; .tsv files have no quoting at all',
            ) from cause
        yield line, cells
        line = reader.line_num + 1
        row += cells not in _BLANK


def _csv_fault(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quoted field that begins in this row is never closed"
    if "field larger than" in message:
        return f"a field is longer than {csv.field_size_limit():,} characters, or its quote is never closed"
    return f"quotes are wrong in this row: {message}"


def _ragged(found: int, expected: int, ending: str, where: str) -> DataError:
    hint = 'a text with a comma goes in quotes: "so, so"' if ending == ".csv" else "a text must hold no tab"
    return DataError(f"the row has {found} cells, the header has {expected}", where=where, hint=hint)


def _from_objects(text: str, where: str, wanted: Columns, notes: tuple[str, ...]) -> Table:
    columns, found = wanted, notes
    texts: list[str] = []
    labels: list[str | None] = []
    lines: list[int] = []
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        place = f"{where}: line {line} (row {len(texts)})"
        row = _object(content, place)
        if not texts:
            columns, chosen = choose_columns(list(row), wanted, where)
            found = (*notes, *chosen)
        texts.append(_json_text(row, columns.text or "", place))
        labels.append(label_of(row.get(columns.label or ""), place))
        lines.append(line)
    if not texts:
        raise DataError("the file is empty", where=where, hint='one object a line: {"text": …, "label": …}')
    return Table(where, columns, texts, labels, lines, notes=found)


def _object(content: str, place: str) -> dict[str, object]:
    expected = 'expected one JSON object a line: {"text": …, "label": …}'
    try:
        row = json.loads(content)
        if "\\u" in content:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as cause:
        raise DataError(
            "half a surrogate pair, which is no character",
            where=place,
            hint="a text was cut inside an emoji; remove the broken half",
        ) from cause
    except (ValueError, RecursionError) as cause:
        fault = str(cause).partition(": line ")[0]
        hint = "a JSON array is not read; write its objects one a line" if content.strip()[0] == "[" else None
        raise DataError(f"not valid JSON ({fault}), {expected}", where=place, hint=hint) from cause
    if not isinstance(row, dict):
        raise DataError(f"a JSON {type(row).__name__}, {expected}", where=place)
    return row


def _json_text(row: dict[str, object], column: str, place: str) -> str:
    if column not in row:
        raise DataError(f"the object has no {column!r}", where=place, hint="every line needs the same keys")
    text = row[column]
    if text is None:
        return ""
    if not isinstance(text, str):
        raise DataError(f"{column!r} is {json.dumps(text)[:40]}, expected a string", where=place, hint="quote it")
    return text


def _decoded(content: bytes, ending: str, where: str) -> tuple[str, tuple[str, ...]]:
    if content.startswith(_UTF16):
        raise DataError("the file is UTF-16, expected UTF-8", where=where, hint=_recode("UTF-16"))
    has_bom = content.startswith(codecs.BOM_UTF8)
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8"), (f"{where} {_BOM_NOTE}",) if has_bom else ()
    except UnicodeDecodeError as fault:
        raise DataError(
            f"byte 0x{content[fault.start]:02x} is not UTF-8",
            where=f"{where}: {_place_of(content[: fault.start], ending)}",
            hint=_recode("WINDOWS-1252"),
        ) from fault


def _place_of(before: bytes, ending: str) -> str:
    """Line and row of the byte that follows ``before``, which is valid so far."""
    line = before.count(b"\n") + 1
    # The x stands for the broken byte, so that its own row is counted too.
    text = before.decode("utf-8") + "x"
    if ending == ".jsonl":
        row = sum(1 for content in text.split("\n") if content.strip()) - 1
    else:
        cells = csv.reader(io.StringIO(text, newline="")) if ending == ".csv" else _tsv_cells(text)
        try:
            row = sum(1 for found in cells if found not in _BLANK) - 2
        except csv.Error:  # a quote that is never closed, somewhere before
            return f"line {line}"
    return f"line {line} ({'the header' if row < 0 else f'row {row}'})"


def _recode(encoding: str) -> str:
    return f"save it as UTF-8, for example: iconv -f {encoding} -t UTF-8 OLD > NEW"
