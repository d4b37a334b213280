"""The lines of a text file, none of them endless, and where their reader stands.

A file may be one line of a gigabyte, or open a quote that is never closed: no row is ever held
beyond ``LONGEST_ROW``. Neighbours: decoding makes them, delimited and objects read rows from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TextIO

from finetune30.data.table import shortened
from finetune30.errors import DataError

LONGEST_ROW = 16 << 20  # characters
HEADER = -1
_BROKEN = re.compile("[\udc00-\udcff]")
_BROKEN_KEPT = 10
_BROKEN_COUNTED = 10_000
_PLACES_KEPT = 5
DOS_END = "\x1a"  # Ctrl-Z: old DOS tools write it behind the last line


class Lines:
    """Gives the lines one by one; the reader says where its rows end.

    Args:
        first: Number of the first row; ``HEADER`` where a row of names comes before row 0.
    Attributes:
        number: Of the line given last, counted from 1.
        begins: Line where the row that is being read begins.
        row: Number of that row.
    """

    def __init__(self, text: TextIO, where: str, first: int) -> None:
        self.where = where
        self.number = 0
        self.begins = 1
        self.row = first
        self._text = text
        self._held = 0

    def __iter__(self) -> Iterator[str]:
        for line in iter(partial(self._text.readline, LONGEST_ROW), ""):
            if line == DOS_END:  # without a line end: nothing follows
                return
            self.number += 1
            self._held += len(line)
            if self._held >= LONGEST_ROW:
                raise self.fault(
                    f"the row is longer than {LONGEST_ROW:,} characters",
                    "split the text; if it is no text, it is not read",
                )
            if "\0" in line:
                raise self.fault("a NUL byte, which no text holds", "remove it, or save the file again as UTF-8 text")
            yield line

    def end_row(self) -> None:
        """The lines given so far are done with: a row ended."""
        self.row += 1
        self.begins = self.number + 1
        self._held = 0

    def skip(self) -> None:
        """The lines given so far are done with, and were no row."""
        self.begins = self.number + 1
        self._held = 0

    def place(self) -> str:
        """Where the row that is being read begins: ``rows.csv: line 5 (row 3)``."""
        return f"{self.where}: {placed(self.begins, self.row)}"

    def fault(self, message: str, hint: str) -> DataError:
        """An error about the row that is being read."""
        return DataError(message, where=self.place(), hint=hint)


class Places:
    """Places in a file: how many there are, and the first five."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def add(self, place: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= _PLACES_KEPT:
            self._first.append(place)

    def __str__(self) -> str:
        return shortened(self._first, total=self.count)


class Enough(Exception):
    """So many lines are broken that their number no longer matters."""


class Broken:
    """Lines with broken bytes: how many there are, and of the first few the byte and the place."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[tuple[int, str]] = []

    def add(self, byte: int, place: str) -> None:
        """One more.

        Raises: Enough when there are 10,000.
        """
        self.count += 1
        if self.count >= _BROKEN_COUNTED:
            raise Enough
        if self.count <= _BROKEN_KEPT:
            self.first.append((byte, place))


class MarkedLines(Lines):
    """Lines in which bytes that could not be decoded stand as U+DC00 + byte.

    Args:
        broken: Gets every line that has such a byte.
    """

    def __init__(self, text: TextIO, where: str, first: int, broken: Broken) -> None:
        super().__init__(text, where, first)
        self._broken = broken

    def __iter__(self) -> Iterator[str]:
        for line in super().__iter__():
            if found := _BROKEN.search(line):
                self._broken.add(ord(found[0]) - 0xDC00, placed(self.number, self.row))
                line = _BROKEN.sub("\ufffd", line)
            yield line


def placed(line: int, row: int) -> str:
    """``line 5 (row 3)``, or ``line 1 (the header)``."""
    return f"line {line} ({'the header' if row == HEADER else f'row {row}'})"
