"""Reading one row, within whatever transaction asks. Neighbours: ``store`` and ``queue``."""

from __future__ import annotations

from sqlalchemy import Connection, select

from finetune30.experiments import moves, refusals
from finetune30.experiments.record import Experiment
from finetune30.experiments.tables import row, select_experiments, to_experiment


def find(connection: Connection, experiment_id: str) -> Experiment | None:
    """The row with this id, None where there is none."""
    found = connection.execute(select_experiments().where(moves.this(experiment_id))).first()
    return None if found is None else to_experiment(found)


def existing(connection: Connection, experiment_id: str) -> Experiment:
    """The row with this id.

    Raises: NotFound; its hint names ids that look alike.
    """
    found = find(connection, experiment_id)
    if found is None:
        newest_first = select(row.id).order_by(row.created_at.desc()).limit(1000)
        raise refusals.missing(experiment_id, connection.scalars(newest_first).all())
    return found
