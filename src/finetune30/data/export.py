"""Tables as files again: CSV, TSV, JSON Lines or Parquet, one file a split, whole or not at all.

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
from pathlib import Path

from finetune30.data.reading.opening import READABLE
from finetune30.data.roles import Role
from finetune30.data.table import Cell, Table
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


def write_files(tables: Mapping[Role, Table], out: Path, *, folder_ending: str = ".jsonl") -> tuple[list[Path], int]:
    """Write a file, or for several splits a folder of them.

    Args:
        out: A file name with the format's ending (train alone), or a folder.
        folder_ending: Format of the files in a folder.
    Returns: The files, and how many cells of a CSV got an apostrophe.
    Raises: DataError when something is there already, or a text does not fit into the format.
    """
    ending = ending_for(str(out))
    if ending is not None and len(tables) > 1:
        raise DataError(
            f"{len(tables)} splits do not fit into one file",
            where=str(out),
            hint="name a folder: one file for each split",
        )
    if os.path.lexists(out):
        raise _taken(out)
    # Of this process: two that write at once must not write into one file.
    staging = out.with_name(f".staging-{os.getpid()}-{out.name}")
    try:
        remove(staging)
        out.parent.mkdir(parents=True, exist_ok=True)
        if ending is not None:
            quoted = _write(tables["train"], staging, ending)
        else:
            staging.mkdir()
            written = {
                role: _write(table, staging / f"{role}{folder_ending}", folder_ending) for role, table in tables.items()
            }
            quoted = sum(written.values())
        _put(staging, out)
    except OSError as cause:
        raise StorageError(
            f"cannot be written: {cause.strerror or cause}", where=str(out), hint="choose another place for --out"
        ) from cause
    finally:
        with suppress(OSError):
            remove(staging)
    return [out] if ending is not None else [out / f"{role}{folder_ending}" for role in tables], quoted


def _put(staging: Path, out: Path) -> None:
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
            raise _taken(out) from cause
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


def _taken(out: Path) -> DataError:
    return DataError("exists already", where=str(out), hint="choose another name for --out; nothing is overwritten")


def keeps(tables: Mapping[Role, Table], ending: str) -> bool:
    """Whether a format takes every cell as it is."""
    changes = {".csv": _is_run, ".tsv": _is_torn}.get(ending)
    if changes is None:
        return True
    try:
        return not any(changes(cell) for table in tables.values() for row in _flat(table) for cell in row)
    except DataError:
        return False


def _is_run(cell: str) -> bool:
    """Whether a spreadsheet would run the cell; a whole number, as labels are, is only a number."""
    return cell.startswith(_RUN_BY_SPREADSHEETS) and not _WHOLE_NUMBER.fullmatch(cell)


def _is_torn(cell: str) -> bool:
    """Whether a cell does not fit into a line of a TSV."""
    return any(mark in cell for mark in "\t\n\r")


def _write(table: Table, path: Path, ending: str) -> int:
    if ending == ".parquet":
        write_parquet(table, path)
    elif ending == ".jsonl":
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in _rows(table):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    elif ending == ".tsv":
        _write_tsv(table, path)
    else:
        return _write_csv(table, path)
    return 0


def _write_csv(table: Table, path: Path) -> int:
    quoted = 0

    def safe(cell: str) -> str:
        nonlocal quoted
        if not _is_run(cell):
            return cell
        quoted += 1
        return f"'{cell}"

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_names(table))
        for row in _flat(table):
            writer.writerow(map(safe, row))
    return quoted


def _write_tsv(table: Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(_names(table)) + "\n")
        for number, row in enumerate(_flat(table)):
            if any(map(_is_torn, row)):
                raise DataError(
                    "the text holds a tab or a line end, which a .tsv cannot hold",
                    where=f"row {number} of what was to be written",
                    hint="write .csv, .jsonl or .parquet",
                )
            file.write("\t".join(row) + "\n")


def write_parquet(table: Table, path: Path) -> None:
    """The table's texts, pairs and labels as strings (lists of strings where a row has several)."""
    import pyarrow as pa
    from pyarrow import parquet

    several = table.labels.several
    fields = [("text", pa.large_string()), *([("text_pair", pa.large_string())] if table.pairs is not None else [])]
    schema = pa.schema([*fields, ("label", pa.list_(pa.string()) if several else pa.string())])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(table.texts), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            pairs = [] if table.pairs is None else [table.pairs[some]]
            labels = [list(cell) if isinstance(cell, tuple) else cell for cell in table.labels[some]]
            writer.write_batch(
                pa.record_batch(
                    [table.texts[some], *pairs, pa.array(labels, schema.field("label").type)], schema=schema
                )
            )


def _names(table: Table) -> list[str]:
    return [*(("text",) if table.pairs is None else ("text", "text_pair")), "label"]


def _flat(table: Table) -> Iterator[list[str]]:
    """Cells of a row as strings, several labels joined by ``|``.

    Raises: DataError for a label that holds it.
    """
    for row in _rows(table):
        label = row.pop("label")
        yield [*(str(value) for value in row.values()), _joined(label)]


def _joined(label: object) -> str:
    if not isinstance(label, list):
        return "" if label is None else str(label)
    torn = next((name for name in label if SEPARATOR in name), None)
    if torn is not None:
        raise DataError(
            f"the label {torn!r} holds {SEPARATOR}, which stands between the labels of a row in .csv and .tsv",
            where="what was to be written",
            hint="write .jsonl or .parquet",
        )
    return SEPARATOR.join(label)


def _rows(table: Table) -> Iterator[dict[str, object]]:
    pairs: Iterable[str] | None = table.pairs
    labels: Iterable[Cell] = table.labels
    if pairs is None:
        for text, label in zip(table.texts, labels, strict=True):
            yield {"text": text, "label": list(label) if isinstance(label, tuple) else label}
        return
    for text, pair, label in zip(table.texts, pairs, labels, strict=True):
        yield {"text": text, "text_pair": pair, "label": list(label) if isinstance(label, tuple) else label}
