"""Rows of any columns as a file: CSV, TSV, JSON Lines or Parquet, in bounded memory, whole or not at all.

In CSV and TSV lists are joined by ``|``, and nothing is an empty cell. A cell that a spreadsheet would run gets a
leading apostrophe in CSV, as in ``export``, whose rules these are.
Neighbours: the command line writes predictions with it.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from finetune30.data.export import ending_for, is_run, is_torn, put, taken
from finetune30.durable import remove
from finetune30.errors import DataError, StorageError

SEPARATOR = "|"
STANDARD_OUTPUT = "-"


class Rows:
    """A file that is being written.

    Args:
        kinds: Of each column, by its name: ``string``, ``int``, ``float``, ``bool``, ``strings``, ``ints``, ``floats``.
    Attributes:
        apostrophes: Cells that got one.
    """

    def __init__(self, file: IO[Any], ending: str, kinds: Mapping[str, str]) -> None:
        self.apostrophes = 0
        self._file = file
        self._names = list(kinds)
        write: dict[str, Callable[[Sequence[Mapping[str, Any]]], None]] = {
            ".csv": self._csv,
            ".tsv": self._tsv,
            ".jsonl": self._jsonl,
            ".parquet": self._parquet,
        }
        self.write = write[ending]
        self._writer: Any = None
        if ending == ".parquet":
            self._schema = _schema(kinds)
        elif ending == ".csv":
            self._writer = csv.writer(file, lineterminator="\n")
            self._writer.writerow([self._safe(name) for name in self._names])
        elif ending == ".tsv":
            file.write("\t".join(map(_whole, self._names)) + "\n")

    def close(self) -> None:
        """What a format ends with."""
        if self._writer is None and hasattr(self, "_schema"):
            self._parquet([])
        if hasattr(self, "_schema"):
            self._writer.close()

    def _csv(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._writer.writerows([self._safe(_flat(row[name])) for name in self._names] for row in rows)

    def _tsv(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._file.writelines("\t".join(_whole(_flat(row[name])) for name in self._names) + "\n" for row in rows)

    def _jsonl(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)

    def _parquet(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_pylist(list(rows), schema=self._schema))

    def _safe(self, cell: str) -> str:
        if not is_run(cell):
            return cell
        self.apostrophes += 1
        return f"'{cell}"


def check_free(out: str) -> str | None:
    """The format that a name asks for; None for standard output.

    Raises: DataError for a format that cannot be written, and when something is there already.
    """
    if out == STANDARD_OUTPUT:
        return None
    ending = ending_for(out)
    if ending is None:
        raise DataError(
            "expected the name of a file that ends in .csv, .tsv, .jsonl or .parquet", where=out, hint="or - for stdout"
        )
    if os.path.lexists(out):
        raise taken(Path(out))
    return ending


@contextmanager
def writing(out: str, ending: str, kinds: Mapping[str, str]) -> Iterator[Rows]:
    """Write rows; the file gets its name when the block ends well, else nothing is left.

    Raises: DataError when something is there already; StorageError when it cannot be written.
    """
    if out == STANDARD_OUTPUT:
        yield from _written(sys.stdout, ending, kinds)
        return
    path = Path(out)
    staging = path.with_name(f".staging-{os.getpid()}-{path.name}")
    try:
        with _opened(staging, ending) as file:
            yield from _written(file, ending, kinds)
        put(staging, path)
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise StorageError(f"cannot be written: {reason}", where=out, hint="choose another place for --out") from cause
    finally:
        with suppress(OSError):
            remove(staging)


def _opened(path: Path, ending: str) -> IO[Any]:
    if ending == ".parquet":
        return path.open("wb")
    return path.open("w", encoding="utf-8", newline="")


def _written(file: IO[Any], ending: str, kinds: Mapping[str, str]) -> Iterator[Rows]:
    rows = Rows(file, ending, kinds)
    yield rows
    rows.close()


def _flat(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, list):
        return SEPARATOR.join(map(_flat, cell))
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _whole(cell: str) -> str:
    if is_torn(cell):
        raise DataError(
            "a text holds a tab or a line end, which a .tsv cannot hold",
            where="what was to be written",
            hint="write .csv, .jsonl or .parquet",
        )
    return cell


def _schema(kinds: Mapping[str, str]) -> Any:
    import pyarrow as pa

    types = {"string": pa.large_string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    types |= {f"{name}s": pa.list_(kind) for name, kind in types.items()}
    return pa.schema([(name, types[kind]) for name, kind in kinds.items()])
