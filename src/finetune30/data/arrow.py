"""Columns of Arrow tables, which Parquet files and hub datasets are, as texts and labels.

Neighbours: files and hub bring the columns; pyarrow is imported only when one of them is used.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from finetune30.data.labels import label_of
from finetune30.data.table import Columns, Table, choose_columns
from finetune30.errors import DataError


def read_parquet(handle: BinaryIO, *, where: str, wanted: Columns) -> Table:
    """Every row of a Parquet file.

    Raises: DataError when it is damaged or a column has the wrong type.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(handle)
        columns, notes = choose_columns(file.schema_arrow.names, wanted, where)
        rows = file.read(columns=[columns.text, columns.label])
    except (pyarrow.ArrowException, OSError) as cause:
        reason = str(cause).strip().partition("\n")[0][:200]
        raise DataError(
            f"the Parquet file cannot be read: {reason}",
            where=where,
            hint="it may be cut short; write it again",
        ) from cause
    texts = texts_of(rows.column(columns.text), columns.text, where)
    labels = labels_of(rows.column(columns.label), columns.label, where)
    return Table(where, columns, texts, labels, notes=notes)


def texts_of(column: Any, name: str | None, where: str) -> list[str]:
    """The strings of a column; null is an empty text."""
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        raise DataError(
            f"column {name!r} holds {kind}, expected strings",
            where=where,
            hint="data.text_column names the column",
        )
    return [text or "" for text in column.to_pylist()]


def labels_of(column: Any, name: str | None, where: str) -> list[str | None]:
    """The labels of a column as strings; null is no label."""
    from pyarrow import types

    kind = column.type
    if types.is_nested(kind):
        raise DataError(
            f"column {name!r} holds {kind}, expected one label a row",
            where=where,
            hint="several labels a row (multi-label) are not supported",
        )
    return [label_of(value, f"{where}: row {row}") for row, value in enumerate(column.to_pylist())]
