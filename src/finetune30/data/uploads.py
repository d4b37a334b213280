"""Files that users sent: kept whole or not at all, counted against what one may have, never lost while used.

    DATA_DIR/uploads/<id>/{card.json, data.<format>}      a file that was received; the card tells its state
    DATA_DIR/uploads/.staging-<id>/                       one on its way; its lock says that somebody receives it

The name a user gave is a label and never in a path. Several processes may receive at once: what is on its way
is counted as if it were here, under the lock of the folder. What a killed process left is swept up by the next.
Neighbours: ``sources`` reads ``upload:ID``; the API receives, checks and hands out.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from finetune30.durable import locked, put_in_place, remove, write_text
from finetune30.errors import DiskFull, NotFound, StateError, StorageError, TooLarge, UploadCount, UploadSpace

ID = re.compile(r"ds-[0-9a-f]{16}")
CHECKING, READY, REFUSED = "checking", "ready", "refused"
_STAGING = ".staging-"
_STEP_BYTES = 16 << 20
# Left to the database and to those who train.
_KEPT_FREE_BYTES = 64 << 20


@dataclass(frozen=True)
class Upload:
    """A file as its card tells of it.

    Attributes:
        name: As it was sent: a label only.
        format: What it is: ``csv``, ``tsv``, ``jsonl``, ``parquet``, or an archive such as ``csv.gz`` and ``zip``.
        purpose: ``dataset``, or ``fine-tune`` where it came by ``/v1/files``.
        state: ``checking``, ``ready`` or ``refused``.
        report: What ``data validate --json`` says of it; None until it was checked.
        error: Why it was refused: code, message, where, hint.
        version: The version of data that its rows are; None where none could be made.
        options: Keys of ``data`` with which it was checked, such as ``text_column``.
        checks: How often a check was begun.
    """

    id: str
    owner: str
    name: str
    format: str
    bytes: int
    sha256: str
    created_at: float
    purpose: str = "dataset"
    state: str = CHECKING
    report: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    version: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    checks: int = 0


class UploadStore:
    """The uploads below a data folder, which need not exist yet."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "uploads"

    def receive(
        self,
        owner: str,
        name: str,
        format: str,
        *,
        purpose: str,
        limit_bytes: int,
        quota_bytes: int,
        quota_files: int,
        expected_bytes: int = 0,
    ) -> Receiving:
        """A place for a file that is on its way; use it in a ``with`` block, which removes what is not finished.

        Args:
            limit_bytes: Of this file; 0 for any number, as for the other two.
            quota_bytes, quota_files: Of all files of the owner, this one and those on their way among them.
            expected_bytes: What the sender says it will be; they are kept for it from the start.
        Raises: TooLarge, UploadSpace, UploadCount, DiskFull, StorageError; nothing is there then.
        """
        return Receiving(
            self, owner, name, format, purpose, _Limits(limit_bytes, quota_bytes, quota_files), expected_bytes
        )

    def list(self, owner: str | None = None) -> list[Upload]:
        """All of them, or the owner's; the newest first."""
        try:
            names = [entry.name for entry in os.scandir(self.folder) if ID.fullmatch(entry.name)]
        except FileNotFoundError:
            return []
        except OSError as cause:
            raise _unusable(cause) from cause
        found = [upload for name in names if (upload := self.find(name)) is not None]
        kept = [upload for upload in found if owner is None or upload.owner == owner]
        return sorted(kept, key=lambda upload: (upload.created_at, upload.id), reverse=True)

    def find(self, upload_id: str) -> Upload | None:
        """The one with this id; None where there is none.

        Raises: StorageError for a card that cannot be read.
        """
        if not ID.fullmatch(upload_id):
            return None
        path = self.folder / upload_id / "card.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return Upload(**{name: values[name] for name in Upload.__dataclass_fields__})
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as cause:
            raise StorageError(
                "the card of an upload cannot be read", where=str(path), hint="restore or remove its folder"
            ) from cause

    def get(self, upload_id: str) -> Upload:
        """The one with this id.

        Raises: NotFound.
        """
        found = self.find(upload_id)
        if found is None:
            raise NotFound(f"there is no upload {upload_id[:80]!r}", hint="GET /datasets lists yours")
        return found

    def file(self, upload: Upload) -> Path:
        """Where its bytes lie."""
        return self.folder / upload.id / f"data.{upload.format}"

    def update(self, upload_id: str, **changes: Any) -> Upload:
        """Change what its card tells, in one step.

        Raises: NotFound.
        """
        with self._locked():
            changed = replace(self.get(upload_id), **changes)
            with _told():
                write_text(self.folder / upload_id / "card.json", _json(changed))
        return changed

    def delete(self, upload_id: str, used_by: Callable[[Upload], Sequence[str]]) -> Upload:
        """Remove it.

        Args:
            used_by: Which tasks need it; asked under the lock.
        Raises: StateError while one does; NotFound.
        """
        with self._locked():
            upload = self.get(upload_id)
            users = used_by(upload)
            if users:
                raise StateError(
                    f"upload {upload.id} is needed by {', '.join(users[:3])}", hint="cancel these tasks first"
                )
            # Out of sight in one step: half of it is never found.
            gone = self.folder / f"{_STAGING}gone-{upload.id}"
            os.rename(self.folder / upload.id, gone)  # noqa: PTH104 - the commit
            remove(gone)
        return upload

    def sweep(self) -> list[str]:
        """Remove what killed processes left half-received; those being received are left alone."""
        if not self.folder.is_dir():
            return []
        with self._locked():
            dead = [path for path in self.folder.glob(f"{_STAGING}*") if not _alive(path)]
            for path in dead:
                remove(path)
        return [path.name for path in dead]

    def _claims(self, owner: str, besides: str) -> list[int]:
        """Bytes that are kept for each file of the owner on its way; under the lock."""
        found = []
        for path in self.folder.glob(f"{_STAGING}ds-*"):
            if path.name != f"{_STAGING}{besides}" and _alive(path):
                with suppress(OSError, ValueError, KeyError):
                    claim = json.loads((path / "claim.json").read_text(encoding="utf-8"))
                    if claim["owner"] == owner:
                        found.append(int(claim["bytes"]))
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as held:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(self.folder / ".lock"))
            except OSError as cause:
                raise _full_or_unusable(cause) from cause
            yield


@dataclass(frozen=True)
class _Limits:
    limit_bytes: int
    quota_bytes: int
    quota_files: int


class Receiving:
    """A file on its way. ``write`` its parts, then ``finish``; leaving without that removes everything."""

    def __init__(
        self, store: UploadStore, owner: str, name: str, format: str, purpose: str, limits: _Limits, expected: int
    ) -> None:
        self.id = f"ds-{secrets.token_hex(8)}"
        self.bytes = 0
        self._store, self._owner, self._name, self._format = store, owner, name, format
        self._purpose, self._limits, self._expected = purpose, limits, expected
        self._sum = hashlib.sha256()
        self._claimed = 0
        self._staging = store.folder / f"{_STAGING}{self.id}"
        self._open = ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._claim(self._expected)
            with _told():
                self._file = self._open.enter_context((self._staging / f"data.{self._format}").open("xb"))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what could not be flushed is thrown away
            self._open.close()
        if self._staging.exists():
            shutil.rmtree(self._staging, ignore_errors=True)

    def write(self, part: bytes) -> None:
        """Add bytes.

        Raises: TooLarge, UploadSpace, DiskFull, StorageError.
        """
        assert self._file is not None, "write within the with block"  # noqa: S101
        whole = self.bytes + len(part)
        if whole > self._claimed:
            self._claim(whole)
        with _told():
            self._file.write(part)
        self._sum.update(part)
        self.bytes = whole

    def finish(self) -> Upload:
        """Put it in its place, to stay; its state is ``checking``.

        Raises: DiskFull, StorageError; nothing stays then.
        """
        assert self._file is not None, "finish within the with block"  # noqa: S101
        upload = Upload(
            id=self.id,
            owner=self._owner,
            name=self._name,
            format=self._format,
            bytes=self.bytes,
            sha256=self._sum.hexdigest(),
            created_at=time.time(),
            purpose=self._purpose,
        )
        with self._store._locked(), _told():
            self._file.close()
            for name in ("claim.json", "alive"):
                (self._staging / name).unlink()
            write_text(self._staging / "card.json", _json(upload))
            put_in_place(self._staging, self._store.folder / upload.id)
        self._open.close()
        return upload

    def _claim(self, wanted: int) -> None:
        """Keep at least ``wanted`` bytes for this file, so that others cannot take them meanwhile."""
        limits, store = self._limits, self._store
        if limits.limit_bytes and wanted > limits.limit_bytes:
            raise TooLarge(f"the file is larger than {limits.limit_bytes:,} bytes", hint="send it in several files")
        with store._locked(), _told():
            there = [upload.bytes for upload in store.list(self._owner)] + store._claims(self._owner, self.id)
            if limits.quota_files and len(there) >= limits.quota_files:
                raise UploadCount(f"{len(there)} uploads are there already", hint="delete some first")
            left = limits.quota_bytes - sum(there) if limits.quota_bytes else wanted + _STEP_BYTES
            if wanted > left:
                raise UploadSpace(
                    f"of {limits.quota_bytes:,} bytes {max(0, left):,} are left", hint="delete some first"
                )
            # Ahead of what comes, so that not each part takes the lock.
            claimed = wanted if wanted and not self._claimed else min(left, wanted + _STEP_BYTES)
            free = shutil.disk_usage(store.folder).free
            if free - (wanted - self.bytes) < _KEPT_FREE_BYTES:
                raise DiskFull("the disk is nearly full", hint="free some space, then send it again")
            self._keep(claimed)

    def _keep(self, claimed: int) -> None:
        if not self._claimed and not self._staging.exists():
            self._staging.mkdir()
            alive = os.open(self._staging / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._open.callback(os.close, alive)
            fcntl.flock(alive, fcntl.LOCK_EX)
        (self._staging / "claim.json").write_text(json.dumps({"owner": self._owner, "bytes": claimed}))
        self._claimed = claimed


def _alive(staging: Path) -> bool:
    """Whether somebody holds its lock: the system gives that back however a process ends."""
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
def _told() -> Iterator[None]:
    """What the system says of a disk, as an error of ours."""
    try:
        yield
    except OSError as cause:
        raise _full_or_unusable(cause) from cause


def _full_or_unusable(cause: OSError) -> DiskFull | StorageError:
    if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull("the disk is full", hint="free some space, then send it again")
    return _unusable(cause)


def _unusable(cause: OSError) -> StorageError:
    return StorageError(
        f"uploads cannot be kept: {cause.strerror or cause}",
        where=str(cause.filename or "DATA_DIR"),
        hint="set DATA_DIR to a folder this user can write to",
    )


def _json(upload: Upload) -> str:
    return json.dumps(asdict(upload), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
