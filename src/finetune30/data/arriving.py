"""A file on its way to the uploads: counted from its first byte, gone with whoever was sending it.

    DATA_DIR/uploads/.staging-<id>/{alive,claim.json,data.<format>}

``alive`` is locked by the process that receives; the system gives the lock back however that ends, so what
nobody holds is swept up. ``claim.json`` says how many bytes are kept for it.
Neighbours: ``uploads`` has what arrived, and the lock under which claims are made.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from finetune30.errors import DiskFull, StorageError, TooLarge, UploadCount, UploadSpace

if TYPE_CHECKING:
    from finetune30.data.uploads import Upload, UploadStore

STAGING = ".staging-"
_STEP_BYTES = 16 << 20
# Left to the database and to those who train.
_KEPT_FREE_BYTES = 64 << 20


@dataclass(frozen=True)
class Limits:
    """Bytes of one file, bytes and number of all files of its owner; 0 for any number."""

    limit_bytes: int
    quota_bytes: int
    quota_files: int


class Receiving:
    """A file on its way. ``write`` its parts, then ``finish``; leaving without that removes everything.

    Attributes:
        bytes: That came so far.
        sha256: Of them.
        staging: Where they are until it is finished.
    """

    def __init__(
        self, store: UploadStore, owner: str, name: str, format: str, purpose: str, limits: Limits, expected: int
    ) -> None:
        self.id = f"ds-{secrets.token_hex(8)}"
        self.owner, self.name, self.format, self.purpose = owner, name, format, purpose
        self.bytes = 0
        self.staging = store.folder / f"{STAGING}{self.id}"
        self._store, self._limits, self._expected = store, limits, expected
        self._sum = hashlib.sha256()
        self._claimed = 0
        self._open = ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._claim(self._expected)
            with told():
                self._file = self._open.enter_context((self.staging / f"data.{self.format}").open("xb"))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what could not be flushed is thrown away
            self._open.close()
        if self.staging.exists():
            shutil.rmtree(self.staging, ignore_errors=True)

    @property
    def sha256(self) -> str:
        """Of what came so far."""
        return self._sum.hexdigest()

    def write(self, part: bytes) -> None:
        """Add bytes.

        Raises: TooLarge, UploadSpace, DiskFull, StorageError.
        """
        assert self._file is not None, "write within the with block"  # noqa: S101
        whole = self.bytes + len(part)
        if whole > self._claimed:
            self._claim(whole)
        with told():
            self._file.write(part)
        self._sum.update(part)
        self.bytes = whole

    def finish(self, **told_of_it: Any) -> Upload:
        """Put it in its place, to stay; its state is ``checking``.

        Args:
            told_of_it: Further fields of its card, such as ``options``.
        Raises: DiskFull, StorageError; nothing stays then.
        """
        self.settle()
        return self._store.place(self, **told_of_it)

    def settle(self) -> None:
        """See that what came is on the disk; nothing more is to come. A large file takes a while.

        Raises: DiskFull, StorageError.
        """
        assert self._file is not None, "settle within the with block"  # noqa: S101
        with told():
            if not self._file.closed:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()

    def _claim(self, wanted: int) -> None:
        """Keep at least ``wanted`` bytes for this file, so that others cannot take them meanwhile."""
        limits, store = self._limits, self._store
        if limits.limit_bytes and wanted > limits.limit_bytes:
            raise TooLarge(f"the file is larger than {limits.limit_bytes:,} bytes", hint="send it in several files")
        with store.locked(), told():
            there = [upload.bytes for upload in store.list(self.owner)] + claims(store.folder, self.owner, self.id)
            if limits.quota_files and len(there) >= limits.quota_files:
                raise UploadCount(f"{len(there)} uploads are there already", hint="delete some first")
            left = limits.quota_bytes - sum(there) if limits.quota_bytes else wanted + _STEP_BYTES
            if wanted > left:
                told_left = f"{max(0, left):,} of {limits.quota_bytes:,} bytes are left"
                raise UploadSpace(told_left, hint="delete some first")
            if shutil.disk_usage(store.folder).free - (wanted - self.bytes) < _KEPT_FREE_BYTES:
                raise DiskFull("the disk is nearly full", hint="free some space, then send it again")
            # Ahead of what comes, so that not each part takes the lock; exactly where the sender said how much.
            exact = wanted and not self._claimed
            most = min(left, limits.limit_bytes or left)
            self._keep(wanted if exact else min(most, wanted + _STEP_BYTES))

    def _keep(self, claimed: int) -> None:
        if not self.staging.exists():
            self.staging.mkdir()
            hold(self.staging, self._open)
        claim = json.dumps({"owner": self.owner, "bytes": claimed})
        (self.staging / "claim.json").write_text(claim, encoding="utf-8")
        self._claimed = claimed


def claims(folder: Path, owner: str, besides: str) -> list[int]:
    """Bytes that are kept for each file of the owner on its way but one; ask under the store's lock."""
    found = []
    for path in folder.glob(f"{STAGING}ds-*"):
        if path.name != f"{STAGING}{besides}" and is_alive(path):
            with suppress(OSError, ValueError, KeyError):
                claim = json.loads((path / "claim.json").read_text(encoding="utf-8"))
                if claim["owner"] == owner:
                    found.append(int(claim["bytes"]))
    return found


def hold(folder: Path, until: ExitStack) -> None:
    """Say that a process is at this folder: nobody sweeps it up then."""
    alive = os.open(folder / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until.callback(os.close, alive)
    fcntl.flock(alive, fcntl.LOCK_EX)


def is_alive(staging: Path) -> bool:
    """Whether a process holds its lock."""
    try:
        descriptor = os.open(staging / "alive", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def told() -> Iterator[None]:
    """What the system says of a disk, as an error of ours."""
    try:
        yield
    except OSError as cause:
        raise fault_of(cause) from cause


def fault_of(cause: OSError) -> DiskFull | StorageError:
    """The error of ours."""
    if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull("the disk is full", hint="free some space, then send it again")
    return StorageError(
        f"uploads cannot be kept: {cause.strerror or cause}",
        where=str(cause.filename or "DATA_DIR"),
        hint="set DATA_DIR to a folder this user can write to",
    )
