"""When to ring: statements for the messages that tell workers of waiting jobs.

A message is a hint and may be lost; so it is sent again, ever more seldom, while the job waits.
Neighbours: ``queue`` runs these; who rings is the ``jobs`` room.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from finetune30.database import now
from finetune30.experiments import moves
from finetune30.experiments.tables import experiments, row

_CAP_S = 900.0
_DOUBLINGS = 4


def due(limit: int, again_s: float, *, skip_locked: bool) -> ReturningUpdate[Any]:
    """Notes as rung what is due, and returns (id, queue)."""
    waiting = select(row.id).where(moves.ready(), row.ring_at <= now()).order_by(row.ring_at).limit(limit)
    if skip_locked:
        waiting = waiting.with_for_update(skip_locked=True)
    return (
        update(experiments)
        .where(row.id.in_(waiting.scalar_subquery()), moves.ready())
        .values(ring_at=now() + _pause_s(again_s), rings=row.rings + 1)
        .returning(row.id, row.queue)
    )


def _pause_s(again_s: float) -> ColumnElement[float]:
    """``again_s``, doubled each time, 15 minutes at most."""
    steps = {rings: min(again_s * 2**rings, max(_CAP_S, again_s)) for rings in range(_DOUBLINGS)}
    longest = min(again_s * 2**_DOUBLINGS, max(_CAP_S, again_s))
    return case(steps, value=row.rings, else_=longest)
