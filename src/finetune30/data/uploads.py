"""Files that users sent: kept whole or not at all, counted against what one may have, never lost while used.

    DATA_DIR/uploads/<id>/card.json        what it is, and its state
                         /data.<format>    the bytes as they were sent
                         /report.json      every row the checks name; report.html and analysis.json, if asked for

The name a user gave is a label and never in a path. Several processes may receive, check and read at once.
Neighbours: ``arriving`` takes a file in, ``sources`` reads ``upload:ID``; the API checks and hands out.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune30.data.arriving import STAGING, Limits, Receiving, fault_of, hold, is_alive, told
from finetune30.durable import locked, put_in_place, remove, write_text
from finetune30.errors import NotFound, StateError, StorageError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

ID = re.compile(r"ds-[0-9a-f]{16}")
CHECKING, READY, REFUSED = "checking", "ready", "refused"
OPTIONS = (
    *("text_column", "label_column", "text_pair_column", "label_separator", "label_columns", "encoding"),
    *("train_split", "validation_split", "test_split"),
)
"""Keys of ``data`` that say how a file is read, and so belong to it."""
_LABELS = ("label_column", "label_separator", "label_columns")


@dataclass(frozen=True)
class Upload:
    """A file as its card tells of it.

    Attributes:
        name: As it was sent: a label only.
        format: What it is: ``csv``, ``tsv``, ``jsonl``, ``parquet``, or packed as ``csv.gz``, ``zip``, ``tar.gz``.
        purpose: ``dataset``, or ``fine-tune`` where it came by ``/v1/files``.
        state: ``checking``, ``ready`` or ``refused``.
        report: What the checks say of it, without rows; None until it was checked.
        error: Why it was refused: code, message, where, hint.
        version: The version of data that its rows are; None until it is ready.
        options: Keys of ``data`` with which it is read, such as ``text_column``.
        checks: How often a check was begun and not brought to its end.
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
        # A card is replaced as a whole, so its file's number and time tell whether it is the one that was read.
        self._read: dict[str, tuple[tuple[int, int], Upload]] = {}

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
        Raises: TooLarge, UploadSpace, UploadCount, DiskFull, StorageError on entering; nothing is there then.
        """
        limits = Limits(limit_bytes, quota_bytes, quota_files)
        return Receiving(self, owner, name, format, purpose, limits, expected_bytes)

    def place(self, arrived: Receiving, **told_of_it: Any) -> Upload:
        """Put what arrived whole in its place; ``Receiving.finish`` asks for it."""
        upload = Upload(
            id=arrived.id,
            owner=arrived.owner,
            name=arrived.name,
            format=arrived.format,
            bytes=arrived.bytes,
            sha256=arrived.sha256,
            created_at=time.time(),
            purpose=arrived.purpose,
            **told_of_it,
        )
        with self.locked(), told():
            for name in ("claim.json", "alive"):
                (arrived.staging / name).unlink()
            write_text(arrived.staging / "card.json", _json(upload))
            put_in_place(arrived.staging, self.folder / upload.id)
        return upload

    def list(self, owner: str | None = None) -> list[Upload]:
        """All of them, or the owner's; the newest first."""
        try:
            names = [entry.name for entry in os.scandir(self.folder) if ID.fullmatch(entry.name)]
        except FileNotFoundError:
            return []
        except OSError as cause:
            raise fault_of(cause) from cause
        found = []
        for name in names:
            with suppress(StorageError):  # one damaged card must not hide the others
                found += [upload for upload in (self.find(name),) if upload is not None]
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
            told = path.stat()
            mark = (told.st_ino, told.st_mtime_ns)
            known = self._read.get(upload_id)
            if known is not None and known[0] == mark:
                return known[1]
            values = json.loads(path.read_text(encoding="utf-8"))
            upload = Upload(**{name: values[name] for name in Upload.__dataclass_fields__})
        except (FileNotFoundError, NotADirectoryError):
            self._read.pop(upload_id, None)
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as cause:
            raise StorageError(
                "the card of an upload cannot be read", where=str(path), hint="restore or remove its folder"
            ) from cause
        self._read[upload_id] = (mark, upload)
        return upload

    def get(self, upload_id: str) -> Upload:
        """The one with this id.

        Raises: NotFound.
        """
        found = self.find(upload_id)
        if found is None:
            shown = upload_id if ID.fullmatch(upload_id) else "of this id"
            raise NotFound(f"there is no upload {shown}", where="data.dataset_name", hint="GET /datasets lists yours")
        return found

    def file(self, upload: Upload) -> Path:
        """Where its bytes lie."""
        return self.folder / upload.id / f"data.{upload.format}"

    def report(self, upload: Upload) -> Path:
        """Where its whole report lies, once it was checked."""
        return self.folder / upload.id / "report.json"

    def page(self, upload: Upload) -> Path:
        """Where the page of its analysis lies, once it was asked for."""
        return self.folder / upload.id / "report.html"

    def figures(self, upload: Upload) -> Path:
        """Where the figures of its analysis lie, as JSON, once they or the page were asked for."""
        return self.folder / upload.id / "analysis.json"

    def repaired(self, upload: Upload) -> Path:
        """A folder in which a repaired copy of it lies, until that is kept as an upload of its own."""
        return self.folder / upload.id / "repaired"

    def of_version(self, version_id: str) -> Sequence[str]:
        """Names (``upload:ID``) of those whose rows are this version of data."""
        return [f"upload:{upload.id}" for upload in self.list() if upload.version == version_id]

    def update(self, upload_id: str, **changes: Any) -> Upload:
        """Change what its card tells, in one step.

        Raises: NotFound.
        """
        with self.locked():
            changed = replace(self.get(upload_id), **changes)
            with told():
                write_text(self.folder / upload_id / "card.json", _json(changed))
        return changed

    def delete(self, upload_id: str, used_by: Callable[[Upload], Sequence[str]]) -> Upload:
        """Remove it at once, see ``deleting``."""
        with self.deleting(upload_id, used_by) as upload:
            return upload

    @contextmanager
    def deleting(self, upload_id: str, used_by: Callable[[Upload], Sequence[str]]) -> Iterator[Upload]:
        """Nobody finds it within the block, and afterwards it is gone; an error in the block brings it back.

        Args:
            used_by: Which tasks need it; asked under the lock.
        Raises: StateError while one does; NotFound.
        """
        gone = self.folder / f"{STAGING}gone-{upload_id}"
        with ExitStack() as held:
            with self.locked(), told():
                upload = self.get(upload_id)
                users = used_by(upload)
                if users:
                    raise StateError(
                        f"upload {upload.id} is needed by {', '.join(users[:3])}", hint="cancel these tasks first"
                    )
                hold(self.folder / upload.id, held)
                # Out of sight in one step: half of it is never found.
                os.rename(self.folder / upload.id, gone)  # noqa: PTH104 - the commit
            try:
                yield upload
            except BaseException:
                with self.locked(), told():
                    (gone / "alive").unlink()
                    os.rename(gone, self.folder / upload.id)  # noqa: PTH104 - taken back
                raise
            with told():
                remove(gone)

    def sweep(self) -> Sequence[str]:
        """Remove what killed processes left behind; what is being received is left alone."""
        if not self.folder.is_dir():
            return []
        with self.locked(), told():
            dead = [path for path in self.folder.glob(f"{STAGING}*") if not is_alive(path)]
            for path in dead:
                remove(path)
        return [path.name for path in dead]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; others wait. Not to be held twice."""
        with ExitStack() as held:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(self.folder / ".lock"))
            except OSError as cause:
                raise fault_of(cause) from cause
            yield


def read_as(config: ExperimentConfig, upload: Upload) -> ExperimentConfig:
    """The configuration, with what is known of how the file is read wherever it says nothing itself."""
    unsaid = {key: value for key, value in upload.options.items() if getattr(config.data, key) is None}
    if any(getattr(config.data, key) is not None for key in _LABELS):  # they exclude one another
        unsaid = {key: value for key, value in unsaid.items() if key not in _LABELS}
    return config.model_copy(update={"data": config.data.model_copy(update=unsaid)}) if unsaid else config


def _json(upload: Upload) -> str:
    return json.dumps(asdict(upload), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
