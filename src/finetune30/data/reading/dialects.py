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

_SPACE_AND_QUOTE = re.compile(' +"')


@dataclass(frozen=True)
class Dialect:
    """Of one CSV file.

    Args:
        spaced: Spaces behind a delimiter are no part of the cell: ``good, "so, so"``.
        declared: The first line is ``sep=;``, which is no header.
    """

    delimiter: str
    spaced: bool = False
    declared: bool = False

    def notes(self, where: str) -> list[str]:
        """What is to be said of it: whatever is not plain CSV."""
        name = _DELIMITERS[self.delimiter]
        separated = [] if self.delimiter == "," else [f"{where} is separated by {name}"]
        return [*separated, f"{where} has spaces between {name} and quotes, skipped"] if self.spaced else separated


def dialect_of(start: str) -> Dialect:
    """The dialect of a file that starts like this; commas in doubt."""
    start = start.removesuffix(DOS_END)
    if declared := _DECLARED.match(start):
        return Dialect(declared[1], _is_spaced(start[declared.end() :], declared[1]), declared=True)
    fits = {delimiter: max(_fit(start, delimiter), _fit(start, delimiter, spaced=True)) for delimiter in _DELIMITERS}
    best = max(fits, key=lambda delimiter: fits[delimiter])
    delimiter = best if fits[best] > (0.0, 1) else ","
    return Dialect(delimiter, _is_spaced(start, delimiter))


def _is_spaced(start: str, delimiter: str) -> bool:
    """Whether quotes behind a space are quotes: rows fit only then, or most rows have them."""
    plain, spaced = _fit(start, delimiter), _fit(start, delimiter, spaced=True)
    if plain != spaced:
        return spaced > plain
    rows = _first_rows(start, delimiter)
    quoted = [cells for cells in rows if any(_SPACE_AND_QUOTE.match(cell) for cell in cells[1:])]
    return spaced > (0.0, 0) and len(quoted) * 2 > len(rows)


def _fit(start: str, delimiter: str, *, spaced: bool = False) -> tuple[float, int]:
    """Share of the first rows that have as many cells as there are names, and that number."""
    if spaced and not re.search(re.escape(delimiter) + _SPACE_AND_QUOTE.pattern, start):
        return 0.0, 0
    rows = _first_rows(start, delimiter, spaced=spaced)
    compared = rows[1:-1] or rows[1:]  # the last one may be cut
    if not rows or len(rows[0]) < 2:
        return 0.0, 0
    names = max((at for at, name in enumerate(rows[0], start=1) if name.strip()), default=0)
    fitting = [cells for cells in compared if len(cells) >= names and not any(cells[len(rows[0]) :])]
    return (len(fitting) / len(compared) if compared else 1.0), names


def _first_rows(start: str, delimiter: str, *, spaced: bool = False) -> list[list[str]]:
    """The header and the rows behind it; none if quotes behind spaces turn out to be texts."""
    rows: list[list[str]] = []
    text = io.StringIO(start, newline="")
    try:
        for cells in csv.reader(text, delimiter=delimiter, skipinitialspace=spaced, strict=True):
            if not is_blank(cells, before_header=not rows):
                rows.append(cells)
            if len(rows) > _ROWS_COMPARED + 1:
                break
    except csv.Error as fault:  # a quote that this delimiter does not end, or that goes on beyond the start
        if spaced and "unexpected end of data" not in str(fault):
            return []
    return rows


def is_blank(cells: list[str], *, before_header: bool) -> bool:
    """Whether a line is no row: an empty one, before the header also one of delimiters alone."""
    if before_header:
        return not any(cell.strip() for cell in cells)
    return not cells or (len(cells) == 1 and not cells[0])
