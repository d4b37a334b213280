"""What the route of workers answers. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Self

from pydantic import Field

from finetune30.api.shape import Shape
from finetune30.experiments.record import WorkerSeen


class WorkerTold(Shape):
    """A worker's last sign of life."""

    name: str
    host: str
    slots: int = Field(description="Attempts it runs at once")
    busy: int = Field(description="Of them taken, as it said last")
    queues: list[str]
    started_at: float
    seen_at: float
    alive: bool = Field(description="It was heard of within a lease")
    tasks: list[str] = Field(description="What it runs just now, the oldest first")

    @classmethod
    def of(cls, seen: WorkerSeen, tasks: list[str]) -> Self:
        """The worker."""
        return cls.model_validate({**asdict(seen), "tasks": tasks})


class Workers(Shape):
    """Workers by name."""

    workers: list[WorkerTold]
