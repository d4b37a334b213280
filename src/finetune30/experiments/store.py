"""The rows of experiments: made, claimed, kept alive, finished, found, deleted.

Promises: a row is never run by two; who lost the lease changes nothing; a terminal state never
changes; every attempt keeps its line of history. The same behaviour on SQLite and PostgreSQL.
Neighbours: ``moves`` holds the statements, ``queue`` is the rows as workers see them. No files here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import Connection, Engine, case, literal, select
from sqlalchemy.exc import IntegrityError

from finetune30 import database
from finetune30.errors import StateError
from finetune30.experiments import history, making, moves, refusals
from finetune30.experiments.record import (
    Attempt,
    Beat,
    Experiment,
    Note,
    Outcome,
    Overview,
    Status,
    plain_text,
    portable,
)
from finetune30.experiments.rows import existing, find
from finetune30.experiments.search import Filters, count_matching, matching, versions_used
from finetune30.experiments.statistics import figures_of
from finetune30.experiments.tables import OVERVIEW, WHOLE, row, to_experiment, to_overview

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig


class ExperimentStore:
    """Experiments in one database.

    Args:
        engine: Of a database whose schema is up to date, see ``opening``.
        lease_s: Seconds a claim or heartbeat keeps an experiment from being taken over.
    """

    def __init__(self, engine: Engine, lease_s: float) -> None:
        self._engine = engine
        self.lease_s = lease_s

    @property
    def engine(self) -> Engine:
        """The database, for who has more to say in the same transaction."""
        return self._engine

    def statistics(self, owner: str | None = None) -> dict[str, Any]:
        """Figures over all experiments, or those of one owner, see ``statistics``."""
        with database.read(self._engine) as connection:
            return figures_of(connection, owner)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def create(
        self,
        config: ExperimentConfig,
        owner: str,
        *,
        tz: str,
        resumed_from: str | None = None,
        continues: bool = True,
        claimed_by: str | None = None,
    ) -> Experiment:
        """A new row with an id of its own, however many are made in the same second.

        Args:
            owner: Who asked for it.
            tz: Zone of date and time in the id.
            resumed_from: Id of the finished experiment it goes on from or runs again.
            continues: It takes over the checkpoints of ``resumed_from``.
            claimed_by: The process that runs it at once: the row is STARTED, attempt 1, before any worker
                can see it waiting. None leaves it PENDING.
        """
        with database.write(self._engine) as connection:
            continues = continues and resumed_from is not None
            making.hold_origin(connection, resumed_from if continues else None)
            values: dict[str, Any] = {"resumed_from": resumed_from, "continues": continues}
            made = making.make(connection, config, owner, tz, values)
            history.note_state(connection, made, 0, Status.PENDING, "made")
            if claimed_by is not None:
                self._claim(connection, made, claimed_by, dead_owner=None, take_paused=False)
            return existing(connection, made)

    def get(self, experiment_id: str) -> Experiment:
        """The experiment with exactly this id.

        Raises: NotFound; its hint names ids that look alike.
        """
        with database.read(self._engine) as connection:
            return existing(connection, experiment_id)

    def look_up(self, experiment_id: str) -> Experiment | None:
        """The experiment with exactly this id; None where there is none."""
        with database.read(self._engine) as connection:
            return find(connection, experiment_id)

    def match(self, prefix: str) -> Experiment:
        """The experiment with this id, or the only one whose id begins so.

        Raises: NotFound if none or several begin so.
        """
        prefix = prefix.lower()
        begins = row.id.startswith(plain_text(prefix), autoescape=True)
        with database.read(self._engine) as connection:
            ids = connection.scalars(select(row.id).where(begins).order_by(row.id)).all() if prefix else ()
            if len(ids) > 1 and prefix not in ids:
                raise refusals.ambiguous(prefix, ids)
            return existing(connection, ids[0] if len(ids) == 1 else prefix)

    def newest(self, status: Status | None = None) -> Experiment:
        """The experiment made last, of those in this state.

        Raises: NotFound if there is none.
        """
        found = self.find(status=status, limit=1)
        if not found:
            raise refusals.none_yet(status)
        return found[0]

    def find(self, **filters: Unpack[Filters]) -> list[Experiment]:
        """The experiments that pass all filters; every one, newest first, without any.

        Raises: BadInput for an unknown ``sort_by`` or a ``limit`` below 1.
        """
        with database.read(self._engine) as connection:
            return [to_experiment(found) for found in matching(connection, filters, WHOLE)]

    def overview(self, **filters: Unpack[Filters]) -> list[Overview]:
        """As ``find``, without configurations and figures: several times faster where there are many.

        Raises: BadInput for an unknown ``sort_by`` or a ``limit`` below 1.
        """
        with database.read(self._engine) as connection:
            return [to_overview(found) for found in matching(connection, filters, OVERVIEW)]

    def versions_of(self, owner: str) -> set[str]:
        """Ids of the versions of data that the owner's experiments used."""
        with database.read(self._engine) as connection:
            found = connection.execute(versions_used(owner)).all()
        return {str(one) for pair in found for one in pair if one is not None}

    def count(self, **filters: Unpack[Filters]) -> int:
        """How many pass all filters; ``limit`` does not matter."""
        with database.read(self._engine) as connection:
            found: int = connection.execute(count_matching(filters)).scalar_one()
            return found

    def attempts(self, experiment_id: str) -> list[Attempt]:
        """Who ran the experiment and how each attempt ended, the first one first."""
        with database.read(self._engine) as connection:
            return history.attempts_of(connection, experiment_id)

    def claim(self, experiment_id: str, worker: str, *, dead_owner: str | None = None, take_paused: bool = True) -> int:
        """Make ``worker`` the one that runs the experiment, for ``lease_s`` seconds.

        Args:
            dead_owner: Lease owner known to be dead (``owner_is_dead``): its lease is not waited for.
            take_paused: A person resumes; a worker that looks for work leaves paused ones alone.
        Returns: The attempt's number: the token that heartbeat, finish and pause must show.
        Raises: AlreadyClaimed while another one's lease is alive; StateError if the experiment is
            terminal, paused or about to be cancelled; NotFound.
        """
        with database.write(self._engine) as connection:
            return self._claim(connection, experiment_id, worker, dead_owner=dead_owner, take_paused=take_paused)

    def _claim(
        self, connection: Connection, experiment_id: str, worker: str, *, dead_owner: str | None, take_paused: bool
    ) -> int:
        claim = moves.claim(experiment_id, worker, self.lease_s, dead_owner=dead_owner, take_paused=take_paused)
        attempt = connection.scalar(claim)
        if attempt is None:
            raise refusals.not_claimable(existing(connection, experiment_id))
        history.begin_attempt(connection, experiment_id, attempt, worker)
        return attempt

    def heartbeat(
        self,
        experiment_id: str,
        attempt: int,
        worker: str,
        progress: Mapping[str, object] | None = None,
        events: Sequence[Note] = (),
    ) -> Beat:
        """Prolong the lease and note progress and events.

        Returns: What somebody asked of the experiment meanwhile.
        Raises: LeaseLost if this attempt no longer runs it; stop writing at once.
        """
        values: dict[str, Any] = {"lease_expires_at": database.now() + self.lease_s}
        if progress is not None:
            values["progress"] = portable(progress)
        beat = moves.held(experiment_id, attempt, worker, values).returning(row.cancel_requested, row.pause_requested)
        with database.write(self._engine) as connection:
            answer = connection.execute(beat).first()
            if answer is None:
                raise refusals.lost(experiment_id, attempt, worker, find(connection, experiment_id))
            for kind, message, step in events:
                history.note_event(connection, experiment_id, attempt, kind, message, step)
            return Beat(bool(answer.cancel_requested), bool(answer.pause_requested))

    def record_plan(
        self,
        experiment_id: str,
        attempt: int,
        worker: str,
        *,
        config: Mapping[str, object],
        fingerprint: str,
        dataset_hash: str,
    ) -> None:
        """Note the configuration as it runs here (revisions pinned, sizes measured) and the rows it trains on.

        A later attempt goes on with exactly these.

        Raises: LeaseLost if this attempt no longer runs it.
        """
        values = {"config": portable(config), "fingerprint": fingerprint, "dataset_hash": dataset_hash}
        self._change(experiment_id, attempt, worker, values)

    def finish(
        self,
        experiment_id: str,
        attempt: int,
        worker: str,
        status: Status,
        *,
        error: Mapping[str, object] | None = None,
        metrics: Mapping[str, Any] | None = None,
        dataset_hash: str | None = None,
    ) -> Experiment:
        """End the experiment for good: SUCCESS, FAILURE or REVOKED.

        What somebody was told is being cancelled does not end in SUCCESS but in REVOKED.

        Args:
            error: ``code``, ``message``, ``where``, ``hint`` of what went wrong.
            metrics: The content of ``metrics.json``; its ``train.runtime_s`` and ``eval.accuracy``
                also become columns to filter and sort by.
        Raises: LeaseLost if this attempt no longer runs it; StateError for another ``status``.
        """
        if not status.is_terminal:
            raise StateError(f"{experiment_id} cannot end as {status}, expected SUCCESS, FAILURE or REVOKED")
        ends = case((row.cancel_requested, Status.REVOKED.value), else_=status) if status is Status.SUCCESS else status
        values: dict[str, Any] = {"status": ends, "finished_at": database.now(), **moves.NO_LEASE}
        if error is not None:
            values["error"] = portable(error)
        if metrics is not None:
            values["metrics"] = figures = portable(metrics)
            values["train_runtime"] = (figures.get("train") or {}).get("runtime_s")
            values["eval_accuracy"] = (figures.get("eval") or {}).get("accuracy")
        if dataset_hash is not None:
            values["dataset_hash"] = dataset_hash
        return self._change(experiment_id, attempt, worker, values, ends_as=Outcome(status), error=error)

    def pause(self, experiment_id: str, attempt: int, worker: str) -> Experiment:
        """Give the experiment back, to be resumed later: PENDING and paused.

        One that was to be cancelled meanwhile ends REVOKED instead.

        Raises: LeaseLost if this attempt no longer runs it.
        """
        values = moves.given_back(pauses=literal(True))
        return self._change(experiment_id, attempt, worker, values, ends_as=Outcome.PAUSED)

    def cancel(self, experiment_id: str) -> Experiment:
        """Stop the experiment: at once where nobody runs it, else at its next heartbeat.

        Returns: The row: REVOKED, or STARTED with ``cancel_requested``.
        Raises: StateError if it is terminal; NotFound.
        """
        with database.write(self._engine) as connection:
            asked = select(row.cancel_requested).where(moves.this(experiment_id)).with_for_update()
            known = bool(connection.scalar(asked))
            status = connection.scalar(moves.cancel(experiment_id))
            found = existing(connection, experiment_id)
            if status is None:
                raise refusals.not_cancellable(found)
            if found.status is Status.REVOKED:
                history.end_attempt(connection, experiment_id, Outcome.LOST)  # of a silent process
            elif known:  # nothing new happened
                return found
            word = "cancelled" if found.status is Status.REVOKED else "is to be cancelled"
            history.note_state(connection, experiment_id, found.attempt, found.status, word)
            return found

    def delete(self, experiment_id: str) -> None:
        """Forget the experiment and its history; its folder is the caller's to remove.

        Raises: StateError until it has ended, and while an unfinished one goes on from its checkpoints or a
            model is made of it; NotFound.
        """
        with database.write(self._engine) as connection:
            try:
                gone = connection.scalar(moves.forget(experiment_id)) is not None
            except IntegrityError as cause:  # a table of another room refers to it
                raise refusals.in_use(experiment_id) from cause
            if not gone:
                raise refusals.not_deletable(existing(connection, experiment_id))
            # Behind the DELETE, which waits for whoever makes one just now (``making.hold_origin``).
            heir = connection.scalar(select(row.id).where(moves.heirs(experiment_id)).limit(1))
            if heir is not None:
                raise refusals.inherited(experiment_id, heir)

    def _change(
        self,
        experiment_id: str,
        attempt: int,
        worker: str,
        values: Mapping[str, Any],
        ends_as: Outcome | None = None,
        error: Mapping[str, object] | None = None,
    ) -> Experiment:
        """Write as the attempt that holds the row; the row as it then is."""
        with database.write(self._engine) as connection:
            if connection.scalar(moves.held(experiment_id, attempt, worker, values)) is None:
                raise refusals.lost(experiment_id, attempt, worker, find(connection, experiment_id))
            found = existing(connection, experiment_id)
            if ends_as:
                ends_as = Outcome(found.status) if found.status.is_terminal else ends_as
                history.end_attempt(connection, experiment_id, ends_as, error)
                why = f"attempt {attempt}: {error['message']}" if error else f"attempt {attempt} {ends_as.lower()}"
                history.note_state(connection, experiment_id, attempt, found.status, why)
            return found
