"""Rows with equal keys, found in bounded memory.

Keys are appended to a nameless file in row order; to find equal ones they are dealt out once to files
that each hold a range of keys small enough to be sorted. Neighbours: copies and near ask with their own keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune30.data.stored import nameless_file

_READ_AT_ONCE = 1 << 17
_MOST_PARTS = 512  # files open at once
Keys = tuple[NDArray[np.uint64], NDArray[np.int64]]
"""Keys, and the row of each."""


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
        for keys, rows in self._parts(open_rows):
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

    def _parts(self, open_rows: NDArray[np.bool_]) -> Iterator[Keys]:
        """The keys of the open rows by ranges, each in row order."""
        parts = min(_MOST_PARTS, max(1, -(-int(open_rows.sum()) // self._sorted_at_once)))
        if parts == 1:
            chunks = [(np.zeros(0, np.uint64), np.zeros(0, np.int64)), *self._chunks(open_rows)]
            yield np.concatenate([keys for keys, _ in chunks]), np.concatenate([rows for _, rows in chunks])
            return
        ranges = _Ranges(parts)
        for keys, rows in self._chunks(open_rows):
            ranges.add(keys, rows)
        yield from ranges.each()

    def _chunks(self, open_rows: NDArray[np.bool_]) -> Iterator[Keys]:
        self._file.seek(0)
        for start in range(0, self._count, _READ_AT_ONCE):
            keys = np.frombuffer(self._file.read(8 * min(_READ_AT_ONCE, self._count - start)), np.uint64)
            which = np.flatnonzero(open_rows[start : start + len(keys)])
            yield keys[which], which + start


class _Ranges:
    """Keys with their rows, dealt out to a file for each range of keys."""

    def __init__(self, parts: int) -> None:
        self._files = [nameless_file(self) for _ in range(parts)]

    def add(self, keys: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        # The upper half of a key times the number of ranges: its upper half is the range.
        half = np.uint64(32)
        of = ((keys >> half) * np.uint64(len(self._files))) >> half
        order = np.argsort(of, kind="stable")
        ends = np.searchsorted(of[order], np.arange(len(self._files) + 1, dtype=np.uint64))
        both = np.stack([keys, rows.astype(np.uint64)], axis=1)[order]
        for file, first, last in zip(self._files, ends, ends[1:], strict=False):
            file.write(both[first:last].tobytes())

    def each(self) -> Iterator[Keys]:
        for file in self._files:
            file.seek(0)
            both = np.frombuffer(file.read(), np.uint64).reshape(-1, 2)
            file.close()
            yield both[:, 0].copy(), both[:, 1].astype(np.int64)
