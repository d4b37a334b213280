"""The shapes of answers, for OpenAPI and for whoever writes a client. Times are Unix seconds.

Neighbours: ``jobs.telling`` makes the object of a task, which the command line prints as well.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field

from finetune30.access import Role, User
from finetune30.api.shape import Shape
from finetune30.experiments import Experiment, Overview, Status
from finetune30.jobs.telling import summary


class Problem(Shape):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; docs/reference.md lists them")
    where: str | None
    hint: str | None
    request_id: str
    errors: list[ProblemFault] | None = None


class ProblemFault(Shape):
    """One of several faults."""

    where: str
    detail: str


class Session(Shape):
    """What a login answers."""

    token: str = Field(description="For the header Authorization: Bearer …")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int = Field(description="Seconds the token lives")
    refresh_token: str = Field(description="Good once, at POST /token/refresh")
    user_id: str
    role: Role


class Person(Shape):
    """A user."""

    user_id: str
    name: str
    role: Role
    disabled: bool
    created_at: float

    @classmethod
    def of(cls, user: User) -> Person:
        """The user, without anything secret."""
        return cls(user_id=user.id, name=user.name, role=user.role, disabled=user.disabled, created_at=user.created_at)


class People(Shape):
    """All users."""

    users: list[Person]


class Progress(Shape):
    """How far a running task is."""

    step: int | None
    total: int | None
    loss: float | None
    eta_s: float | None


class TaskError(Shape):
    """Why a task failed."""

    code: str | None
    message: str | None
    where: str | None
    hint: str | None


class Task(Shape):
    """A task in a list."""

    task_id: str
    status: Status
    owner: str
    name: str
    attempt: int
    failures: int
    paused: bool
    pause_requested: bool
    cancel_requested: bool
    queue: str
    priority: int
    devices: int
    max_runtime_s: float | None
    resumed_from: str | None
    continues: bool
    created_at: float
    started_at: float | None
    finished_at: float | None
    worker: str | None
    position: int | None = Field(description="1 is the next to start; null where it does not wait")
    starts_in_s: float | None
    progress: Progress | None
    error: TaskError | None
    accuracy: float | None


class Submitted(Task):
    """A task that was just made."""

    notes: list[str] = Field(description="Keys that were read under another name, or passed over")


class WholeTask(Task):
    """One task with everything that is known of it: the object of ``finetune30 jobs show --json``."""

    queue_position: int | None
    result: dict[str, Any] | None = Field(description="accuracy, train_runtime and figures of a SUCCESS")
    attempts: list[dict[str, Any]]
    events: list[dict[str, Any]]
    config: dict[str, Any]
    metrics: dict[str, Any] | None


class Tasks(Shape):
    """A page of tasks, the newest first."""

    tasks: list[Task]
    has_more: bool
    next: str | None = Field(description="For after=, where there is more")


class Event(Shape):
    """One thing that happened to a task."""

    number: int
    experiment_id: str
    at: float
    attempt: int
    kind: str
    status: Status | None
    message: str
    step: int | None


class Events(Shape):
    """What happened, in order."""

    events: list[Event]
    has_more: bool
    next: int | None = Field(description="For after=, where there is more")


class Run(Shape):
    """An experiment in a list."""

    id: str
    task_id: str
    name: str
    owner: str
    status: Status
    base_model: str
    dataset: str
    dataset_hash: str | None
    eval_accuracy: float | None
    train_runtime: float | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    resumed_from: str | None

    @classmethod
    def of(cls, one: Overview) -> Self:
        """The experiment."""
        return cls(task_id=one.id, **{name: getattr(one, name) for name in cls.model_fields if name != "task_id"})


class WholeRun(Run):
    """One experiment with its configuration and figures."""

    attempt: int
    paused: bool
    fingerprint: str
    config: dict[str, Any]
    metrics: dict[str, Any] | None
    error: TaskError | None
    bytes: int = Field(description="Of its folder")

    @classmethod
    def of_whole(cls, one: Experiment, size_bytes: int) -> WholeRun:
        """The experiment, and what its folder takes."""
        return cls(bytes=size_bytes, task_id=one.id, **{name: getattr(one, name) for name in _COLUMNS})


class Runs(Shape):
    """A page of experiments."""

    experiments: list[Run]
    has_more: bool
    next: str | None = Field(description="For after=, where there is more")


class Span(Shape):
    """Figures of the experiments that have one."""

    mean: float | None
    min: float | None
    max: float | None


class Runtimes(Span):
    """Seconds of training."""

    total: float | None


class OfModel(Shape):
    """Figures of one base model."""

    base_model: str
    count: int
    mean_accuracy: float | None
    best_accuracy: float | None


class Statistics(Shape):
    """Figures over experiments."""

    total: int
    by_status: dict[str, int]
    eval_accuracy: Span
    train_runtime: Runtimes
    by_base_model: list[OfModel]


class AuditEntry(Shape):
    """One row of the audit log."""

    seq: int
    at: float
    user_id: str | None
    user_name: str
    role: str
    action: str
    target: str
    outcome: str
    address: str
    request_id: str
    detail: dict[str, Any] | None


class AuditLog(Shape):
    """Rows of the audit log, the newest first."""

    logs: list[AuditEntry]
    has_more: bool
    next: int | None = Field(description="For before=, where there is more")


class Health(Shape):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Shape):
    """What the service stands on. ``degraded``: requests are served, some things come later."""

    status: Literal["ready", "degraded", "unavailable"]
    database: Literal["ok", "down"]
    broker: Literal["ok", "down", "none"]
    disk: Literal["ok", "full"]


Problem.model_rebuild()
_COLUMNS = [name for name in WholeRun.model_fields if name not in ("task_id", "bytes")]


def task_of(one: Overview, place: Any) -> Task:
    """A task for a list."""
    return Task.model_validate(summary(one, place))
