"""What a compressed file holds, as a stream: nothing is unpacked to disk, and never without end.

Some bytes of gzip can hold gigabytes, so what comes out is weighed against what went in while it
comes. A stream that is cut short, damaged, or followed by something else is an error.
Neighbours: archives finds members inside, local opens the files, decoding reads the stream.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from finetune30.errors import DataError, DataTooLarge

MOST_BYTES = 16 << 30
MOST_TIMES = 100
_FREE_BYTES = 1 << 20
STEP_BYTES = 1 << 18
_XZ_MEMORY_BYTES = 256 << 20


class Meter:
    """Weighs what comes out against what went in.

    Args:
        free_bytes: So much may come out of anything.
        way_out: What to do with a file that is meant to be so.
    Attributes:
        packed: Bytes that went in.
        unpacked: Bytes that came out.
    """

    def __init__(
        self, where: str, *, free_bytes: int = _FREE_BYTES, way_out: str = "if it is meant to be so, unpack it first"
    ) -> None:
        self.where = where
        self._way_out = way_out
        self.packed = 0
        self.unpacked = 0
        self._free = free_bytes

    def add(self, count: int) -> None:
        """So many more bytes came out.

        Raises: DataTooLarge when that is too much, or too much for what went in.
        """
        self.unpacked += count
        if self.unpacked > MOST_BYTES:
            raise DataTooLarge(
                f"it unpacks to more than {MOST_BYTES >> 30} GiB",
                where=self.where,
                hint="keep the rows that are needed",
            )
        if self.unpacked > self._free and self.unpacked > MOST_TIMES * self.packed:
            raise DataTooLarge(
                f"it unpacks to more than {MOST_TIMES} times its size, as files made to do harm do",
                where=self.where,
                hint=self._way_out,
            )


class Stream(io.RawIOBase):
    """Chunks of bytes as a file that is read forward; going back begins anew.

    Args:
        begin: The chunks from the first on, each time it is called.
    """

    def __init__(self, begin: Callable[[], Iterator[bytes]]) -> None:
        super().__init__()
        self._begin = begin
        self._chunks = begin()
        self._pending = memoryview(b"")
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is, at the price of reading what lies between."""
        return True

    def tell(self) -> int:
        """Bytes read so far."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on, or begin anew; where it is then, at most the end."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("where the end is, is not known")
        target = offset + (self._at if whence == io.SEEK_CUR else 0)
        if target < self._at:
            self._chunks, self._pending, self._at = self._begin(), memoryview(b""), 0
        while self._at < target and self.read(min(STEP_BYTES, target - self._at)):
            pass
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill some of the buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        while not self._pending:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._pending = memoryview(chunk)
        count = min(len(view), len(self._pending))
        view[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        self._at += count
        return count


def unpacked(packed: BinaryIO, kind: str, where: str) -> BinaryIO:
    """The content of a compressed file.

    Args:
        kind: ``.gz``, ``.bz2``, ``.xz`` or ``.zst``.
    Raises: DataError, from every read, for damage and for too much.
    """

    def begin() -> Iterator[bytes]:
        packed.seek(0)
        meter = Meter(where)
        try:
            for chunk in _OPENERS[kind](packed, meter):
                meter.add(len(chunk))
                yield chunk
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as cause:
            reason = str(cause).partition("\n")[0][:100]
            hint = "pack it again, or fetch it again"
            raise DataError(f"the {kind} file is damaged: {reason}", where=where, hint=hint) from cause

    return io.BufferedReader(Stream(begin), STEP_BYTES)


def _streams(packed: BinaryIO, meter: Meter, new: Callable[[], Any], padding: bytes = b"") -> Iterator[bytes]:
    """Every stream of the file, one after another; ``padding`` may follow each."""
    given = _read(packed, meter)
    while given:
        stream = new()
        while not stream.eof:
            yield stream.decompress(given, STEP_BYTES)
            given = b""
            if stream.needs_input and not stream.eof:
                given = _read(packed, meter)
                if not given:
                    raise EOFError("it is cut short")
        given = stream.unused_data.lstrip(padding)
        while not given:
            more = _read(packed, meter)
            if not more:
                return
            given = more.lstrip(padding)


def _read(packed: BinaryIO, meter: Meter) -> bytes:
    chunk = packed.read(STEP_BYTES)
    meter.packed += len(chunk)
    return chunk


class _Gzip:
    """One gzip stream, used like those of bz2 and lzma."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, given: bytes, most: int) -> bytes:
        out = self._stream.decompress(self._stream.unconsumed_tail + given, most)
        self.needs_input = len(out) < most and not self._stream.unconsumed_tail
        return out


class _Counted:
    """A file as Arrow reads it, each byte counted as gone in."""

    closed = False

    def __init__(self, packed: BinaryIO, meter: Meter) -> None:
        self._packed = packed
        self._meter = meter

    def read(self, size: int) -> bytes:
        chunk = self._packed.read(size)
        self._meter.packed += len(chunk)
        return chunk

    def close(self) -> None:
        """The file belongs to somebody else."""


def _zstd(packed: BinaryIO, meter: Meter) -> Iterator[bytes]:
    import pyarrow

    with pyarrow.CompressedInputStream(pyarrow.PythonFile(_Counted(packed, meter), mode="r"), "zstd") as stream:
        while chunk := stream.read(STEP_BYTES):
            yield chunk


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


_OPENERS: dict[str, Callable[[BinaryIO, Meter], Iterator[bytes]]] = {
    ".gz": lambda packed, meter: _streams(packed, meter, _Gzip, b"\0"),
    ".bz2": lambda packed, meter: _streams(packed, meter, bz2.BZ2Decompressor),
    ".xz": lambda packed, meter: _streams(packed, meter, _xz, b"\0"),
    ".zst": _zstd,
}
