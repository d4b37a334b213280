"""The shapes of answers. A field that only a newer server sends is kept (``more``) and does no harm.

Times are Unix seconds. States are plain texts: a newer server may know more of them.
Neighbours: ``api.answers`` has the other end of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from finetune30.client import refusals

ENDED = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
T = TypeVar("T")
S = TypeVar("S", bound="Shape")


class Shape(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    @property
    def more(self) -> dict[str, Any]:
        """What this version of the client has no name for."""
        return dict(self.model_extra or {})

    def to_dict(self) -> dict[str, Any]:
        """All of it, as it was sent."""
        return self.model_dump()


def shaped(shape: type[S], value: Any, server: str) -> S:
    """The answer as this shape.

    Raises: WrongServer where it is none.
    """
    try:
        return shape.model_validate(value)
    except ValidationError as cause:
        where = ", ".join(sorted({".".join(map(str, one["loc"])) or "all of it" for one in cause.errors()}))
        told = f"an answer that is no {shape.__name__} ({refusals.shown(where, 200)})"
        raise refusals.not_ours(server, told) from cause


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of a list. ``next`` is the cursor of what follows, where there is more."""

    items: list[T]
    has_more: bool
    next: Any = None

    @classmethod
    def of(cls, value: Any, key: str, shape: type[S], server: str) -> Page[S]:
        """The page that was answered, its things under ``key``.

        Raises: WrongServer.
        """
        found = value.get(key) if isinstance(value, dict) else None
        if not isinstance(found, list):
            raise refusals.not_ours(server, f"an answer without {key}")
        items = [shaped(shape, one, server) for one in found]
        return Page(items, bool(value.get("has_more", False)), value.get("next"))


class Person(Shape):
    """A user."""

    user_id: str
    name: str
    role: str
    disabled: bool = False
    created_at: float | None = None


class Progress(Shape):
    """How far a running task is."""

    step: int | None = None
    total: int | None = None
    loss: float | None = None
    eta_s: float | None = None


class Failure(Shape):
    """Why a task failed."""

    code: str | None = None
    message: str | None = None
    where: str | None = None
    hint: str | None = None


class Event(Shape):
    """One thing that happened to a task."""

    number: int
    at: float
    kind: str
    message: str = ""
    experiment_id: str | None = None
    attempt: int = 0
    status: str | None = None
    step: int | None = None


class Task(Shape):
    """A training that was asked for. ``position`` 1 is the next to start; None where it does not wait."""

    task_id: str
    status: str
    owner: str
    name: str
    attempt: int = 0
    failures: int = 0
    paused: bool = False
    pause_requested: bool = False
    cancel_requested: bool = False
    queue: str = ""
    priority: int = 0
    devices: int = 1
    max_runtime_s: float | None = None
    resumed_from: str | None = None
    continues: bool = False
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    worker: str | None = None
    position: int | None = None
    starts_in_s: float | None = None
    progress: Progress | None = None
    error: Failure | None = None
    accuracy: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ENDED


class WholeTask(Task):
    """A task with everything that is known of it."""

    queue_position: int | None = None
    result: dict[str, Any] | None = None
    attempts: tuple[dict[str, Any], ...] = ()
    events: tuple[Event, ...] = ()
    config: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] | None = None


class Experiment(Shape):
    """A run in a list."""

    id: str
    name: str
    owner: str
    status: str
    base_model: str = ""
    dataset: str = ""
    dataset_hash: str | None = None
    eval_accuracy: float | None = None
    train_runtime: float | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    resumed_from: str | None = None


class WholeExperiment(Experiment):
    """A run with its configuration and figures."""

    attempt: int = 0
    paused: bool = False
    fingerprint: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] | None = None
    error: Failure | None = None


class Span(Shape):
    """Figures of the experiments that have one."""

    mean: float | None = None
    min: float | None = None
    max: float | None = None
    total: float | None = None


class OfModel(Shape):
    """Figures of one base model."""

    base_model: str
    count: int
    mean_accuracy: float | None = None
    best_accuracy: float | None = None


class Statistics(Shape):
    """Figures over experiments."""

    total: int
    by_status: dict[str, int]
    eval_accuracy: Span
    train_runtime: Span
    by_base_model: tuple[OfModel, ...] = ()


class AuditEntry(Shape):
    """One row of the audit log."""

    seq: int
    at: float
    user_id: str | None = None
    user_name: str = ""
    role: str = ""
    action: str
    target: str = ""
    outcome: str
    address: str = ""
    request_id: str = ""
    detail: dict[str, Any] | None = None


class Worker(Shape):
    """Who takes jobs: ``busy`` of its ``slots`` are taken, by ``tasks``."""

    name: str
    host: str = ""
    slots: int
    busy: int = 0
    queues: tuple[str, ...] = ()
    started_at: float
    seen_at: float
    alive: bool = True
    tasks: tuple[str, ...] = ()


class Readiness(Shape):
    """What the server stands on."""

    status: str
    database: str | None = None
    broker: str | None = None
