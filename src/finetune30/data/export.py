"""Tables as files again: CSV, TSV, JSON Lines or Parquet, one file a split, whole or not at all.

Columns keep their names; a last one, ``row``, says where each row stood in the file it came from, so
that columns we do not read (ids, dates) can be joined again.

A CSV is opened by spreadsheets, which run cells that begin with ``=``: such a cell gets a leading
apostrophe (OWASP, CSV injection), counted so that it can be said; the other formats keep every text
as it is. Neighbours: clean and versions write with it.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.data.reading.opening import READABLE
from finetune30.data.roles import Role
from finetune30.data.table import Table
from finetune30.durable import flush, make_readable, remove
from finetune30.errors import DataError, StorageError

_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
SEPARATOR = "|"
_ROWS_AT_ONCE = 8_192


def ending_for(out: str) -> str | None:
    """The format that a name asks for; None for a folder.

    Raises: DataError for a format that cannot be written.
    """
    ending = Path(out).suffix.lower()
    if ending in READABLE:
        return ending
    if ending and len(ending) <= 8 and not Path(out).is_dir():
        raise DataError(
            f"{ending} cannot be written, expected a folder or a .csv, .tsv, .jsonl or .parquet file",
            where=out,
            hint="a folder takes one file for each split",
        )
    return None


@dataclass(frozen=True)
class Copy:
    """A table to be written, and the position each of its rows had in the file it came from."""

    table: Table
    rows: NDArray[np.int64]

    @property
    def names(self) -> list[str]:
        """The columns."""
        columns = self.table.columns
        told = [columns.text or "text", *([columns.pair or "text_pair"] if self.table.pairs is not None else [])]
        told += columns.flags or [columns.label or "label"]
        return [*told, "row" if "row" not in told else "source_row"]

    def cells(self) -> Iterator[list[Any]]:
        """The values of each row: strings, the labels as the file had them, a number."""
        pairs: Iterable[str | None] = repeat(None) if self.table.pairs is None else self.table.pairs
        flags = self.table.columns.flags
        for text, pair, label, row in zip(self.table.texts, pairs, self.table.labels, self.rows, strict=False):
            told: list[Any] = [list(label) if isinstance(label, tuple) else label]
            if flags:
                told = [int(flag in (label or ())) for flag in flags]
            yield [text, *([] if pair is None else [pair]), *told, int(row)]


def write_files(copies: Mapping[Role, Copy], out: Path, *, folder_ending: str = ".jsonl") -> tuple[list[Path], int]:
    """Write a file, or for several splits a folder of them.

    Args:
        out: A file name with the format's ending (train alone), or a folder.
        folder_ending: Format of the files in a folder.
    Returns: The files, and how many cells of a CSV got an apostrophe.
    Raises: DataError when something is there already, or a text does not fit into the format.
    """
    ending = ending_for(str(out))
    if ending is not None and len(copies) > 1:
        raise DataError(
            f"{len(copies)} splits do not fit into one file",
            where=str(out),
            hint="name a folder: one file for each split",
        )
    if os.path.lexists(out):
        raise taken(out)
    # Of this process: two that write at once must not write into one file.
    staging = out.with_name(f".staging-{os.getpid()}-{out.name}")
    try:
        remove(staging)
        out.parent.mkdir(parents=True, exist_ok=True)
        if ending is not None:
            quoted = _write(copies["train"], staging, ending)
        else:
            staging.mkdir()
            written = {
                role: _write(copy, staging / f"{role}{folder_ending}", folder_ending) for role, copy in copies.items()
            }
            quoted = sum(written.values())
        put(staging, out)
    except OSError as cause:
        raise StorageError(
            f"cannot be written: {cause.strerror or cause}", where=str(out), hint="choose another place for --out"
        ) from cause
    finally:
        with suppress(OSError):
            remove(staging)
    return [out] if ending is not None else [out / f"{role}{folder_ending}" for role in copies], quoted


def put(staging: Path, out: Path) -> None:
    """Give what was written its name, unless somebody was faster."""
    try:
        if staging.is_file():
            make_readable(staging)
            flush(staging)
            _link(staging, out)
        else:
            for path in staging.iterdir():
                make_readable(path)
                flush(path)
            os.rename(staging, out)  # noqa: PTH104 - onto a folder with files in it this fails
    except OSError as cause:
        if cause.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise taken(out) from cause
        raise
    flush(out.parent)


def _link(staging: Path, out: Path) -> None:
    """Unlike a rename this refuses a name that is taken; not every file system can."""
    try:
        os.link(staging, out)
    except OSError as cause:
        if cause.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        os.rename(staging, out)  # noqa: PTH104 - as above


def taken(out: Path) -> DataError:
    """Nothing is overwritten."""
    return DataError("exists already", where=str(out), hint="choose another name for --out; nothing is overwritten")


def keeps(copies: Mapping[Role, Copy], ending: str) -> bool:
    """Whether a format takes every cell as it is."""
    changes = {".csv": is_run, ".tsv": is_torn}.get(ending)
    if changes is None:
        return True
    try:
        return not any(changes(cell) for copy in copies.values() for row in _flat(copy) for cell in row)
    except DataError:
        return False


def is_run(cell: str) -> bool:
    """Whether a spreadsheet would run the cell; a whole number, as labels are, is only a number."""
    return cell.startswith(_RUN_BY_SPREADSHEETS) and not _WHOLE_NUMBER.fullmatch(cell)


def is_torn(cell: str) -> bool:
    """Whether a cell does not fit into a line of a TSV."""
    return any(mark in cell for mark in "\t\n\r")


def _write(copy: Copy, path: Path, ending: str) -> int:
    if ending == ".parquet":
        _write_parquet(copy, path)
    elif ending == ".jsonl":
        names = copy.names
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in copy.cells():
                file.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")
    elif ending == ".tsv":
        _write_tsv(copy, path)
    else:
        return _write_csv(copy, path)
    return 0


def _write_csv(copy: Copy, path: Path) -> int:
    quoted = 0

    def safe(cell: str) -> str:
        nonlocal quoted
        if not is_run(cell):
            return cell
        quoted += 1
        return f"'{cell}"

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(copy.names)
        for row in _flat(copy):
            writer.writerow(map(safe, row))
    return quoted


def _write_tsv(copy: Copy, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(copy.names) + "\n")
        for number, row in enumerate(_flat(copy)):
            if any(map(is_torn, row)):
                raise DataError(
                    "the text holds a tab or a line end, which a .tsv cannot hold",
                    where=f"row {number} of what was to be written",
                    hint="write .csv, .jsonl or .parquet",
                )
            file.write("\t".join(row) + "\n")


def _write_parquet(copy: Copy, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = copy.table
    texts = 1 if table.pairs is None else 2
    label = pa.list_(pa.string()) if table.labels.several else pa.string()
    kinds = [pa.large_string()] * texts + ([pa.int8()] * len(table.columns.flags) or [label]) + [pa.int64()]
    schema = pa.schema(list(zip(copy.names, kinds, strict=True)))
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        rows = copy.cells()
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            columns = [pa.array(values, kind) for values, kind in zip(zip(*some, strict=True), kinds, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _flat(copy: Copy) -> Iterator[list[str]]:
    """Cells of a row as strings, several labels joined as the file had them, else by ``|``.

    Raises: DataError for a label that holds what stands between labels.
    """
    separator = copy.table.columns.separator or SEPARATOR
    for row in copy.cells():
        yield [_joined(cell, separator) for cell in row]


def _joined(cell: object, separator: str) -> str:
    if not isinstance(cell, list):
        return "" if cell is None else str(cell)
    torn = next((name for name in cell if separator in name), None)
    if torn is not None:
        raise DataError(
            f"the label {torn!r} holds {separator}, which stands between the labels of a row in .csv and .tsv",
            where="what was to be written",
            hint="write .jsonl or .parquet",
        )
    return separator.join(cell)
