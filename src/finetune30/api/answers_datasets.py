"""The shapes of answers about datasets and their versions. Times are Unix seconds.

Neighbours: ``routes.datasets`` and ``routes.versions`` fill them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from finetune30.api.shape import Shape

if TYPE_CHECKING:
    from finetune30.data.uploads import Upload
    from finetune30.data.versions import DatasetVersion


class Refusal(Shape):
    """Why a file was refused."""

    code: str
    message: str = Field(description="Names the row, where it is one row's fault")
    where: str | None = None
    hint: str | None = None
    status: int = Field(description="422, or 413 where it unpacks to far too much")


class CheckResult(Shape):
    """What one check found."""

    name: str
    status: Literal["PASS", "WARN", "FAIL"]
    count: int
    found: str
    hint: str | None
    rows: list[str] = Field(description="The first of them; GET /datasets/{dataset_id}/report names all")


class Report(Shape):
    """What the checks say of a dataset."""

    status: Literal["PASS", "WARN", "FAIL"]
    total_samples: int
    splits: dict[str, int]
    label_counts: dict[str, int]
    imbalance_ratio: float
    is_balanced: bool
    notes: list[str]
    checks: list[CheckResult]


class Dataset(Shape):
    """A file somebody sent."""

    dataset_id: str
    dataset_name: str = Field(description="What a configuration calls it: data.dataset_name")
    owner: str
    name: str = Field(description="The file's name as it was sent")
    format: str
    bytes: int
    sha256: str
    created_at: float
    purpose: str
    state: Literal["checking", "ready", "refused"]
    options: dict[str, Any] = Field(description="How it is read: text_column, label_column and so on")
    version: str | None = Field(description="The version of data its rows are, once it is ready")
    error: Refusal | None
    report: Report | None

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """The card, for whoever may see it."""
        return cls(
            **{name: getattr(upload, name) for name in ("owner", "name", "format", "bytes", "sha256", "created_at")},
            dataset_id=upload.id,
            dataset_name=f"upload:{upload.id}",
            purpose=upload.purpose,
            state=upload.state,
            options=dict(upload.options),
            version=upload.version,
            error=None if upload.error is None else Refusal.model_validate(dict(upload.error)),
            report=None if upload.report is None else Report.model_validate(dict(upload.report)),
        )


class Repaired(Shape):
    """A repaired copy of a dataset."""

    dataset: Dataset = Field(description="The copy; it is checked as any file that is sent")
    fixes: dict[str, int] = Field(description="Rows that each fix touched, by the name of the check that asked for it")
    rows: dict[str, int] = Field(description="Rows of the copy, by split")


class Datasets(Shape):
    """Files, the newest first."""

    datasets: list[Dataset]
    has_more: bool
    next: str | None = Field(description="For after=, where there is more")


class PreviewRow(Shape):
    """A row as a training sees it."""

    split: str
    row: int = Field(description="Its place in the file, from 0")
    text: str
    text_pair: str | None
    label: str | list[str]


class Preview(Shape):
    """The first rows."""

    rows: list[PreviewRow]


class Version(Shape):
    """A version of data: exact rows, stored once."""

    version: str
    dataset_name: str = Field(description="What a configuration calls it: data.dataset_name")
    created_at: float
    source: str
    rows: int
    splits: dict[str, int]
    label_names: list[str]
    bytes: int
    tags: list[str]

    @classmethod
    def of(cls, version: DatasetVersion, tags: Sequence[str]) -> Self:
        """The version, without where on this machine it came from."""
        return cls(
            version=version.id,
            dataset_name=f"version:{version.id}",
            created_at=version.created_at,
            source=_placeless(version.source),
            rows=version.rows,
            splits={name: int(part["rows"]) for name, part in version.splits.items()},
            label_names=list(version.label_names),
            bytes=version.size_bytes,
            tags=list(tags),
        )


class WholeVersion(Version):
    """A version with what was found in it."""

    labels: dict[str, dict[str, int]] = Field(description="Rows by label of each split")
    multi_label: bool
    pairs: bool
    quality: dict[str, Any]
    notes: list[str]

    @classmethod
    def of(cls, version: DatasetVersion, tags: Sequence[str]) -> Self:
        """The version."""
        told = Version.of(version, tags).model_dump()
        labels = {name: dict(part["labels"]) for name, part in version.splits.items()}
        more: Mapping[str, Any] = {
            "multi_label": version.multi_label,
            "pairs": version.pairs,
            "quality": dict(version.quality),
            "notes": [note for note in version.notes if "/" not in note],
        }
        return cls(**told, labels=labels, **more)


class Versions(Shape):
    """Versions, the newest first."""

    versions: list[Version]
    has_more: bool
    next: str | None = Field(description="For after=, where there is more")


class DiffRow(Shape):
    """A row of a version; ``place`` such as train:17."""

    place: str
    text: str
    text_pair: str | None
    label: str


class Difference(Shape):
    """What changed from one version to another: how many rows, and the first of them."""

    before: str
    after: str
    unchanged: int
    counts: dict[str, int]
    added: list[DiffRow]
    removed: list[DiffRow]
    relabelled: list[tuple[DiffRow, DiffRow]]
    moved: list[tuple[DiffRow, DiffRow]]


def _placeless(source: str) -> str:
    """Not where on this machine it lay, nor whose upload had these rows first."""
    if source.startswith("upload:"):
        return "an upload"
    return PurePath(source).name if source.startswith("/") else source
