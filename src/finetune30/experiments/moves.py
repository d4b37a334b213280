"""The statements that change an experiment's state: each one a single conditional UPDATE.

Promises: the WHERE clauses hold the legal moves of ``record.LEGAL_MOVES``, so a terminal state
absorbs; a running experiment is changed only by the attempt that holds it (fencing token); times
are the database's. A statement that finds no row returns none: the caller then says why.
Neighbours: ``store`` and ``queue`` run these in their transactions, ``tables`` names the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, literal, or_, update
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

from finetune30.database import now
from finetune30.experiments.record import Status, plain_text, portable
from finetune30.experiments.tables import experiments, lease_expired, row, waiting

NO_LEASE: Mapping[str, None] = {"lease_owner": None, "lease_expires_at": None}
# Lease owners of this kind are people's own processes, see ``lease.this_worker``.
LOCAL = "local:"


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
        .values(started_by(worker, lease_s))
        .returning(row.attempt)
    )


def take(experiment_id: str, worker: str, lease_s: float) -> ReturningUpdate[int]:
    """PENDING and ready → STARTED by ``worker``; returns the new attempt. What fell silent is the reaper's."""
    return (
        update(experiments)
        .where(this(experiment_id), ready())
        .values(started_by(worker, lease_s))
        .returning(row.attempt)
    )


def ready() -> ColumnElement[bool]:
    """A worker may take the row now."""
    due = or_(row.not_before.is_(None), row.not_before <= now())
    return and_(waiting, due)


def silent() -> ColumnElement[bool]:
    """The row's process gave no sign of life for a lease."""
    return and_(row.status == Status.STARTED, lease_expired)


def started_by(worker: str, lease_s: float) -> dict[str, Any]:
    """Values of a row that ``worker`` has claimed."""
    return {
        "status": Status.STARTED,
        "paused": False,
        "pause_requested": False,
        "attempt": row.attempt + 1,
        "lease_owner": worker,
        "lease_expires_at": now() + lease_s,
        "started_at": func.coalesce(row.started_at, now()),
        "not_before": None,
        "ring_at": None,
    }


def held(experiment_id: str, attempt: int, worker: str, values: Mapping[str, Any]) -> ReturningUpdate[str]:
    """STARTED → what ``values`` say, by the attempt that holds it; returns the id."""
    return (
        update(experiments)
        .where(this(experiment_id), row.status == Status.STARTED)
        .where(row.attempt == attempt, row.lease_owner == worker)
        .values(values)
        .returning(row.id)
    )


def reap(max_attempts: int, error: Mapping[str, object]) -> ReturningUpdate[str]:
    """STARTED but silent → PENDING again, counted, or ended where that was the last try; returns the ids.

    A run that a person began here goes back to that person: paused, and not counted.
    """
    local = func.coalesce(row.lease_owner.startswith(LOCAL, autoescape=True), literal(False))
    return (
        update(experiments)
        .where(silent())
        .values(given_back(max_attempts=max_attempts, counts=~local, pauses=local, error=error, delay_s=0))
        .returning(row.id)
    )


def given_back(
    *,
    max_attempts: int | None = None,
    counts: ColumnElement[bool] | None = None,
    pauses: ColumnElement[bool] | None = None,
    error: Mapping[str, object] | None = None,
    delay_s: float = 0.0,
) -> dict[str, Any]:
    """Values of a row whose attempt ended without an end of the experiment.

    REVOKED where somebody asked to cancel it meanwhile; FAILURE with ``error`` where it counts and was
    the last try; else PENDING, and paused where somebody asked for that or ``pauses`` says so.

    Args:
        counts: Whether the attempt counts as a failure; None: it does not.
    """
    counts = literal(False) if counts is None else counts
    pauses = row.pause_requested if pauses is None else or_(row.pause_requested, pauses)
    failures = row.failures + case((and_(counts, ~row.cancel_requested), 1), else_=0)
    last = literal(False) if max_attempts is None else and_(counts, failures >= max_attempts)
    ends = or_(row.cancel_requested, last)
    waits = and_(~ends, ~pauses)
    soon = now() + delay_s
    return {
        "status": case(
            (row.cancel_requested, Status.REVOKED.value), (last, Status.FAILURE.value), else_=Status.PENDING.value
        ),
        "paused": and_(~ends, pauses),
        "pause_requested": False,
        "failures": failures,
        "finished_at": case((ends, now())),
        "error": case((and_(~row.cancel_requested, last), literal(portable(error), row.error.type)), else_=row.error)
        if error is not None
        else row.error,
        "not_before": case((and_(waits, literal(delay_s > 0)), soon)),
        "ring_at": case((waits, soon)),
        "rings": 0,
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
            pause_requested=False,
            not_before=None,
            ring_at=None,
            finished_at=case((idle, now())),
            lease_owner=case((idle, None), else_=row.lease_owner),
            lease_expires_at=case((idle, None), else_=row.lease_expires_at),
        )
        .returning(row.status)
    )


def pause(experiment_id: str) -> ReturningUpdate[str]:
    """PENDING → paused; STARTED → told at its next heartbeat; returns the state."""
    pending = row.status == Status.PENDING
    return (
        update(experiments)
        .where(this(experiment_id), row.status.in_((Status.PENDING, Status.STARTED)), ~row.cancel_requested)
        .values(paused=pending, pause_requested=~pending, ring_at=None)
        .returning(row.status)
    )


def unpause(experiment_id: str) -> ReturningUpdate[str]:
    """Paused → waiting; STARTED and about to pause → goes on; returns the state."""
    pending = row.status == Status.PENDING
    return (
        update(experiments)
        .where(this(experiment_id), row.status.in_((Status.PENDING, Status.STARTED)), ~row.cancel_requested)
        .values(
            paused=False,
            pause_requested=False,
            not_before=None,
            ring_at=case((pending, now())),
            rings=0,
        )
        .returning(row.status)
    )


def forget(experiment_id: str) -> ReturningDelete[str]:
    """Delete the row and its history where it has ended; returns the id."""
    return delete(experiments).where(this(experiment_id), has_ended()).returning(row.id)


def heirs(experiment_id: str) -> ColumnElement[bool]:
    """The row has not ended, and goes on from the checkpoints of ``experiment_id``."""
    return and_(row.resumed_from == plain_text(experiment_id), row.continues, ~has_ended())


def has_ended() -> ColumnElement[bool]:
    """The row is in a terminal state."""
    return row.status.in_([status for status in Status if status.is_terminal])
