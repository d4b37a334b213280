"""What all attempts of one worker share. Neighbours: ``serve`` makes it, ``supervisor`` works in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from finetune30.experiments import ExperimentStore, Queue
from finetune30.settings import Settings


@dataclass
class Orders:
    """What the worker wants of its attempts: set by its main thread, read by every supervisor.

    Attributes:
        drain: Write a checkpoint and give the row back; another worker goes on.
        at_once: Give the row back without that.
    """

    drain: bool = False
    at_once: bool = False


@dataclass(frozen=True)
class Office:
    """Settings, the rows, and who is to hear of what happens.

    Attributes:
        name: Of this worker, as lease owner.
        trainer: The command of an attempt process.
        say: Tells the operator, a line at a time.
        ring: Tells other workers that a job waits in a queue.
    """

    settings: Settings
    store: ExperimentStore
    queue: Queue
    name: str
    trainer: Sequence[str]
    say: Callable[[str], None]
    ring: Callable[[str, str], object]
    orders: Orders = field(default_factory=Orders)
