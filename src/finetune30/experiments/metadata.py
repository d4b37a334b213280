"""What owners write on their experiments: short keys and values, to be read again and to be found by.

It decides nothing of a run, so it is no part of the configuration and of no fingerprint; it goes with its row.
Neighbours: ``queue`` writes it with the row, ``search`` looks for it, the API shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Engine, exists, insert, select

from finetune30 import database
from finetune30.experiments.record import plain_text
from finetune30.experiments.tables import notes, row


def put(connection: Connection, experiment_id: str, metadata: Mapping[str, str]) -> None:
    """Write on a new experiment."""
    lines = [
        {"experiment_id": experiment_id, "key": plain_text(key), "value": plain_text(value)}
        for key, value in metadata.items()
    ]
    if lines:
        connection.execute(insert(notes), lines)


def metadata_of(engine: Engine, experiment_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """What is written on each of these, by id; those without anything are left out."""
    found: dict[str, dict[str, str]] = {}
    wanted = select(notes).where(notes.c.experiment_id.in_(experiment_ids)).order_by(notes.c.experiment_id, notes.c.key)
    with database.read(engine) as connection:
        for line in connection.execute(wanted):
            found.setdefault(line.experiment_id, {})[line.key] = line.value
    return found


def with_note(key: str | None = None, value: str | None = None) -> ColumnElement[bool]:
    """That this, or anything at all, is written on a row of experiments."""
    mine = select(notes.c.key).where(notes.c.experiment_id == row.id)
    if key is not None and value is not None:
        mine = mine.where(notes.c.key == plain_text(key), notes.c.value == plain_text(value))
    return exists(mine)
