"""Rows of Arrow batches, which Parquet files and hub datasets are, into a table.

Neighbours: parquet and hub bring the batches, table takes the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

from finetune30.data.reading.objects import typed_label
from finetune30.data.table import Cell, Columns, TableWriter
from finetune30.errors import DataError

BATCH_ROWS = 1024


def names_of(columns: Columns) -> list[str]:
    """The columns that are read of each batch."""
    named = (columns.text, columns.pair, columns.label, *columns.flags)
    return [name for name in named if name is not None]


def check_types(schema: Any, columns: Columns, where: str) -> None:
    """Refuse columns that cannot hold texts or labels, by their types in a ``pyarrow.Schema``.

    Raises: DataError.
    """
    from pyarrow import types

    for name in (columns.text, columns.pair):
        kind = None if name is None else _value_type(schema.field(name).type)
        if kind is not None and not (
            types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        ):
            raise DataError(
                f"column {name!r} holds {kind}, expected strings",
                where=where,
                hint="data.text_column names the column",
            )
    for name in names_of(Columns(label=columns.label, flags=columns.flags)):
        kind = _value_type(schema.field(name).type)
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        if isinstance(kind, _extension()) or (types.is_nested(kind) and not is_list):
            raise DataError(
                f"column {name!r} holds {kind}, expected names, whole numbers, or lists of these",
                where=where,
                hint="data.label_column names the column",
            )


def add_batch(writer: TableWriter, batch: Any, *, told: Callable[[object], object] = lambda value: value) -> None:
    """Add the rows of a ``pyarrow.RecordBatch`` or ``Table`` with the columns of ``names_of``.

    Args:
        told: What a label cell says, such as the name of a numbered class.
    """
    from pyarrow import types

    columns = writer.columns
    texts = batch.column(columns.text).to_pylist()
    pairs = repeat(None, len(texts)) if columns.pair is None else batch.column(columns.pair).to_pylist()
    names = columns.flags or (() if columns.label is None else (columns.label,))
    cells = [batch.column(name).to_pylist() for name in names]
    lists = any(types.is_nested(batch.schema.field(name).type) for name in names)
    known: dict[tuple[object, ...], Cell] = {}  # most rows tell what another row has told
    for row, (text, pair, *values) in enumerate(zip(texts, pairs, *cells, strict=True), start=len(writer)):
        label = None if lists else known.get(tuple(values))
        if label is None:
            named = dict(zip(names, map(told, values), strict=True))
            label = _label(named, columns, f"{writer.where}: row {row}")
            if not lists:
                known[tuple(values)] = label
        writer.add(text or "", label, pair=pair)


def _label(row: dict[str, object], columns: Columns, place: str) -> Cell:
    try:
        return typed_label(row, columns, place)
    except RecursionError as cause:
        raise DataError("the label is a list of lists of lists", where=place, hint="expected a name") from cause


def _value_type(kind: Any) -> Any:
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _extension() -> Any:
    import pyarrow

    return pyarrow.BaseExtensionType
