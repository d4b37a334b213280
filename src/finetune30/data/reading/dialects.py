"""How a CSV file is written, as its first rows tell.

The delimiter is the one by which header and first rows fall into the same number of cells, unless a
line before the header names it. Neighbours: delimited reads all rows in the dialect found here.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from finetune30.data.reading.lines import DOS_END

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_ROWS_COMPARED = 20
_DECLARED = re.compile(r'\ufeff?"?sep=([,;|\t])"?(\r\n?|\n|$)', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """Of one CSV file.

    Args:
        declared: The first line is ``sep=;``, which is no header.
    """

    delimiter: str
    declared: bool = False

    def notes(self, where: str) -> list[str]:
        """What is to be said of it: whatever is not plain CSV."""
        return [] if self.delimiter == "," else [f"{where} is separated by {_DELIMITERS[self.delimiter]}"]


def dialect_of(start: str) -> Dialect:
    """The dialect of a file that starts like this; commas in doubt."""
    if declared := _DECLARED.match(start):
        return Dialect(declared[1], declared=True)
    start = start.removesuffix(DOS_END)
    fits = {delimiter: _fit(start, delimiter) for delimiter in _DELIMITERS}
    best = max(fits, key=lambda delimiter: fits[delimiter])
    return Dialect(best if fits[best] > (0.0, 1) else ",")


def _fit(start: str, delimiter: str) -> tuple[float, int]:
    """Share of the first rows that have as many cells as there are names, and that number."""
    rows: list[list[str]] = []
    try:
        for cells in csv.reader(io.StringIO(start, newline=""), delimiter=delimiter, strict=True):
            if not is_blank(cells, before_header=not rows):
                rows.append(cells)
            if len(rows) > _ROWS_COMPARED + 1:
                break
    except csv.Error:  # a quote that this delimiter does not end, or that goes on beyond the start
        pass
    compared = rows[1:-1] or rows[1:]  # the last one may be cut
    if not rows or len(rows[0]) < 2:
        return 0.0, 0
    names = max((at for at, name in enumerate(rows[0], start=1) if name.strip()), default=0)
    fitting = [cells for cells in compared if len(cells) >= names and not any(cells[len(rows[0]) :])]
    return (len(fitting) / len(compared) if compared else 1.0), names


def is_blank(cells: list[str], *, before_header: bool) -> bool:
    """Whether a line is no row: an empty one, before the header also one of delimiters alone."""
    if before_header:
        return not any(cell.strip() for cell in cells)
    return not cells or (len(cells) == 1 and not cells[0])
