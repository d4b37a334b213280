"""The first rows of a version, from our own files: what a user sent is not parsed here.

Neighbours: ``data.versions`` wrote them; ``routes.datasets`` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from finetune30.api.answers_datasets import Preview, PreviewRow

_LONGEST_TEXT = 2000
_SPLITS = ("train", "validation", "test")


def first_rows(data_dir: Path, version: str, rows: int) -> Preview:
    """So many rows of each split.

    Raises: NotFound, StorageError.
    """
    from finetune30.data.versions import VersionStore

    store = VersionStore(data_dir)
    folder = store.folder(store.find(version).id)
    found = [row for split in _SPLITS for row in islice(_rows_of(folder / f"{split}.parquet", split, rows), rows)]
    return Preview(rows=found)


def _rows_of(path: Path, split: str, rows: int) -> Iterator[PreviewRow]:
    import pyarrow as pa
    from pyarrow import parquet

    from finetune30.errors import StorageError

    if not path.is_file():
        return
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as opened:
            for batch in opened.iter_batches(rows):
                for one in batch.to_pylist():
                    yield _row_of(split, one)
    except (pa.ArrowException, OSError, KeyError) as cause:
        raise StorageError("the rows of a version cannot be read", where=str(path)) from cause


def _row_of(split: str, one: dict[str, Any]) -> PreviewRow:
    pair = one.get("text_pair")
    return PreviewRow(
        split=split,
        row=one["row"],
        text=str(one["text"])[:_LONGEST_TEXT],
        text_pair=None if pair is None else str(pair)[:_LONGEST_TEXT],
        label=one["label"],
    )
