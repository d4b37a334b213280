"""What an experiment is: its states and their legal moves, its fields, its id.

Promises: the moves are said once, here, and every statement of the store asks this table; what
goes into the database is plain strict JSON (no NaN, no NUL), the same on SQLite and PostgreSQL.
Neighbours: ``store`` keeps these records, ``folder`` uses the id. No SQL here.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from numbers import Integral, Real
from typing import Any
from zoneinfo import ZoneInfo

ID_PATTERN = re.compile(r"[a-z0-9_-]{1,80}")
# What ``first_id`` makes, to tell a run's folder from any other.
ID_SHAPE = re.compile(r"(?=.{1,80}\Z)[a-z0-9_-]+_\d{8}_\d{6}(_\d+)?")
# 80 characters less "_YYYYMMDD_HHMMSS" and a suffix of up to "_99999".
_SLUG_LENGTH = 58


class Status(StrEnum):
    """State of an experiment, in Celery's words."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"

    @property
    def is_terminal(self) -> bool:
        """True where no move leads on."""
        return not LEGAL_MOVES[self]

    @property
    def sources(self) -> tuple[Status, ...]:
        """The states from which this one may be reached, for WHERE clauses."""
        return tuple(source for source, targets in LEGAL_MOVES.items() if self in targets)


LEGAL_MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.STARTED, Status.REVOKED}),
    # To STARTED again: another process takes over. To PENDING: paused.
    Status.STARTED: frozenset(Status),
    Status.SUCCESS: frozenset(),
    Status.FAILURE: frozenset(),
    Status.REVOKED: frozenset(),
}


class Outcome(StrEnum):
    """How one attempt ended."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"
    PAUSED = "PAUSED"
    DRAINED = "DRAINED"  # its worker was asked to end; another one goes on from the checkpoint
    LOST = "LOST"  # its process fell silent; another attempt or a cancel followed


@dataclass(frozen=True)
class Overview:
    """One row without its two long columns, as lists need it. Times are Unix seconds of the database's clock.

    Attributes:
        attempt: Number of the newest attempt, 0 before the first; also its fencing token.
        failures: Attempts that count against MAX_ATTEMPTS; drained, paused and cancelled ones do not.
        queue: Workers serve queues by name.
        priority: Among the jobs of one owner the highest starts first; owners take turns.
        devices: GPUs (or processes) the run takes on one machine.
        max_runtime_s: An attempt is ended after so many seconds; None lets it run.
        not_before: No worker takes it before this moment: a retry waits a little.
        pause_requested: Somebody asked to pause it while it runs.
        lease_live: A process held the lease when the row was read.
        dataset_hash: Fingerprint of the exact rows used, known once the data is read.
        progress: ``step``, ``total``, ``loss``, ``eta_s``.
        error: ``code``, ``message``, ``where``, ``hint`` of a FAILURE.
        train_runtime: Seconds of training.
        eval_accuracy: On the validation split, 0 to 1.
        resumed_from: Id of the finished experiment this one continues or runs again.
        continues: It goes on from the checkpoints of ``resumed_from``.
    """

    id: str
    name: str
    owner: str
    status: Status
    paused: bool
    attempt: int
    fingerprint: str
    base_model: str
    dataset: str
    dataset_hash: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    lease_owner: str | None
    lease_expires_at: float | None
    lease_live: bool
    cancel_requested: bool
    progress: dict[str, Any] | None
    error: dict[str, Any] | None
    train_runtime: float | None
    eval_accuracy: float | None
    resumed_from: str | None
    continues: bool
    queue: str
    priority: int
    devices: int
    failures: int
    max_runtime_s: float | None
    not_before: float | None
    pause_requested: bool

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, ready for strict JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Experiment(Overview):
    """One row, as it was when it was read.

    Attributes:
        config: The full configuration.
        metrics: The content of ``metrics.json``; None before the end.
    """

    config: dict[str, Any]
    metrics: dict[str, Any] | None


@dataclass(frozen=True)
class Attempt:
    """One line of an experiment's history: who ran it, from when to when, how it ended."""

    experiment_id: str
    attempt: int
    worker: str
    started_at: float
    ended_at: float | None
    outcome: Outcome | None
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class Wish:
    """What a submitter may ask for beside the configuration.

    Attributes:
        devices: GPUs (or processes) it needs on one machine.
        idempotency_key: The same key of the same owner never makes a second job.
        resumed_from: The ended experiment it continues or runs again.
        continues: Go on from the checkpoints of ``resumed_from``.
        dataset_hash: Of the rows those were trained on: where it continues, no others will do.
        metadata: What the submitter writes on it, for people and to be found by.
    """

    queue: str = "train"
    priority: int = 0
    devices: int = 1
    max_runtime_s: float | None = None
    idempotency_key: str | None = None
    resumed_from: str | None = None
    continues: bool = False
    dataset_hash: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Claimed:
    """A row that a worker has taken; ``attempt`` is the token every write must show.

    Attributes:
        sent: ``time.monotonic()`` when the claim was sent: the lease began no earlier.
    """

    experiment: Experiment
    attempt: int
    worker: str
    sent: float


@dataclass(frozen=True)
class Beat:
    """What a heartbeat is answered: what somebody wants of the run."""

    cancel_requested: bool
    pause_requested: bool


# An event on its way into the history: kind, message, step.
Note = tuple[str, str, int | None]


@dataclass(frozen=True)
class JobEvent:
    """One thing that happened to an experiment, in order of ``number``.

    Attributes:
        kind: ``state``, ``checkpoint``, ``evaluation`` or ``warning``.
        status: Of a ``state`` event, the state it entered.
    """

    number: int
    experiment_id: str
    at: float
    attempt: int
    kind: str
    status: Status | None
    message: str
    step: int | None


@dataclass(frozen=True)
class WorkerSeen:
    """A worker's last sign of life.

    Attributes:
        slots: Attempts it runs at once, of which ``busy`` are taken.
        alive: It was heard of within a lease.
    """

    name: str
    host: str
    slots: int
    busy: int
    queues: list[str]
    started_at: float
    seen_at: float
    alive: bool


def first_id(name: str, at: float, tz: str) -> str:
    """Id for an experiment: ``<slug>_<YYYYMMDD>_<HHMMSS>``; add a suffix where it is taken.

    Args:
        name: Any string; what ASCII cannot say is dropped, and an empty rest becomes "run".
        at: Unix seconds.
        tz: Zone of the date and time in the id.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9_]+", "-", plain)[:_SLUG_LENGTH].strip("-_") or "run"
    return f"{slug}_{datetime.fromtimestamp(at, ZoneInfo(tz)):%Y%m%d_%H%M%S}"


def search_key(text: str) -> str:
    """``text`` as names are compared: without case or width, alike on every database."""
    return unicodedata.normalize("NFKC", plain_text(text)).casefold()


def plain_text(text: str) -> str:
    """``text`` without what a database or UTF-8 cannot hold: NUL and lone surrogates."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def portable(value: object) -> Any:
    """``value`` as strict JSON can say it: the one place where NaN and Infinity become None.

    Numbers of other libraries (numpy scalars) become plain ones.

    Raises: TypeError for anything that is no JSON value.
    """
    match value:
        case None | bool():
            return value
        case str():
            return plain_text(value)
        case Integral():
            return int(value)
        case Real():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {plain_text(str(key)): portable(item) for key, item in value.items()}
        case Sequence() | set() | frozenset():
            return [portable(item) for item in value]
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")
