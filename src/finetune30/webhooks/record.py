"""What a webhook is: whom it tells of what, and each telling as a delivery. No SQL here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What happened; the ``type`` of a message."""

    SUCCEEDED = "run.succeeded"
    FAILED = "run.failed"
    CANCELLED = "run.cancelled"
    STARTED = "run.started"
    PAUSED = "run.paused"
    PING = "ping"


# What a webhook is told unless it asks for something else.
ENDS = (Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELLED)


class State(StrEnum):
    """Of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class Webhook:
    """One receiver. Times are Unix seconds of the database's clock.

    Attributes:
        owner: Whose runs it is told of.
        failing_since: The first failure since the last success; None where the last attempt succeeded.
        last_status: HTTP status of the last attempt, None where there was no answer.
        last_error: Why the last attempt failed, for its owner.
    """

    id: str
    owner: str
    url: str = field(repr=False)  # many a receiver takes a secret in the query
    kinds: tuple[Kind, ...]
    created_at: float
    disabled_at: float | None
    disabled_why: str | None
    failing_since: float | None
    last_at: float | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True)
class Delivery:
    """One message to one receiver.

    Attributes:
        number: Of the delivery; a receiver knows it as ``message_id``, the same at every attempt.
        task_id: None for a ping.
        happened_at: When that happened of which it tells.
        attempts: How often it was sent, or may have been.
        next_at: When it is sent (again), if it waits.
        being_sent: A process sends it just now, or died doing so less than a minute ago.
    """

    number: int
    webhook_id: str
    kind: Kind
    task_id: str | None
    happened_at: float
    state: State
    attempts: int
    next_at: float
    being_sent: bool
    last_at: float | None
    last_status: int | None
    last_error: str | None
    delivered_at: float | None

    @property
    def message_id(self) -> str:
        """The receiver's key to know a repetition by."""
        return f"msg_{self.webhook_id}_{self.number}"
