"""A Parquet file as a table, decoded by a process of its own.

A few kilobytes of Parquet can decode to gigabytes, and a damaged footer can make the C++ code that
reads it crash. So the file is decoded elsewhere, within limits; plain batches arrive here, and
whatever happened there is one error here.
Neighbours: parquet_worker is that process, arrow adds the batches, unpacking says how much is too much.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, Any, BinaryIO

from finetune30.data.reading.arrow import add_batch
from finetune30.data.reading.unpacking import Meter
from finetune30.data.table import Columns, Table, TableWriter
from finetune30.errors import DataError

_WORKER = "finetune30.data.reading.parquet_worker"
_FREE_BYTES = 256 << 20


def read_parquet(handle: BinaryIO, *, where: str, wanted: Columns) -> Table:
    """Every row of a Parquet file that has a descriptor.

    Raises: DataError when it is damaged, decodes to far too much, or a column has the wrong type.
    """
    import pyarrow

    meter = Meter(where, free_bytes=_FREE_BYTES, way_out="if it is meant to be so, write it as .jsonl")
    meter.packed = os.fstat(handle.fileno()).st_size
    with tempfile.TemporaryFile() as said, _worker(handle, where, wanted, said) as worker:
        try:
            table = _received(worker, where, meter)
        except (pyarrow.ArrowException, OSError) as cause:  # the stream broke off
            worker.wait()
            raise _fault(worker.returncode, said, where) from cause
        if worker.wait():
            raise _fault(worker.returncode, said, where)
    return table


@contextmanager
def _worker(handle: BinaryIO, where: str, wanted: Columns, said: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    request = json.dumps({"where": where, "wanted": asdict(wanted)})
    file = handle.fileno()
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", _WORKER, request, str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        pass_fds=(file,),
        # The other allocators of Arrow reserve more than the limit before they use any of it.
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    with worker:
        try:
            yield worker
        finally:
            worker.kill()


def _received(worker: subprocess.Popen[bytes], where: str, meter: Meter) -> Table:
    import pyarrow

    stream = pyarrow.ipc.open_stream(pyarrow.PythonFile(worker.stdout, "r"))
    said: dict[str, Any] = json.loads(stream.schema.metadata[b"finetune30"])
    columns = Columns(**{**said["columns"], "flags": tuple(said["columns"]["flags"])})
    writer = TableWriter(where, columns, has_lines=False)
    for batch in stream:
        meter.add(batch.nbytes)
        add_batch(writer, batch)
    return writer.finish(notes=said["notes"])


def _fault(code: int, said: IO[bytes], where: str) -> DataError:
    """What the process told last, or how it died."""
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    hint = "the file may be damaged, or made to do harm; write it again, or as .jsonl"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return DataError(f"the Parquet file cannot be read: its reader was ended by {name}", where=where, hint=hint)
    try:
        told = json.loads(lines[-1])
        return DataError(told["message"], where=told["where"], hint=told["hint"])
    except (IndexError, ValueError, TypeError, KeyError):
        reason = lines[-1][:200] if lines else f"its reader ended with {code}"
        return DataError(f"the Parquet file cannot be read: {reason}", where=where, hint=hint)
