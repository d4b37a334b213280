"""The queue: the same rows, as submitters, workers and the reaper see them.

Promises: a submission is durable before it is answered; a key makes one job; owners take turns;
what a worker gives back is counted or not, but never lost; whose worker fell silent is found by the
database's clock. The broker, where there is one, knows none of this: it carries ids.
Neighbours: ``moves`` holds the statements, ``fairness`` the order, ``store`` the claimed row's life.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, literal, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from finetune30 import database
from finetune30.errors import Lost
from finetune30.experiments import bells, fairness, history, making, metadata, moves, refusals, standing, workers
from finetune30.experiments.record import Claimed, Experiment, JobEvent, Outcome, Status, Wish, WorkerSeen
from finetune30.experiments.rows import existing, find
from finetune30.experiments.standing import Standing
from finetune30.experiments.tables import experiments, lease_live, row

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig


class Queue:
    """Jobs in one database.

    Args:
        engine: Of a database whose schema is up to date, see ``opening``.
        lease_s: Seconds a claim or heartbeat keeps a job from being taken over.
        max_attempts: Failed attempts after which a job ends in FAILURE.
    """

    def __init__(self, engine: Engine, lease_s: float, max_attempts: int) -> None:
        self._engine = engine
        self.lease_s = lease_s
        self.max_attempts = max_attempts

    def submit(
        self,
        config: ExperimentConfig,
        owner: str,
        *,
        tz: str,
        wish: Wish | None = None,
        quota: int | None = None,
        ring_in_s: float = 60.0,
    ) -> tuple[Experiment, bool]:
        """A PENDING row, committed; whether it is new or this idempotency key had made it before.

        Args:
            quota: Unfinished jobs an owner may have; None for any number.
            ring_in_s: The submitter rings at once; should that be lost, ``due`` names the job so much later.
        Raises: QuotaExceeded, IdempotencyConflict; nothing was made then.
        """
        wish = wish or Wish()
        submission = making.hash_of(config, wish)
        with database.write(self._engine) as connection:
            before = making.made_before(connection, owner, wish, submission)
            if before is not None:
                return existing(connection, before), False
            making.check_quota(connection, owner, quota)
            making.hold_origin(connection, wish.resumed_from if wish.continues else None)
            values = {
                "queue": wish.queue,
                "priority": wish.priority,
                "devices": wish.devices,
                "max_runtime_s": wish.max_runtime_s,
                "idempotency_key": wish.idempotency_key,
                "submission": submission,
                "resumed_from": wish.resumed_from,
                "continues": wish.continues,
                "dataset_hash": wish.dataset_hash if wish.continues else None,
                "ring_at": database.now() + ring_in_s,
            }
            made = making.make(connection, config, owner, tz, values)
            metadata.put(connection, made, wish.metadata)
            history.note_state(connection, made, 0, Status.PENDING, "submitted")
            return existing(connection, made), True

    def claim_next(
        self, worker: str, *, queues: Sequence[str], free: int, total: int, max_running: int | None = None
    ) -> Claimed | None:
        """Take the job whose turn it is; None where nothing waits that this worker could run now.

        A job that needs more devices than are free just now is waited for: nothing smaller overtakes it.

        Args:
            free: Devices this worker has free, of ``total``.
            max_running: Running jobs one owner may have.
        """
        if self._engine.dialect.name == "sqlite":
            with database.read(self._engine) as connection:  # a poll that finds nothing makes no writer wait
                head = fairness.next_of(connection, queues, total, max_running)
                if head is None or head.devices > free:
                    return None
        sent = time.monotonic()
        with database.write(self._engine) as connection:
            if max_running is not None:
                database.one_at_a_time(connection, "claim")  # else two could count the same running jobs at once
            head = fairness.next_of(connection, queues, total, max_running)
            if head is None or head.devices > free:
                return None
            attempt = connection.scalar(moves.take(head.id, worker, self.lease_s))
            if attempt is None:
                return None
            history.begin_attempt(connection, head.id, attempt, worker)
            return Claimed(existing(connection, head.id), attempt, worker, sent)

    def release(
        self, experiment_id: str, attempt: int, worker: str, *, error: Mapping[str, object], delay_s: float = 0.0
    ) -> Experiment:
        """Give back a job whose attempt failed in a way that may pass: PENDING again, or FAILURE at last.

        Args:
            error: ``code``, ``message``, ``where``, ``hint`` of what went wrong.
            delay_s: No worker takes it again before.
        Raises: LeaseLost if this attempt no longer runs it.
        """
        values = moves.given_back(max_attempts=self.max_attempts, counts=literal(True), error=error, delay_s=delay_s)
        with database.write(self._engine) as connection:
            return self._give_back(
                connection, moves.held(experiment_id, attempt, worker, values), attempt, worker, error, experiment_id
            )

    def drain(
        self, experiment_id: str, attempt: int, worker: str, *, why: str | None = None, delay_s: float = 0.0
    ) -> Experiment:
        """Give back a job through no fault of its own, as when its worker ends: PENDING, not counted.

        Args:
            why: For its history.
            delay_s: No worker takes it again before.
        Raises: LeaseLost if this attempt no longer runs it.
        """
        drained = moves.held(experiment_id, attempt, worker, moves.given_back(delay_s=delay_s))
        with database.write(self._engine) as connection:
            return self._give_back(connection, drained, attempt, worker, None, experiment_id, why)

    def _give_back(
        self,
        connection: Connection,
        change: ReturningUpdate[str],
        attempt: int,
        worker: str,
        error: Mapping[str, object] | None,
        experiment_id: str,
        why: str | None = None,
    ) -> Experiment:
        if connection.scalar(change) is None:
            raise refusals.lost(experiment_id, attempt, worker, find(connection, experiment_id))
        found = existing(connection, experiment_id)
        calm = Outcome.PAUSED if found.paused else Outcome.DRAINED
        outcome = Outcome(found.status) if found.status.is_terminal else Outcome.FAILURE if error else calm
        history.end_attempt(connection, experiment_id, outcome, error)
        told = f"attempt {attempt}: {error['message']}" if error else f"attempt {attempt} {outcome.lower()}"
        history.note_state(connection, experiment_id, attempt, found.status, f"{told}{': ' if why else ''}{why or ''}")
        return found

    def reap(self) -> list[Experiment]:
        """Find jobs whose worker fell silent, count that, and let them wait again or end; those found."""
        error = Lost(
            f"its worker fell silent {self.max_attempts} times" if self.max_attempts > 1 else "its worker fell silent",
            hint="its machine or connection went away; go on from the last checkpoint with: finetune30 jobs retry",
        ).to_dict()
        with database.read(self._engine) as connection:  # most rounds find nothing and make no writer wait
            if connection.scalar(select(row.id).where(moves.silent()).limit(1)) is None:
                return []
        with database.write(self._engine) as connection:
            ids = connection.scalars(moves.reap(self.max_attempts, error)).all()
            found = [existing(connection, one) for one in ids]
            for one in found:
                history.end_attempt(connection, one.id, Outcome.LOST)
                history.note_state(connection, one.id, one.attempt, one.status, f"attempt {one.attempt} fell silent")
            return found

    def pause(self, experiment_id: str) -> Experiment:
        """Keep a waiting job from being taken, or let a running one stop at a checkpoint.

        Returns: The row: PENDING and paused, or STARTED with ``pause_requested``.
        Raises: StateError if it is terminal or being cancelled; NotFound.
        """
        return self._ask(experiment_id, moves.pause(experiment_id), "paused")

    def resume(self, experiment_id: str) -> Experiment:
        """Let a paused job wait for a worker again.

        Raises: StateError if it is terminal or being cancelled; NotFound.
        """
        return self._ask(experiment_id, moves.unpause(experiment_id), "resumed")

    def _ask(self, experiment_id: str, change: ReturningUpdate[str], done: str) -> Experiment:
        with database.write(self._engine) as connection:
            status = connection.scalar(change)
            found = existing(connection, experiment_id)
            if status is None:
                raise refusals.not_waiting(found, done)
            word = done if found.status is Status.PENDING else f"is to be {done}"
            history.note_state(connection, found.id, found.attempt, found.status, word)
            return found

    def due(self, limit: int, again_s: float) -> list[tuple[str, str]]:
        """(id, queue) of ready jobs whose bell is to be rung now; they are noted as rung.

        Args:
            again_s: A bell nobody heard is rung again after so many seconds, then after twice as many, …
        """
        with database.read(self._engine) as connection:  # as in ``reap``
            if connection.scalar(select(row.id).where(moves.ready(), row.ring_at <= database.now()).limit(1)) is None:
                return []
        ringing = bells.due(limit, again_s, skip_locked=self._engine.dialect.name == "postgresql")
        with database.write(self._engine) as connection:
            return [(found.id, found.queue) for found in connection.execute(ringing)]

    def unrung(self, experiment_id: str) -> None:
        """The bell could not be rung: it is due again at once."""
        with database.write(self._engine) as connection:
            ready = update(experiments).where(moves.this(experiment_id), moves.ready())
            connection.execute(ready.values(ring_at=database.now(), rings=0))

    def line(self) -> list[Standing]:
        """The jobs that wait for a worker, in the order they will start: those that may not yet come last."""
        with database.read(self._engine, still=True) as connection:
            return standing.line(connection)

    def standing(self, experiment_id: str) -> Standing | None:
        """Where a job stands in ``line``, found without lining up all; None where it does not wait."""
        with database.read(self._engine, still=True) as connection:
            return standing.standing(connection, experiment_id)

    def running(self) -> list[tuple[str, Mapping[str, Any] | None]]:
        """(queue, progress) of each job that a living worker runs."""
        with database.read(self._engine) as connection:
            return [
                (one.queue, one.progress)
                for one in connection.execute(select(row.queue, row.progress).where(lease_live))
            ]

    def held(self) -> list[tuple[str, str]]:
        """(worker, id) of each job that a living worker runs, the oldest first."""
        with database.read(self._engine) as connection:
            found = select(row.lease_owner, row.id).where(lease_live).order_by(row.started_at, row.id)
            return [(one.lease_owner or "", one.id) for one in connection.execute(found)]

    def events(self, experiment_id: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        """What happened to a job after the event with number ``after``, in order."""
        with database.read(self._engine) as connection:
            return history.events_of(connection, experiment_id, after, limit)

    def latest_events(self, experiment_id: str, before: int | None, limit: int) -> list[JobEvent]:
        """What happened to a job before the event with that number, the newest first."""
        with database.read(self._engine) as connection:
            return history.latest_events_of(connection, experiment_id, before, limit)

    def seen(self, worker: str, *, host: str, slots: int, busy: int, queues: Sequence[str]) -> None:
        """A worker's sign of life."""
        with database.write(self._engine) as connection:
            workers.note(connection, worker, host, slots, busy, queues)

    def gone(self, worker: str) -> None:
        """A worker has ended."""
        with database.write(self._engine) as connection:
            workers.forget(connection, worker, self.lease_s)

    def workers(self) -> list[WorkerSeen]:
        """The workers heard of lately."""
        with database.read(self._engine) as connection:
            return workers.all_of(connection, self.lease_s)
