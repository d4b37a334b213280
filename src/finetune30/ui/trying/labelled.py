"""Files of texts: read whole, within limits, and written again with a label for each row, in the format they came in.

CSV, TSV, JSON Lines and plain lines, in UTF-8. Promises: no row is left out or moved; a cell of a CSV that a
spreadsheet would run begins with an apostrophe. No Streamlit and no HTTP here. Neighbours: ``labelling`` is the form.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from finetune30.client.predictions import MOST_BYTES

ENDINGS = ("csv", "tsv", "jsonl", "txt")
MOST_MB = 20
MOST_ROWS = 20_000
_MOST_COLUMNS = 200
_TEXT_NAMES = (
    "text",
    "sentence",
    "content",
    "review",
    "comment",
    "message",
    "premise",
    "question",
    "文字",
    "內容",
    "句子",
)
_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_LONGEST_CELL = 2_000_000


class Unreadable(Exception):
    """The file cannot be read.

    Args:
        why: The end of a key of words, ``tryout.bad_<why>``.
        values: Of the text of that key.
    """

    def __init__(self, why: str, **values: object) -> None:
        super().__init__(why)
        self.why = why
        self.values = values


@dataclass(frozen=True)
class Rows:
    """What a file holds.

    Attributes:
        ending: Of the file that is written again; lines become CSV.
    """

    ending: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def usual(self) -> int:
        """The place of the column that probably holds the texts."""
        lowered = [one.strip().lower() for one in self.columns]
        return next((lowered.index(name) for name in _TEXT_NAMES if name in lowered), 0)

    def texts(self, column: str) -> list[str]:
        """Those of a column; what is no text, or nothing, is empty."""
        found = [one.get(column) for one in self.rows]
        return [one if isinstance(one, str) else "" if one is None else str(one) for one in found]


def read(name: str, content: bytes) -> Rows:
    """The rows of a file.

    Raises: Unreadable.
    """
    ending = PurePath(name).suffix.lower().removeprefix(".")
    if ending not in ENDINGS:
        raise Unreadable("ending", endings=", ".join(ENDINGS))
    if len(content) > MOST_MB << 20:
        raise Unreadable("large", most=MOST_MB)
    text = _decoded(content)
    match ending:
        case "jsonl":
            found = _json_lines(text)
        case "txt":
            lines = [line for line in text.splitlines() if line.strip()]
            found = Rows("csv", ("text",), tuple({"text": line} for line in lines))
        case _:
            found = _table(text, ending)
    if not found.rows:
        raise Unreadable("empty")
    if len(found.rows) > MOST_ROWS:
        raise Unreadable("many", count=len(found.rows), most=MOST_ROWS)
    return found


def too_long(texts: Sequence[str]) -> int | None:
    """The number of the first row whose text no question can hold, from 1."""
    sent = (json.dumps(one, ensure_ascii=False).encode(errors="replace") for one in texts)
    return next((at for at, one in enumerate(sent, 1) if len(one) > MOST_BYTES), None)


def written(rows: Rows, answers: Mapping[str, Sequence[Any]]) -> bytes:
    """The file again, with more columns; a column that is there already keeps its values under ``source_<name>``.

    Args:
        answers: A value for each row, by the column's name.
    """
    renamed = {one: f"source_{one}" if one in answers else one for one in rows.columns}
    names = [*renamed.values(), *answers]
    made = (
        {
            **{renamed[name]: one.get(name) for name in rows.columns},
            **{name: some[at] for name, some in answers.items()},
        }
        for at, one in enumerate(rows.rows)
    )
    if rows.ending == "jsonl":
        return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in made).encode(errors="replace")
    return _separated(names, made, rows.ending)


def _separated(names: Sequence[str], made: Iterator[dict[str, Any]], ending: str) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="\t" if ending == "tsv" else ",", lineterminator="\n")
    writer.writerow([_cell(name, ending) for name in names])
    for one in made:
        writer.writerow([_cell(one[name], ending) for name in names])
    # With its mark, without which spreadsheets read UTF-8 as something else.
    return file.getvalue().encode("utf-8-sig" if ending == "csv" else "utf-8", errors="replace")


def _cell(value: Any, ending: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if ending == "csv" and value.startswith(_RUN_BY_SPREADSHEETS) and not _WHOLE_NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def _decoded(content: bytes) -> str:
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return content.decode("utf-16")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("encoding") from None
    if "\0" in text:
        raise Unreadable("encoding")
    return text


def _table(text: str, ending: str) -> Rows:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text, ending), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        found = []
        for one in reader:
            if not one:  # an empty line
                continue
            if len(one) != len(columns):
                raise Unreadable("width", line=reader.line_num, count=len(one), expected=len(columns))
            found.append(dict(zip(columns, one, strict=True)))
    except csv.Error:
        raise Unreadable("csv", line=reader.line_num) from None
    _check_names(columns)
    return Rows(ending, tuple(columns), tuple(found))


def _delimiter(text: str, ending: str) -> str:
    if ending == "tsv":
        return "\t"
    first = text.partition("\n")[0]
    return max((",", ";", "\t", "|"), key=first.count)


def _check_names(columns: Sequence[str]) -> None:
    if len(columns) > _MOST_COLUMNS:
        raise Unreadable("columns", most=_MOST_COLUMNS)
    twice = next((one for one in columns if columns.count(one) > 1), None)
    if twice is not None:
        raise Unreadable("twice", name=twice)


def _json_lines(text: str) -> Rows:
    found: list[dict[str, Any]] = []
    columns: dict[str, None] = {}
    # Not splitlines: a text may hold signs that it takes for the end of a line.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise Unreadable("json", line=number) from None
        one = {"text": value} if isinstance(value, str) else value
        if not isinstance(one, dict):
            raise Unreadable("json", line=number)
        found.append(one)
        columns |= dict.fromkeys(one)
        if len(columns) > _MOST_COLUMNS:
            raise Unreadable("columns", most=_MOST_COLUMNS)
    return Rows("jsonl", tuple(columns), tuple(found))
