"""The statements that change an experiment's state: each one a single conditional UPDATE.

Promises: the WHERE clauses hold the legal moves of ``record.LEGAL_MOVES``, so a terminal state
absorbs; a running experiment is changed only by the attempt that holds it (fencing token); times
are the database's. A statement that finds no row returns none: ``store`` then says why.
Neighbours: ``store`` runs these in its transactions, ``tables`` names the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, or_, update
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

from finetune30.database import now
from finetune30.experiments.record import Outcome, Status, plain_text
from finetune30.experiments.tables import attempts, experiments, lease_expired, lease_live, row

NO_LEASE: Mapping[str, None] = {"lease_owner": None, "lease_expires_at": None}


def this(experiment_id: str) -> ColumnElement[bool]:
    """The row with this id; any string may be asked for, PostgreSQL even chokes on a NUL."""
    return row.id == plain_text(experiment_id)


def may_become(status: Status) -> ColumnElement[bool]:
    """The row is in a state from which ``status`` may be reached."""
    return row.status.in_(status.sources)


def claim(
    experiment_id: str, worker: str, lease_s: float, *, dead_owner: str | None, take_paused: bool
) -> ReturningUpdate[int]:
    """PENDING, or STARTED by someone who is gone → STARTED by ``worker``; returns the new attempt."""
    pending = row.status == Status.PENDING
    free = pending if take_paused else and_(pending, ~row.paused)
    silent = lease_expired if dead_owner is None else or_(lease_expired, row.lease_owner == dead_owner)
    return (
        update(experiments)
        .where(this(experiment_id), may_become(Status.STARTED), ~row.cancel_requested)
        .where(or_(free, and_(row.status == Status.STARTED, silent)))
        .values(
            status=Status.STARTED,
            paused=False,
            attempt=row.attempt + 1,
            lease_owner=worker,
            lease_expires_at=now() + lease_s,
            started_at=func.coalesce(row.started_at, now()),
        )
        .returning(row.attempt)
    )


def held(experiment_id: str, attempt: int, worker: str, values: Mapping[str, Any]) -> ReturningUpdate[str]:
    """STARTED → what ``values`` say, by the attempt that holds it; returns the id."""
    return (
        update(experiments)
        .where(this(experiment_id), row.status == Status.STARTED)
        .where(row.attempt == attempt, row.lease_owner == worker)
        .values(values)
        .returning(row.id)
    )


def paused() -> dict[str, Any]:
    """Values for ``held``: PENDING and paused, or REVOKED where somebody asked to cancel meanwhile."""
    cancelled = row.cancel_requested
    return {
        "status": case((cancelled, Status.REVOKED.value), else_=Status.PENDING.value),
        "paused": ~cancelled,
        "finished_at": case((cancelled, now())),
        **NO_LEASE,
    }


def cancel(experiment_id: str) -> ReturningUpdate[str]:
    """PENDING or silent → REVOKED; STARTED and alive → told at its next heartbeat; returns the state."""
    idle = or_(row.status == Status.PENDING, lease_expired)
    return (
        update(experiments)
        .where(this(experiment_id), may_become(Status.REVOKED))
        .values(
            cancel_requested=True,
            status=case((idle, Status.REVOKED.value), else_=row.status),
            paused=False,
            finished_at=case((idle, now())),
            lease_owner=case((idle, None), else_=row.lease_owner),
            lease_expires_at=case((idle, None), else_=row.lease_expires_at),
        )
        .returning(row.status)
    )


def forget(experiment_id: str) -> ReturningDelete[str]:
    """Delete the row and its history unless somebody runs it; returns the id."""
    return delete(experiments).where(this(experiment_id), ~lease_live).returning(row.id)


def begin_attempt(connection: Connection, experiment_id: str, attempt: int, worker: str) -> None:
    """Open a line of history; the line of a predecessor that fell silent is closed as LOST."""
    end_attempt(connection, experiment_id, Outcome.LOST)
    line = {"experiment_id": experiment_id, "attempt": attempt, "worker": worker, "started_at": now()}
    connection.execute(insert(attempts).values(line))


def end_attempt(connection: Connection, experiment_id: str, outcome: Outcome) -> None:
    """Close the open line of history; at most one is open."""
    open_line = and_(attempts.c.experiment_id == experiment_id, attempts.c.ended_at.is_(None))
    connection.execute(update(attempts).where(open_line).values(ended_at=now(), outcome=outcome))
