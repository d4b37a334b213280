"""The rows of experiments: made, claimed, kept alive, finished, found, deleted.

Promises: a row is never run by two; who lost the lease changes nothing; a terminal state never
changes; every attempt keeps its line of history. The same behaviour on SQLite and PostgreSQL.
Neighbours: ``moves`` holds the statements, ``lease`` calls heartbeat, ``pipeline`` the rest. No
files here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import IntegrityError

from finetune30 import database
from finetune30.errors import StateError, StorageError
from finetune30.experiments import moves, refusals
from finetune30.experiments.record import (
    Attempt,
    Experiment,
    Outcome,
    Status,
    first_id,
    plain_text,
    portable,
    search_key,
)
from finetune30.experiments.search import Filters, select_matching
from finetune30.experiments.tables import (
    attempts,
    experiments,
    row,
    select_experiments,
    to_attempt,
    to_experiment,
)

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

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def create(self, config: ExperimentConfig, owner: str, *, tz: str, resumed_from: str | None = None) -> Experiment:
        """A new PENDING row with an id of its own, however many are made in the same second.

        Args:
            owner: Who asked for it.
            tz: Zone of date and time in the id.
            resumed_from: Id of the finished experiment it continues.
        """
        with database.write(self._engine) as connection:
            created_at: float = connection.execute(select(database.now())).scalar_one()
            values = {
                "name": plain_text(config.experiment_name),
                "name_key": search_key(config.experiment_name),
                "owner": plain_text(owner),
                "status": Status.PENDING,
                "config": portable(config.model_dump(mode="json")),
                "fingerprint": config.fingerprint,
                "base_model": plain_text(config.model.name),
                "dataset": plain_text(config.data.dataset_name),
                "created_at": created_at,
                "resumed_from": resumed_from,
            }
            wanted = first_id(config.experiment_name, created_at, tz)
            return _existing(connection, _insert_with_free_id(connection, wanted, values))

    def get(self, experiment_id: str) -> Experiment:
        """The experiment with exactly this id.

        Raises: NotFound; its hint names ids that look alike.
        """
        with database.read(self._engine) as connection:
            return _existing(connection, experiment_id)

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
            return _existing(connection, ids[0] if len(ids) == 1 else prefix)

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
            return [to_experiment(found) for found in connection.execute(select_matching(filters))]

    def attempts(self, experiment_id: str) -> list[Attempt]:
        """Who ran the experiment and how each attempt ended, the first one first."""
        lines = select(attempts).where(attempts.c.experiment_id == plain_text(experiment_id))
        with database.read(self._engine) as connection:
            return [to_attempt(line) for line in connection.execute(lines.order_by(attempts.c.attempt))]

    def claim(self, experiment_id: str, worker: str, *, dead_owner: str | None = None, take_paused: bool = True) -> int:
        """Make ``worker`` the one that runs the experiment, for ``lease_s`` seconds.

        Args:
            dead_owner: Lease owner known to be dead (``owner_is_dead``): its lease is not waited for.
            take_paused: A person resumes; a worker that looks for work leaves paused ones alone.
        Returns: The attempt's number: the token that heartbeat, finish and pause must show.
        Raises: AlreadyClaimed while another one's lease is alive; StateError if the experiment is
            terminal, paused or about to be cancelled; NotFound.
        """
        claim = moves.claim(experiment_id, worker, self.lease_s, dead_owner=dead_owner, take_paused=take_paused)
        with database.write(self._engine) as connection:
            attempt = connection.scalar(claim)
            if attempt is None:
                raise refusals.not_claimable(_existing(connection, experiment_id))
            moves.begin_attempt(connection, experiment_id, attempt, worker)
            return attempt

    def heartbeat(
        self, experiment_id: str, attempt: int, worker: str, progress: Mapping[str, object] | None = None
    ) -> bool:
        """Prolong the lease and note the progress.

        Returns: True when somebody asked to cancel the experiment.
        Raises: LeaseLost if this attempt no longer runs it; stop writing at once.
        """
        values: dict[str, Any] = {"lease_expires_at": database.now() + self.lease_s}
        if progress is not None:
            values["progress"] = portable(progress)
        return self._change(experiment_id, attempt, worker, values).cancel_requested

    def record_data(self, experiment_id: str, attempt: int, worker: str, dataset_hash: str) -> None:
        """Note which rows exactly the experiment trains on, as soon as they are known.

        Raises: LeaseLost if this attempt no longer runs it.
        """
        self._change(experiment_id, attempt, worker, {"dataset_hash": dataset_hash})

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

        Args:
            error: ``code``, ``message``, ``where``, ``hint`` of what went wrong.
            metrics: The content of ``metrics.json``; its ``train.runtime_s`` and ``eval.accuracy``
                also become columns to filter and sort by.
        Raises: LeaseLost if this attempt no longer runs it; StateError for another ``status``.
        """
        if not status.is_terminal:
            raise StateError(f"{experiment_id} cannot end as {status}, expected SUCCESS, FAILURE or REVOKED")
        values: dict[str, Any] = {"status": status, "finished_at": database.now(), **moves.NO_LEASE}
        if error is not None:
            values["error"] = portable(error)
        if metrics is not None:
            values["metrics"] = figures = portable(metrics)
            values["train_runtime"] = (figures.get("train") or {}).get("runtime_s")
            values["eval_accuracy"] = (figures.get("eval") or {}).get("accuracy")
        if dataset_hash is not None:
            values["dataset_hash"] = dataset_hash
        return self._change(experiment_id, attempt, worker, values, ends_as=Outcome(status))

    def pause(self, experiment_id: str, attempt: int, worker: str) -> Experiment:
        """Give the experiment back, to be resumed later: PENDING and paused.

        One that was to be cancelled meanwhile ends REVOKED instead.

        Raises: LeaseLost if this attempt no longer runs it.
        """
        return self._change(experiment_id, attempt, worker, moves.paused(), ends_as=Outcome.PAUSED)

    def cancel(self, experiment_id: str) -> Experiment:
        """Stop the experiment: at once where nobody runs it, else at its next heartbeat.

        Returns: The row: REVOKED, or STARTED with ``cancel_requested``.
        Raises: StateError if it is terminal; NotFound.
        """
        with database.write(self._engine) as connection:
            status = connection.scalar(moves.cancel(experiment_id))
            found = _existing(connection, experiment_id)
            if status is None:
                raise refusals.not_cancellable(found)
            if found.status is Status.REVOKED:
                moves.end_attempt(connection, experiment_id, Outcome.LOST)  # of a silent process
            return found

    def delete(self, experiment_id: str) -> None:
        """Forget the experiment and its history; its folder is the caller's to remove.

        Raises: StateError while a process runs it; NotFound.
        """
        with database.write(self._engine) as connection:
            if connection.scalar(moves.forget(experiment_id)) is None:
                raise refusals.not_deletable(_existing(connection, experiment_id))

    def _change(
        self,
        experiment_id: str,
        attempt: int,
        worker: str,
        values: Mapping[str, Any],
        ends_as: Outcome | None = None,
    ) -> Experiment:
        """Write as the attempt that holds the row; the row as it then is."""
        with database.write(self._engine) as connection:
            if connection.scalar(moves.held(experiment_id, attempt, worker, values)) is None:
                raise refusals.lost(experiment_id, attempt, worker, _find(connection, experiment_id))
            if ends_as:
                moves.end_attempt(connection, experiment_id, ends_as)
            return _existing(connection, experiment_id)


def _find(connection: Connection, experiment_id: str) -> Experiment | None:
    found = connection.execute(select_experiments().where(moves.this(experiment_id))).first()
    return None if found is None else to_experiment(found)


def _existing(connection: Connection, experiment_id: str) -> Experiment:
    found = _find(connection, experiment_id)
    if found is None:
        newest_first = select(row.id).order_by(row.created_at.desc()).limit(1000)
        raise refusals.missing(experiment_id, connection.scalars(newest_first).all())
    return found


def _insert_with_free_id(connection: Connection, wanted: str, values: Mapping[str, Any]) -> str:
    """Insert as the first free one of ``wanted``, ``wanted_2``, …: the primary key decides."""
    for number in range(1, 100_000):
        experiment_id = wanted if number == 1 else f"{wanted}_{number}"
        try:
            with connection.begin_nested():
                connection.execute(insert(experiments).values(id=experiment_id, **values))
        except IntegrityError:
            if _find(connection, experiment_id) is None:  # not the id was at fault
                raise
            continue
        return experiment_id
    raise StorageError(f"no free id is left beside {wanted}", hint="try again in a second")
