"""What happened to an experiment: its attempts, and its events in order.

Written in the transaction of the change they tell of, so history and state never disagree.
Neighbours: ``store`` and ``queue`` write and read; ``tables`` names the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from finetune30.database import now
from finetune30.experiments.record import Attempt, JobEvent, Outcome, Status, plain_text, portable
from finetune30.experiments.tables import attempts, events, to_attempt

# Of one experiment: a training that warns at every step must not fill the database.
_MOST_EVENTS = 5_000
_LONGEST_MESSAGE = 2_000


def begin_attempt(connection: Connection, experiment_id: str, attempt: int, worker: str) -> None:
    """Open a line of history; the line of a predecessor that fell silent is closed as LOST."""
    end_attempt(connection, experiment_id, Outcome.LOST)
    line = {"experiment_id": experiment_id, "attempt": attempt, "worker": worker, "started_at": now()}
    connection.execute(insert(attempts).values(line))
    note_state(connection, experiment_id, attempt, Status.STARTED, f"attempt {attempt} on {worker}")


def end_attempt(
    connection: Connection, experiment_id: str, outcome: Outcome, error: Mapping[str, object] | None = None
) -> None:
    """Close the open line of history; at most one is open."""
    open_line = and_(attempts.c.experiment_id == experiment_id, attempts.c.ended_at.is_(None))
    values: dict[str, Any] = {"ended_at": now(), "outcome": outcome, "error": portable(error)}
    connection.execute(update(attempts).where(open_line).values(values))


def note_state(connection: Connection, experiment_id: str, attempt: int, status: Status, message: str) -> None:
    """The experiment entered a state."""
    _insert(connection, experiment_id, attempt, "state", message, status=status)


def note_event(
    connection: Connection, experiment_id: str, attempt: int, kind: str, message: str, step: int | None
) -> None:
    """A checkpoint, an evaluation, a warning; beyond some thousands the oldest of them goes."""
    number = _insert(connection, experiment_id, attempt, kind, message, step=step)
    if number % 100 == 0:  # seldom, for counting costs
        mine = and_(events.c.experiment_id == experiment_id, events.c.kind != "state")
        kept = select(events.c.number).where(mine).order_by(events.c.number.desc()).offset(_MOST_EVENTS).limit(1)
        connection.execute(delete(events).where(mine, events.c.number <= kept.scalar_subquery()))


def attempts_of(connection: Connection, experiment_id: str) -> list[Attempt]:
    """The lines of history, the first one first."""
    lines = select(attempts).where(attempts.c.experiment_id == plain_text(experiment_id))
    return [to_attempt(line) for line in connection.execute(lines.order_by(attempts.c.attempt))]


def events_of(connection: Connection, experiment_id: str, after: int, limit: int) -> list[JobEvent]:
    """The events after the one with number ``after``, in order."""
    mine = select(events).where(events.c.experiment_id == plain_text(experiment_id), events.c.number > after)
    found = connection.execute(mine.order_by(events.c.number).limit(limit))
    return [_to_event(dict(line._mapping)) for line in found]


def latest_events_of(connection: Connection, experiment_id: str, before: int | None, limit: int) -> list[JobEvent]:
    """The events before the one with that number, or all; the newest first."""
    mine = select(events).where(events.c.experiment_id == plain_text(experiment_id))
    if before is not None:
        mine = mine.where(events.c.number < before)
    found = connection.execute(mine.order_by(events.c.number.desc()).limit(limit))
    return [_to_event(dict(line._mapping)) for line in found]


def _insert(
    connection: Connection,
    experiment_id: str,
    attempt: int,
    kind: str,
    message: str,
    *,
    status: Status | None = None,
    step: int | None = None,
) -> int:
    line = {
        "experiment_id": experiment_id,
        "at": now(),
        "attempt": attempt,
        "kind": kind,
        "status": status,
        "message": plain_text(message)[:_LONGEST_MESSAGE],
        "step": step,
    }
    number: int = connection.execute(insert(events).values(line).returning(events.c.number)).scalar_one()
    return number


def _to_event(values: dict[str, Any]) -> JobEvent:
    status = values.pop("status")
    return JobEvent(**values, status=status and Status(status))
