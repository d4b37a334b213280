"""Rows with equal keys, found in bounded memory.

Keys are appended to a nameless file in row order; to find equal ones the file is read several
times, each time keeping only a range of keys small enough to be sorted. Five million rows are
ten passes over forty megabytes. Neighbours: copies and near ask with their own keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune30.data.stored import nameless_file

_READ_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class Groups:
    """Rows whose key occurs more than once, in the order of (key, row).

    Args:
        rows: Positions, ascending within a group.
        starts: Where each group begins in ``rows``.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]

    @property
    def group_of(self) -> NDArray[np.int64]:
        """The number of the group of each of ``rows``."""
        return np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, len(self.rows))))


class KeyFile:
    """A 64-bit key for each row, in row order.

    Args:
        sorted_at_once: About how many keys are held in memory.
    """

    def __init__(self, sorted_at_once: int = 1 << 19) -> None:
        self._sorted_at_once = sorted_at_once
        self._file = nameless_file(self)
        self._count = 0

    def append(self, keys: NDArray[np.uint64]) -> None:
        """Keys of the rows that follow those appended before."""
        self._file.write(np.ascontiguousarray(keys, np.uint64).data)
        self._count += len(keys)

    def groups(self, open_rows: NDArray[np.bool_]) -> Iterator[Groups]:
        """All rows with equal keys, in a few portions; no group is cut in two.

        Args:
            open_rows: Shape (rows,): which rows take part.
        """
        parts = max(1, -(-int(open_rows.sum()) // self._sorted_at_once))
        width = (1 << 64) // parts + 1
        for part in range(parts):
            low, high = part * width, min((part + 1) * width, 1 << 64) - 1
            keys, rows = self._between(np.uint64(low), np.uint64(high), open_rows)
            order = np.argsort(keys, kind="stable")
            keys, rows = keys[order], rows[order]
            same = np.append(keys[1:] == keys[:-1], False) if len(keys) else np.zeros(0, bool)
            several = same | np.append(False, same[:-1])[: len(same)]
            keys, rows = keys[several], rows[several]
            if len(keys):
                starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
                yield Groups(rows, starts)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()

    def _between(
        self, low: np.uint64, high: np.uint64, open_rows: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        found_keys, found_rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        self._file.seek(0)
        for start in range(0, self._count, _READ_AT_ONCE):
            keys = np.frombuffer(self._file.read(8 * min(_READ_AT_ONCE, self._count - start)), np.uint64)
            which = np.flatnonzero((keys >= low) & (keys <= high) & open_rows[start : start + len(keys)])
            found_keys.append(keys[which])
            found_rows.append(which + start)
        return np.concatenate(found_keys), np.concatenate(found_rows)
