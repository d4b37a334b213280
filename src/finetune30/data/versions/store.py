"""Where versions lie: stored once, found by id, by its beginning or by a tag, never lost while used.

A version is there whole or not at all: rows are written beside their place and renamed, the card
last. Whoever stores, tags or deletes holds the lock of the folder, so that what a run is about to use
is not swept away under it. Neighbours: card describes, diff compares; callers say which runs use what.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from finetune30.data.splits import Split, Splits
from finetune30.data.table import did_you_mean
from finetune30.data.versions.card import ID, SHORT, DatasetVersion, StoredFile
from finetune30.durable import locked, put_in_place, remove, write_text
from finetune30.errors import BadInput, NotFound, StateError, StorageError

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ROWS_AT_ONCE = 8_192
_SEE = "see: finetune30 data versions list"


class VersionStore:
    """The versions below a data folder, which need not exist yet."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.datasets = data_dir / "datasets"
        self.metadata = data_dir / "metadata"

    def check_place(self) -> None:
        """Refuse a data folder that could not take a version. Makes nothing.

        Raises: StorageError.
        """
        place = self._nearest()
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise _unusable("this is no folder one can write to", place)

    def _check_readable(self) -> None:
        """A folder that is not there holds no versions; what is no folder must not look like that.

        Raises: StorageError.
        """
        place = self._nearest()
        # A folder on the way to it need not be listed.
        mode = os.R_OK | os.X_OK if place == self.metadata else os.X_OK
        if not place.is_dir() or not os.access(place, mode):
            raise _unusable("this is no folder one can read", place)

    def _nearest(self) -> Path:
        """The metadata folder, or what there is of its parents."""
        return next(place for place in (self.metadata, *self.metadata.absolute().parents) if os.path.lexists(place))

    def freeze(self, splits: Splits, data: Mapping[str, Any], quality: Mapping[str, Any]) -> DatasetVersion:
        """Store the rows, unless they are there already and are what was stored.

        Args:
            data: The ``data`` section of the configuration.
            quality: ``QualityReport.summary``, or nothing.
        Raises: OSError when they cannot be written; nothing half-written stays.
        """
        with self._locked():
            known = self._card(splits.fingerprint)
            folder = self.folder(splits.fingerprint)
            if known is not None and known.damaged_in(folder) is None:
                return known
            staging = folder.with_name(f".staging-{folder.name}")
            remove(staging)
            staging.mkdir(parents=True)
            try:
                for name, split in splits.items():
                    _write(split, splits, staging / f"{name}.parquet")
                files = {name: StoredFile.of(staging / f"{name}.parquet") for name, _ in splits.items()}
                put_in_place(staging, folder)
            finally:
                remove(staging)
            version = DatasetVersion.of(splits, data, quality, files, known.created_at if known else time.time())
            write_text(self._card_path(version.id), version.to_json())
            return version

    def list(self) -> Sequence[DatasetVersion]:
        """All versions, the newest first."""
        found = [self._card(one) for one in self._ids()]
        return sorted((card for card in found if card is not None), key=lambda card: card.created_at, reverse=True)

    def find(self, reference: str) -> DatasetVersion:
        """The version with this id, or an id that begins so, or this tag.

        Raises: NotFound; BadInput when several begin so.
        """
        tagged = self.tags().get(reference)
        fitting = [tagged] if tagged else [one for one in self._ids() if reference and one.startswith(reference)]
        if len(fitting) > 1:
            listed = ", ".join(one[:SHORT] for one in sorted(fitting)[:5])
            raise BadInput(f"{len(fitting)} versions begin with {reference!r}: {listed}", hint="give more of the id")
        version = self._card(fitting[0]) if fitting else None
        if version is None:
            near = did_you_mean(reference, self.tags())
            raise NotFound(f"no version of data has the id or tag {reference!r}", hint=near or _SEE)
        return version

    def folder(self, version_id: str) -> Path:
        """Where its rows lie: one Parquet file a split."""
        return self.datasets / version_id

    def intact(self, version: DatasetVersion) -> Path:
        """Where its rows lie, after a look that they are those that were stored.

        Raises: StorageError.
        """
        folder = self.folder(version.id)
        damaged = version.damaged_in(folder)
        if damaged is not None:
            raise StorageError(
                f"the rows of version {version.short} are not those that were stored",
                where=str(damaged),
                hint=f"restore the file, or store them again: train once on {version.source}",
            )
        return folder

    def tags(self) -> dict[str, str]:
        """Tag and id of the version it names."""
        self._check_readable()
        path = self.metadata / "tags.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {str(tag): str(one) for tag, one in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, RecursionError) as cause:
            raise StorageError(
                f"the tags cannot be read: {cause}", where=str(path), hint="restore or remove it"
            ) from cause

    def tags_of(self, version_id: str) -> Sequence[str]:
        """The tags of one version."""
        return sorted(tag for tag, one in self.tags().items() if one == version_id)

    def tag(self, reference: str, name: str) -> DatasetVersion:
        """Name a version; the name moves when another had it.

        Raises: BadInput for a name that is no name or looks like an id.
        """
        if not _TAG.fullmatch(name) or re.fullmatch(r"[0-9a-f]{6,64}", name):
            raise BadInput(
                f"{name!r} is no tag, expected letters, digits, dot, dash and underscore, and not the look of an id",
                hint="for example: finetune30 data versions tag ID gold-2026",
            )
        self.find(reference)  # nothing is made for what is not there
        with self._locked():
            version = self.find(reference)
            self._write_tags(self.tags() | {name: version.id})
        return version

    def untag(self, name: str) -> None:
        """Take a name away.

        Raises: NotFound.
        """
        tags = self.tags()
        if name not in tags:
            raise NotFound(f"no version has the tag {name!r}", hint=did_you_mean(name, tags) or _SEE)
        with self._locked():
            self._write_tags({tag: one for tag, one in self.tags().items() if tag != name})

    def delete(self, reference: str, runs_of: Callable[[str], Sequence[str]]) -> DatasetVersion:
        """Remove a version and its tags.

        Args:
            runs_of: Which runs used a version, by its id; asked under the lock.
        Raises: StateError while a run uses it; NotFound.
        """
        self.find(reference)  # nothing is made for what is not there
        with self._locked():
            version = self.find(reference)
            self._refuse_used(version, runs_of(version.id))
            self._remove(version.id)
        return version

    def gc(self, runs_of: Callable[[str], Sequence[str]], *, dry_run: bool) -> Sequence[DatasetVersion]:
        """Remove every version without runs and tags, and what a killed process left half-written.

        Returns: The versions removed, or with ``dry_run`` those that would be.
        """
        self._check_readable()
        if not self.metadata.is_dir():
            return []
        with self._locked():
            tagged = set(self.tags().values())
            unused = [one for one in self.list() if one.id not in tagged and not runs_of(one.id)]
            if not dry_run:
                for version in unused:
                    self._remove(version.id)
                for left in [*self.datasets.glob(".staging-*"), *self.metadata.glob(".staging-*")]:
                    remove(left)
                for folder in self.datasets.iterdir():  # killed between rows and card
                    if ID.fullmatch(folder.name) and not self._card_path(folder.name).exists():
                        remove(folder)
        return unused

    def _ids(self) -> Iterator[str]:
        self._check_readable()
        return (path.stem for path in self.metadata.glob("*.json") if ID.fullmatch(path.stem))

    def _refuse_used(self, version: DatasetVersion, runs: Sequence[str]) -> None:
        if runs:
            more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
            raise StateError(
                f"version {version.short} is used by {', '.join(runs[:3])}{more}",
                where=version.id,
                hint="delete these runs first: finetune30 runs delete ID",
            )

    def _remove(self, version_id: str) -> None:
        self._write_tags({tag: one for tag, one in self.tags().items() if one != version_id})
        # The card first: rows without a card are no version, and are swept up.
        remove(self._card_path(version_id))
        remove(self.folder(version_id))

    def _card(self, version_id: str) -> DatasetVersion | None:
        path = self._card_path(version_id)
        try:
            version = DatasetVersion.from_dict(json.loads(path.read_text(encoding="utf-8")))
            if version.id != version_id:
                raise ValueError(f"it is the card of {version.short}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
            raise StorageError(
                f"the card of a version cannot be read: {cause}", where=str(path), hint="restore or remove it"
            ) from cause
        return version if self.folder(version_id).is_dir() else None

    def _card_path(self, version_id: str) -> Path:
        return self.metadata / f"{version_id}.json"

    def _write_tags(self, tags: Mapping[str, str]) -> None:
        if tags != self.tags():
            write_text(self.metadata / "tags.json", json.dumps(dict(sorted(tags.items())), indent=2) + "\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as held:
            try:
                for folder in (self.datasets, self.metadata):
                    folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(self.metadata / ".lock"))
            except OSError as cause:
                raise _unusable(cause.strerror or str(cause), cause.filename or self.metadata) from cause
            yield


def _unusable(reason: str, place: str | Path) -> StorageError:
    return StorageError(
        f"versions of data cannot be kept here: {reason}",
        where=str(place),
        hint="set DATA_DIR to a folder this user can write to",
    )


def _write(split: Split, splits: Splits, path: Path) -> None:
    """One split as Parquet: position in the source, text (and the second of a pair), label by name."""
    import pyarrow as pa
    from pyarrow import parquet

    label = pa.list_(pa.string()) if splits.multi_label else pa.string()
    pair = [] if split.pairs is None else [("text_pair", pa.large_string())]
    schema = pa.schema([("row", pa.int64()), ("text", pa.large_string()), *pair, ("label", label)])
    with parquet.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for start in range(0, len(split), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            pairs = [] if split.pairs is None else [pa.array(split.pairs[some], pa.large_string())]
            labels = pa.array(list(splits.named(split.labels[some])), label)
            texts = pa.array(split.texts[some], pa.large_string())
            writer.write_batch(pa.record_batch([pa.array(split.rows[some]), texts, *pairs, labels], schema=schema))
