"""The shapes of answers about models, versions and aliases. Times are Unix seconds.

Neighbours: ``registry`` has the records, ``routes.models`` and ``routes.aliases`` send these.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field

from finetune30 import registry
from finetune30.api.shape import Shape
from finetune30.registry import Kind, Visibility


class Model(Shape):
    """A name under which versions are kept."""

    name: str
    owner: str
    visibility: Visibility
    description: str
    created_at: float
    versions: int = Field(description="How many there are")
    latest: int | None = Field(description="The highest number of those")
    aliases: dict[str, int] = Field(description="Alias and the version it points at")

    @classmethod
    def of(cls, one: registry.Model) -> Self:
        """The model."""
        return cls.model_validate(one, from_attributes=True)


class Models(Shape):
    """A page of models, by name."""

    models: list[Model]
    has_more: bool
    next: str | None = Field(description="For after=, where there is more")


class Version(Shape):
    """One experiment's adapter under a number of its own; neither ever changes."""

    model: str
    version: int
    address: str = Field(description="name/number, as everything else takes it")
    experiment_id: str
    sha256: str = Field(description="Of the manifest of its files")
    registered_at: float
    registered_by: str
    note: str
    aliases: list[str]
    base_model: str
    base_revision: str | None
    dataset: str
    dataset_hash: str | None
    eval_accuracy: float | None

    @classmethod
    def of(cls, one: registry.Version) -> Self:
        """The version."""
        return cls(version=one.number, **{k: v for k, v in _fields(one).items() if k != "number"}, address=one.address)


class File(Shape):
    """One file of an adapter."""

    name: str
    bytes: int
    sha256: str


class WholeVersion(Shape):
    """A version and the files it consists of."""

    version: Version
    files: list[File]


class Versions(Shape):
    """A page of versions, the newest first."""

    versions: list[Version]
    has_more: bool
    next: int | None = Field(description="For before=, where there is more")


class Alias(Shape):
    """Where an alias points."""

    model: str
    alias: str
    version: int
    moved_at: float
    moved_by: str
    previous: int | None = Field(description="Where a rollback would move it")

    @classmethod
    def of(cls, one: registry.Alias) -> Self:
        """The alias."""
        return cls(version=one.number, **{k: v for k, v in _fields(one).items() if k != "number"})


class Move(Shape):
    """One move of an alias."""

    seq: int
    model: str
    alias: str
    kind: Kind
    from_version: int | None
    to_version: int | None = Field(description="null: it was dropped")
    moved_at: float
    moved_by: str
    note: str

    @classmethod
    def of(cls, one: registry.Move) -> Self:
        """The move."""
        told = {k: v for k, v in _fields(one).items() if not k.endswith("_number")}
        return cls(from_version=one.from_number, to_version=one.to_number, **told)


class Moves(Shape):
    """What happened to aliases, the newest first."""

    moves: list[Move]
    has_more: bool
    next: int | None = Field(description="For before=, where there is more")


class Resolved(Shape):
    """What an address means just now."""

    model: str | None = Field(description="null for an experiment that was named by its id")
    version: int | None
    alias: str | None
    experiment_id: str
    sha256: str
    owner: str
    visibility: Visibility
    base_model: str
    base_revision: str | None
    label_names: list[str]
    dataset: str
    dataset_hash: str | None
    eval_accuracy: float | None


class OfModel(Shape):
    """The model's end of a lineage."""

    name: str
    version: int
    owner: str
    aliases: list[str]
    sha256: str
    registered_at: float
    registered_by: str


class OfRun(Shape):
    """The run's part of a lineage."""

    id: str
    name: str
    owner: str
    created_at: float
    finished_at: float | None
    resumed_from: str | None
    fingerprint: str
    eval_accuracy: float | None


class OfData(Shape):
    """The data's end of a lineage."""

    name: str
    version: str | None
    also_trained: list[str] = Field(description="Other versions that were trained on these rows")


class OfBase(Shape):
    """What was adapted."""

    name: str
    revision: str | None


class Lineage(Shape):
    """Run ↔ data ↔ model."""

    model: OfModel
    experiment: OfRun
    data: OfData
    base: OfBase


def _fields(one: registry.Version | registry.Alias | registry.Move) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}
