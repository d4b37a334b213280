"""The shapes of what a run left behind: files, checkpoints, curves, predictions.

Neighbours: ``answers`` has those of everything else, ``reports`` the values of a comparison.
"""

from __future__ import annotations

from pydantic import Field

from finetune30.api.shape import Shape
from finetune30.experiments import Status
from finetune30.reports.curves import Series
from finetune30.reports.shapes import Answer


class StoredFile(Shape):
    """A file inside an archive."""

    name: str
    bytes: int
    sha256: str | None = Field(description="Null where it would take long to compute")


class Artifact(StoredFile):
    """A file that can be fetched."""

    media_type: str
    files: list[StoredFile] = Field(description="Of an archive, what is in it")


class Artifacts(Shape):
    """What there is to fetch."""

    experiment_id: str
    artifacts: list[Artifact]


class KeptCheckpoint(Shape):
    """A checkpoint."""

    step: int
    roles: list[str] = Field(description="best, last, fastest: why it is kept; none for one about to go")
    accuracy: float | None = Field(description="On the validation split, at this step")
    train_seconds: float | None
    bytes: int
    archive: str = Field(description="Its name below /experiments/{task_id}/checkpoints/")
    files: list[StoredFile]


class Checkpoints(Shape):
    """The checkpoints of a run, by step."""

    experiment_id: str
    checkpoints: list[KeptCheckpoint]


class Curves(Shape):
    """A run's curves, thinned out; more points come while it runs."""

    experiment_id: str
    status: Status
    training: Series
    evaluations: Series
    whole: bool = Field(description="False where the journal was so long that only its end was read")


class Predictions(Shape):
    """What a run answered on its validation split."""

    experiment_id: str
    label_names: list[str]
    rows: int = Field(description="Of the validation split")
    wrong: int
    predictions: list[Answer]
    has_more: bool
    next: int | None = Field(description="For after=, where there is more")
