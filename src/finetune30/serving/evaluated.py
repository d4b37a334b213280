"""Texts of the split a run was evaluated on, where its version of the data is still kept.

Neighbours: ``data.versions`` wrote the file, ``books`` knows which it is, ``trial`` asks for it. A file that is not as
it was written is as good as none: it decides nothing but what a merged copy is tried on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune30.experiments.opened import open_plain

_LOG = logging.getLogger("finetune30.serving")
_ID = re.compile(r"[0-9a-f]{64}")
MOST_ROWS = 512
# Of a larger file the beginning is read.
_MOST_READ = 100_000

Texts = Sequence[tuple[str, str | None]]


def texts_of(data_dir: Path, version: object) -> Texts:
    """Up to 512 rows, evenly spread, each a text and the second one of a pair; none where they cannot be read.

    Args:
        version: Of the data, as the run wrote it down.
    """
    if not isinstance(version, str) or _ID.fullmatch(version) is None:  # no other string becomes a path
        return ()
    found = open_plain(data_dir / "datasets" / version / "validation.parquet")
    if found is None:
        return ()
    try:
        return _rows(found.file)
    except Exception as fault:  # noqa: BLE001 - whatever pyarrow says of a damaged file
        _LOG.info("the evaluation split cannot be read: %s", type(fault).__name__)
        return ()
    finally:
        found.close()


def _rows(file: Any) -> Texts:
    from pyarrow import parquet

    opened = parquet.ParquetFile(file)
    columns = [name for name in ("text", "text_pair") if name in opened.schema_arrow.names]
    count = min(opened.metadata.num_rows, _MOST_READ)
    number = min(count, MOST_ROWS)
    places = [at * count // number for at in range(number)]
    kept: list[tuple[str, str | None]] = []
    at = 0
    for batch in opened.iter_batches(1_024, columns=columns, use_threads=False):
        rows = batch.to_pylist()
        here = [rows[place - at] for place in places if at <= place < at + len(rows)]
        kept += [(str(row["text"]), row.get("text_pair")) for row in here]
        at += len(rows)
        if at >= count:
            break
    return kept
