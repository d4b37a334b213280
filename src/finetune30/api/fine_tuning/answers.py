"""The shapes of OpenAI's API, as its Python client's own types have them. Times are whole Unix seconds.

Neighbours: ``jobs``, ``history`` and ``files`` fill them; a test holds each against the client's types.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from finetune30.api.shape import Shape

T = TypeVar("T")
Auto = Literal["auto"]
JobStatus = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]


class OpenAIFault(Shape):
    """What was refused, and why."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Shape):
    """A refusal."""

    error: OpenAIFault


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool = Field(description="Then the last id goes into after=")
    first_id: str | None = None
    last_id: str | None = None


class Hyperparameters(Shape):
    """What the job trains with; null where it was told otherwise than in these words."""

    n_epochs: int | Auto | None
    batch_size: int | Auto | None
    learning_rate_multiplier: float | Auto | None = Field(description="1 is a learning rate of 5e-4")


class Supervised(Shape):
    """How the method is set."""

    hyperparameters: Hyperparameters


class Method(Shape):
    """How it is trained."""

    type: Literal["supervised"] = "supervised"
    supervised: Supervised


class JobError(Shape):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class FineTuningJob(Shape):
    """An experiment as a fine-tuning job."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    status: JobStatus
    error: JobError | None
    model: str
    fine_tuned_model: str | None
    organization_id: str = Field(description="The name of its owner")
    training_file: str
    validation_file: str | None
    result_files: list[str]
    trained_tokens: int | None = Field(description="About: throughput times seconds")
    hyperparameters: Hyperparameters
    method: Method
    seed: int
    integrations: list[Any] = []  # noqa: RUF012 - pydantic copies it
    metadata: dict[str, str] | None


class JobEvent(Shape):
    """One thing that happened to a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class CheckpointMetrics(Shape):
    """Figures at the step of a checkpoint; accuracies are of labels, losses of the whole validation split."""

    step: float
    train_loss: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None


class JobCheckpoint(Shape):
    """A checkpoint that was kept."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: CheckpointMetrics


class FileObject(Shape):
    """An upload, or the figures of a run."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: Literal["fine-tune", "fine-tune-results"]
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None = None


class FileDeleted(Shape):
    """A file that is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class Model(Shape):
    """A base model, or one of one's own."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class Models(Shape):
    """All that one may use."""

    object: Literal["list"] = "list"
    data: list[Model]


def paged(found: list[Any], has_more: bool) -> dict[str, Any]:
    """The fields of a page."""
    ends = (found[0].id, found[-1].id) if found else (None, None)
    return {"data": found, "has_more": has_more, "first_id": ends[0], "last_id": ends[1]}
