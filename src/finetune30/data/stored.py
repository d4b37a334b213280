"""Rows that may be too many for memory: written once as Arrow batches, read back batch by batch.

Small columns stay in memory; from 32 MiB on they lie in a temporary file that has no name, so that
nothing is left behind however the process ends. The file is read, never mapped: mapped pages would
count as this process's memory. Neighbours: table builds its columns here, everyone reads ``Texts``.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast, overload

import numpy as np
from numpy.typing import NDArray

_BATCH_ROWS = 8_192
_BATCH_CHARACTERS = 2 << 20
_IN_MEMORY_BYTES = 32 << 20


def nameless_file(owner: object) -> BinaryIO:
    """A temporary file without a name, closed when its owner is gone: nothing is left however a process ends."""
    file = tempfile.TemporaryFile(prefix="finetune30-")  # noqa: SIM115 - lives as long as its owner
    weakref.finalize(owner, file.close)
    return cast(BinaryIO, file)


class Stored:
    """Columns of equal length, in batches; in memory or in a nameless file."""

    def __init__(self, batches: Sequence[Any] | None, spilled: _Spill | None, sizes: Sequence[int]) -> None:
        self._batches = batches
        self._spilled = spilled
        self._reader: Any = None if spilled is None else spilled.reader()
        self._lock = threading.Lock()
        self._last: tuple[int, Any] = (-1, None)
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def batch(self, number: int) -> Any:
        """The ``pyarrow.RecordBatch`` of this number; the last one read is kept."""
        if self._batches is not None:
            return self._batches[number]
        with self._lock:
            if self._last[0] != number:
                self._last = (number, self._reader.get_batch(number))
            return self._last[1]


class Writer:
    """Takes rows one by one; what it holds in memory is bounded.

    Args:
        columns: Name and type of each column, ``string`` or ``int64``.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        import pyarrow as pa

        types = {"string": pa.large_string(), "int64": pa.int64()}
        self._schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
        self._pending: list[list[Any]] = [[] for _ in columns]
        self._adders = [column.append for column in self._pending]
        self._characters = 0
        self._batches: list[Any] = []
        self._bytes = 0
        self._sizes: list[int] = []
        self._spilled: _Spill | None = None

    def add(self, *values: Any) -> None:
        """One row, a value for each column; the lengths of its strings bound the batch."""
        for add, value in zip(self._adders, values, strict=True):
            add(value)
        self._characters += sum(len(value) for value in values if isinstance(value, str))
        if len(self._pending[0]) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS:
            self._flush()

    def finish(self) -> Stored:
        """Everything that was added; nothing can be added any more."""
        self._flush()
        return Stored(self._batches if self._spilled is None else None, self._spilled, self._sizes)

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._pending[0]:
            return
        columns = [pa.array(values, field.type) for values, field in zip(self._pending, self._schema, strict=True)]
        batch = pa.record_batch(columns, schema=self._schema)
        for values in self._pending:
            values.clear()
        self._characters = 0
        self._sizes.append(batch.num_rows)
        self._bytes += batch.nbytes
        if self._spilled is None and self._bytes <= _IN_MEMORY_BYTES:
            self._batches.append(batch)
            return
        if self._spilled is None:
            self._spilled = _Spill(self._schema)
            for earlier in self._batches:
                self._spilled.write(earlier)
            self._batches = []
        self._spilled.write(batch)


class _Spill:
    """Batches in a nameless file: first written, then read."""

    def __init__(self, schema: Any) -> None:
        import pyarrow as pa

        self._file = nameless_file(self)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._sink = pa.ipc.new_file(pa.PythonFile(self._file, "w"), schema, options=options)

    def write(self, batch: Any) -> None:
        self._sink.write_batch(batch)

    def reader(self) -> Any:
        """What reads a batch by its number; nothing can be written any more."""
        import pyarrow as pa

        self._sink.close()
        self._file.seek(0)
        return pa.ipc.open_file(pa.PythonFile(self._file, "r"))


class Texts(Sequence[str]):
    """One column of strings, or some of its rows, as a sequence that holds at most a batch of them.

    Args:
        rows: Ascending positions; None takes all.
        change: Applied to each string when it is read.
    """

    def __init__(
        self,
        stored: Stored,
        column: str,
        rows: NDArray[np.int64] | None = None,
        change: Callable[[str], str] | None = None,
    ) -> None:
        self._stored = stored
        self._column = column
        self._rows = rows
        self._change = change

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """Any strings as such a column."""
        writer = Writer({"text": "string"})
        for text in texts:
            writer.add(text)
        return cls(writer.finish(), "text")

    def __len__(self) -> int:
        return len(self._stored) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            if (at.step or 1) < 0:  # batches are read forwards
                return list(self)[at]
            return [text for _, texts in self.take(np.arange(len(self))[at]).chunks() for text in texts.to_pylist()]
        at = int(at)
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        at %= len(self)
        return self[at : at + 1][0]

    def __iter__(self) -> Iterator[str]:
        for _, texts in self.chunks():
            yield from texts.to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Texts({len(self)} rows)"

    def take(self, positions: NDArray[np.int64]) -> Texts:
        """Some of these rows, at ascending positions."""
        rows = positions if self._rows is None else self._rows[positions]
        return Texts(self._stored, self._column, rows, self._change)

    def changed(self, change: Callable[[str], str]) -> Texts:
        """The same rows, each text changed when it is read."""
        return Texts(self._stored, self._column, self._rows, change)

    def chunks(self) -> Iterator[tuple[int, Any]]:
        """Position of the first row and a pyarrow array of strings, again and again, in order."""
        starts = self._stored.starts
        for number in range(len(starts) - 1):
            first, last = int(starts[number]), int(starts[number + 1])
            if self._rows is None:
                yield first, self._changed(self._stored.batch(number).column(self._column))
                continue
            begin, end = np.searchsorted(self._rows, [first, last])
            if begin < end:
                column = self._stored.batch(number).column(self._column)
                yield int(begin), self._changed(column.take(_positions(self._rows[begin:end] - first)))

    def _changed(self, texts: Any) -> Any:
        if self._change is None:
            return texts
        import pyarrow as pa

        return pa.array([self._change(text) for text in texts.to_pylist()], pa.large_string())


def _positions(rows: NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.array(rows)


class Numbers(Sequence[int]):
    """A column of whole numbers, read where it is asked for."""

    def __init__(self, stored: Stored, column: str) -> None:
        self._stored = stored
        self._column = column

    def __len__(self) -> int:
        return len(self._stored)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> list[int]: ...
    def __getitem__(self, at: int | slice) -> int | list[int]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        at %= len(self)
        number = int(np.searchsorted(self._stored.starts, at, side="right")) - 1
        return int(self._stored.batch(number).column(self._column)[at - int(self._stored.starts[number])].as_py())
