"""A ZIP archive of open files, made while it is sent: no copy of it is ever in memory or on the disk.

Files are stored as they are, for weights do not shrink. They are read twice: first for their checksums, so that
headers say sizes and checksums before the data (every reader takes that, and the length of the whole is known),
then to be sent. The same files make the same bytes. Source: PKWARE APPNOTE 6.3.10, 4.3 and 4.5.3 (ZIP64).
Neighbours: ``downloads`` sends it.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finetune30.experiments.opened import OpenFile

CHUNK_BYTES = 256 << 10
_LARGEST = 0xFFFFFFFF
_UTF8 = 1 << 11
_DATE = (1 << 5) | 1  # 1 January 1980: when a file was written is nobody's business, and the bytes stay the same
_MADE_BY_UNIX = 3 << 8
_MODE = 0o100644 << 16


class ChangedError(Exception):
    """A file is not what it was a moment ago; what was sent so far is no archive."""


@dataclass(frozen=True)
class Member:
    """A file of the archive.

    Attributes:
        sha256: Of its bytes, in hex.
    """

    name: bytes
    source: OpenFile
    crc: int
    sha256: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.bytes


class Archive:
    """What ``sources`` make together, below a folder of this name.

    Raises: ChangedError if a file shrinks or grows while it is read.
    """

    def __init__(self, folder: str, sources: Sequence[OpenFile]) -> None:
        self.members = [_member(folder, source) for source in sources]
        self._index = self._directory()
        self.bytes = sum(len(_header(one)) + one.size for one in self.members) + len(self._index)

    def chunks(self) -> Iterator[bytes]:
        """The archive, from its beginning.

        Raises: ChangedError.
        """
        for one in self.members:
            yield _header(one)
            crc = 0
            for chunk in _read(one.source):
                crc = zlib.crc32(chunk, crc)
                yield chunk
            if crc != one.crc:
                raise ChangedError(one.source.name)
        yield self._index

    def _directory(self) -> bytes:
        entries, offset = b"", 0
        for one in self.members:
            entries += _entry(one, offset)
            offset += len(_header(one)) + one.size
        count, large = len(self.members), b""
        if offset >= _LARGEST:
            large = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(entries), offset)
            large += struct.pack("<4sIQI", b"PK\6\7", 0, offset + len(entries), 1)
        end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(entries), min(offset, _LARGEST), 0)
        return entries + large + end


def _member(folder: str, source: OpenFile) -> Member:
    crc, digest = 0, hashlib.sha256()
    for chunk in _read(source):
        crc = zlib.crc32(chunk, crc)
        digest.update(chunk)
    return Member(f"{folder}/{source.name}".encode(), source, crc, digest.hexdigest())


def _read(source: OpenFile) -> Iterator[bytes]:
    """All of a file, and no more and no less than it had.

    Raises: ChangedError.
    """
    source.file.seek(0)
    left = source.bytes
    while left:
        chunk = source.file.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise ChangedError(source.name)
        left -= len(chunk)
        yield chunk


def _header(one: Member) -> bytes:
    """What stands before a file's bytes."""
    wide = struct.pack("<HHQQ", 1, 16, one.size, one.size) if one.size >= _LARGEST else b""
    size = min(one.size, _LARGEST)
    told = (b"PK\3\4", 45 if wide else 20, _UTF8, 0, 0, _DATE, one.crc, size, size, len(one.name), len(wide))
    return struct.pack("<4sHHHHHIIIHH", *told) + one.name + wide


def _entry(one: Member, offset: int) -> bytes:
    """What the directory at the end says of a file."""
    wide = struct.pack("<QQ", one.size, one.size) if one.size >= _LARGEST else b""
    wide += struct.pack("<Q", offset) if offset >= _LARGEST else b""
    extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
    size, version = min(one.size, _LARGEST), 45 if wide else 20
    told = (b"PK\1\2", _MADE_BY_UNIX | version, version, _UTF8, 0, 0, _DATE, one.crc, size, size)
    rest = (len(one.name), len(extra), 0, 0, 0, _MODE, min(offset, _LARGEST))
    return struct.pack("<4sHHHHHHIII", *told) + struct.pack("<HHHHHII", *rest) + one.name + extra
