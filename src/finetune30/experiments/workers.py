"""The workers that are alive: who could take a job just now.

A worker says so at every round of its keeper; who was silent for a lease is not counted any more.
Only for people and estimates: no job depends on this table. Neighbours: ``queue`` offers these.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from finetune30.database import now
from finetune30.experiments.record import WorkerSeen, plain_text
from finetune30.experiments.tables import workers

# Forgotten after so many leases of silence.
_FORGET = 60


def note(connection: Connection, name: str, host: str, slots: int, busy: int, queues: Sequence[str]) -> None:
    """A sign of life."""
    values = {"host": plain_text(host), "slots": slots, "busy": busy, "queues": list(queues), "seen_at": now()}
    changed = connection.execute(update(workers).where(workers.c.name == name).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(workers).values(name=name, started_at=now(), **values))


def forget(connection: Connection, name: str | None, lease_s: float) -> None:
    """Remove a worker that ended (None: no particular one), and those silent for long."""
    stale = workers.c.seen_at < now() - _FORGET * lease_s
    connection.execute(delete(workers).where(stale if name is None else (workers.c.name == name) | stale))


def all_of(connection: Connection, lease_s: float) -> list[WorkerSeen]:
    """Every worker heard of lately, by name."""
    alive = (workers.c.seen_at >= now() - lease_s).label("alive")
    found = connection.execute(select(workers, alive).order_by(workers.c.name))
    return [WorkerSeen(**{**line._mapping, "alive": bool(line.alive)}) for line in found]
