"""The card of a version: what its rows are, where they came from, what was wrong with them.

Written once, when the rows are stored; never changed. Neighbours: store keeps cards beside the rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from finetune30.data.splits import Splits

ID = re.compile(r"[0-9a-f]{64}")
SHORT = 12


@dataclass(frozen=True)
class StoredFile:
    """Size and content of the file of a split, as it was written."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> StoredFile:
        """What lies there now."""
        with path.open("rb") as file:
            return cls(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class DatasetVersion:
    """One version.

    Args:
        id: sha256 over the exact rows: ``Splits.fingerprint``.
        created_at: Unix seconds.
        source: Where the rows came from, for people.
        data: The ``data`` section of the configuration that made them.
        splits: Rows, rows by label, and bytes and sha256 of the file of each split.
        quality: ``QualityReport.summary`` of the tables they were taken from; empty when none was made.
        notes: What was found, left out or changed on the way.
    """

    id: str
    created_at: float
    source: str
    data: Mapping[str, Any]
    label_names: tuple[str, ...]
    multi_label: bool
    pairs: bool
    splits: Mapping[str, Mapping[str, Any]]
    quality: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        splits: Splits,
        data: Mapping[str, Any],
        quality: Mapping[str, Any],
        files: Mapping[str, StoredFile],
        created_at: float,
    ) -> DatasetVersion:
        """The card of rows that were just stored, a file a split."""
        parts = {
            name: {"rows": len(split), **asdict(files[name]), "labels": splits.counts.get(name, {}).get("labels", {})}
            for name, split in splits.items()
        }
        return cls(
            splits.fingerprint,
            created_at,
            splits.source,
            data,
            splits.label_names,
            splits.multi_label,
            splits.train.pairs is not None,
            parts,
            quality,
            splits.notes,
        )

    @property
    def short(self) -> str:
        """The beginning of the id, enough for people."""
        return self.id[:SHORT]

    @property
    def rows(self) -> int:
        """Rows of all splits."""
        return sum(int(part["rows"]) for part in self.splits.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all splits on disk."""
        return sum(int(part["bytes"]) for part in self.splits.values())

    def damaged_in(self, folder: Path) -> Path | None:
        """The first of its files that is not as it was written; None where all are."""
        for name, part in self.splits.items():
            file = folder / f"{name}.parquet"
            try:
                if asdict(StoredFile.of(file)) != {key: part.get(key) for key in ("bytes", "sha256")}:
                    return file
            except OSError:
                return file
        return None

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self)

    def to_json(self) -> str:
        """The text of the card's file."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DatasetVersion:
        """A card that was read.

        Raises: KeyError, TypeError, ValueError when it is no card.
        """
        names = {name: values[name] for name in cls.__dataclass_fields__}
        if not ID.fullmatch(str(names["id"])):
            raise ValueError(f"{names['id']!r} is no id of a version")
        if not all(
            isinstance(part, dict) and {"rows", "bytes", "labels"} <= part.keys() for part in names["splits"].values()
        ):
            raise ValueError("a split lacks its rows, bytes or labels")
        told = {"label_names": tuple(names["label_names"]), "notes": tuple(names["notes"])}
        return cls(**names | told | {"created_at": float(names["created_at"])})
