"""The anchor of the audit log: number and MAC of its newest row, in a file outside the database.

Whoever cuts rows off the end of the log, even with the head row put right, is found by it. It is written after each
commit, without waiting for the disk: two places in the file take turns, so that a torn write leaves the row before.
A power cut may set it back by some rows, never make it wrong. Neighbours: ``audit`` asks it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from finetune30.errors import StorageError

_PLACE = 20 + 1 + 64 + 1 + 64 + 1  # "<seq> <mac of the row> <mac of this line>\n"


@dataclass(frozen=True)
class Mark:
    """The log reached row ``seq``, whose MAC is ``mac``."""

    seq: int
    mac: str


class Anchor:
    """One file, signed with ``key``; several processes may write it."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self._key = key

    def advance(self, mark: Mark) -> None:
        """Note that the log reached ``mark``; an older mark than the one there changes nothing.

        Raises: OSError.
        """
        with self._locked(os.O_RDWR | os.O_CREAT) as file:
            places = self._places(file)
            newest = max((found.seq for found in places if found), default=-1)
            if mark.seq > newest:
                # Not the place of the newest: if this write is torn, that one counts.
                place = 1 if places[0] and places[0].seq == newest else 0
                os.pwrite(file, self._line(mark), place * _PLACE)

    def read(self) -> Mark | None:
        """The newest mark; None where there is no file.

        Raises: StorageError if what is there was not written with this key, or cannot be read.
        """
        try:
            with self._locked(os.O_RDONLY) as file:
                marks = [mark for mark in self._places(file) if mark]
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise StorageError(f"the anchor cannot be read: {cause.strerror}", where=str(self.path)) from cause
        if not marks:
            raise StorageError("the anchor is damaged, or was written with another key", where=str(self.path))
        return max(marks, key=lambda mark: mark.seq)

    @contextmanager
    def _locked(self, flags: int) -> Iterator[int]:
        file = os.open(self.path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _places(self, file: int) -> tuple[Mark | None, Mark | None]:
        return self._mark(os.pread(file, _PLACE, 0)), self._mark(os.pread(file, _PLACE, _PLACE))

    def _line(self, mark: Mark) -> bytes:
        said = f"{mark.seq:020d} {mark.mac:>64}"
        signature = hmac.new(self._key, f"finetune30 anchor {said}".encode(), hashlib.sha256).hexdigest()
        return f"{said} {signature}\n".encode()

    def _mark(self, line: bytes) -> Mark | None:
        try:
            mark = Mark(int(line[:20]), line[21:85].decode().strip())
        except ValueError:
            return None
        return mark if hmac.compare_digest(line, self._line(mark)) else None
