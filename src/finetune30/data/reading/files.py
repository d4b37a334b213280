"""Reading CSV, TSV, JSON Lines and Parquet into a table, as a stream.

Cells stay what they were: ``NA`` and ``null`` are texts, ``01`` is a label. A fault names its line,
and nothing is guessed around it. However large the file is, a few rows of it are in memory.
Neighbours: opening hands in what may be read; delimited, objects and parquet read it.
"""

from __future__ import annotations

from functools import partial
from typing import BinaryIO

from finetune30.data.reading.decoding import decoded
from finetune30.data.reading.delimited import read_rows
from finetune30.data.reading.objects import read_objects
from finetune30.data.reading.opening import START_BYTES, check_content
from finetune30.data.table import Columns, Table
from finetune30.errors import DataError


def read_table(handle: BinaryIO, ending: str, *, where: str, wanted: Columns, encoding: str | None = None) -> Table:
    """Every row of one file.

    Args:
        handle: The file opened at its start; it can go back there. For Parquet it has a descriptor.
        ending: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``.
        where: The name that errors carry.
        wanted: The columns to take; those left out are found by name.
        encoding: Of a text file; None finds it.
    Raises: DataError for wrong content, wrong bytes, ragged rows and missing columns.
    """
    start = handle.read(START_BYTES)
    check_content(start, ending, shown=where)
    if not start:
        raise DataError("the file is empty", where=where, hint="the first line names the columns")
    if ending == ".parquet":
        from finetune30.data.reading.parquet import read_parquet

        return read_parquet(handle, where=where, wanted=wanted)
    read = (
        partial(read_objects, wanted=wanted) if ending == ".jsonl" else partial(read_rows, ending=ending, wanted=wanted)
    )
    return decoded(handle, where=where, told=encoding, read=read)
