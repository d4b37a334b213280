"""PROCESS: decodes one Parquet file, within limits, and writes its rows as an Arrow stream.

``python -m finetune30.data.reading.parquet_worker REQUEST DESCRIPTOR``: the wanted columns as JSON, and an open
file. Standard output carries the batches, the chosen columns in the stream's metadata; the last line
of standard error is the DataError as JSON, if there was one. Neighbours: parquet starts it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict
from typing import Any

from finetune30.data.reading.arrow import BATCH_ROWS, check_types, names_of
from finetune30.data.reading.lines import LONGEST_ROW
from finetune30.data.table import Columns, choose_columns
from finetune30.errors import DataError

MEMORY_BYTES = 4 << 30
_SECONDS = 3600
_SENT_BYTES = 16 << 20
_BUFFER_BYTES = 1 << 20


def main() -> int:
    """0 when every row was written, 2 when there is a DataError to tell."""
    request, descriptor = json.loads(sys.argv[1]), int(sys.argv[2])
    import pyarrow
    from pyarrow import parquet  # noqa: F401 - what it needs does not count for the file

    where = request["where"]
    _limit()
    try:
        _send(descriptor, where, Columns(**{**request["wanted"], "flags": tuple(request["wanted"]["flags"])}))
    except DataError as fault:
        return _tell(fault)
    except MemoryError:
        hint = "write it again in smaller row groups, or as .jsonl"
        return _tell(DataError(f"decoding takes more than {MEMORY_BYTES >> 30} GiB of memory", where=where, hint=hint))
    except (pyarrow.ArrowException, OSError, ValueError) as cause:
        reason = str(cause).strip().partition("\n")[0][:200]
        hint = "it may be cut short; write it again"
        return _tell(DataError(f"the Parquet file cannot be read: {reason}", where=where, hint=hint))
    return 0


def _limit() -> None:
    for kind, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, _SECONDS), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _send(descriptor: int, where: str, wanted: Columns) -> None:
    import pyarrow
    from pyarrow import parquet

    # Pages have checksums if their writer wrote them, as ours does: rows that rotted are no rows.
    opened = os.fdopen(descriptor, "rb")
    file = parquet.ParquetFile(opened, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
    columns, notes = choose_columns(file.schema_arrow.names, wanted, where)
    check_types(file.schema_arrow, columns, where)
    names = names_of(columns)
    said = json.dumps({"columns": asdict(columns), "notes": notes})
    fields = [pyarrow.field(name, _plain(file.schema_arrow.field(name).type)) for name in names]
    schema = pyarrow.schema(fields, metadata={"finetune30": said})
    with pyarrow.ipc.new_stream(pyarrow.PythonFile(sys.stdout.buffer, "w"), schema) as stream:
        row = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
            decoded = [batch.column(field.name).cast(field.type) for field in fields]
            for part in _parts(pyarrow.record_batch(decoded, schema=schema)):
                if part.nbytes > 4 * LONGEST_ROW:
                    raise DataError(f"the row is longer than {LONGEST_ROW:,} characters", where=f"{where}: row {row}")
                stream.write_batch(part)
                row += part.num_rows


def _plain(kind: Any) -> Any:
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _parts(batch: Any) -> list[Any]:
    """The batch in parts, so that whoever reads them holds little at once."""
    if batch.nbytes <= _SENT_BYTES or batch.num_rows == 1:
        return [batch]
    half = batch.num_rows // 2
    return [*_parts(batch.slice(0, half)), *_parts(batch.slice(half))]


def _tell(fault: DataError) -> int:
    print(json.dumps(fault.to_dict()), file=sys.stderr)  # noqa: T201 - this is how it answers
    return 2


if __name__ == "__main__":
    sys.exit(main())
