"""Who is next: owners take turns, and of an owner's jobs the highest priority, then the oldest.

An owner with fewer running jobs comes first; of equals, the one whose last start is longest ago.
So five hundred jobs of one delay the first job of another by one slot at most. The same rule
chooses the row a worker takes (SQL) and tells a person their place in the queue (here).
Neighbours: ``queue`` runs both.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Select, and_, func, select

from finetune30.experiments import moves
from finetune30.experiments.record import Status
from finetune30.experiments.tables import experiments, row

_other = experiments.alias("other")


def select_next(queues: Sequence[str], total: int, max_running: int | None) -> Select[tuple[str, int]]:
    """Id and devices of the one job a worker is to take next.

    Args:
        total: Devices the worker has in all; what needs more is another worker's.
        max_running: Running jobs one owner may have; None allows any number.
    """
    ready = and_(moves.ready(), row.queue.in_(queues), row.devices <= total)
    shares = shares_of(ready).cte("shares")
    found = select(row.id, row.devices).join(shares, shares.c.owner == row.owner).where(ready)
    if max_running is not None:
        found = found.where(shares.c.running < max_running)
    order = (shares.c.running, shares.c.last_start, row.priority.desc(), row.created_at, row.id)
    return found.order_by(*order).limit(1)


def shares_of(waiting: ColumnElement[bool]) -> Select[tuple[str, int, float]]:
    """Of each owner with a job in ``waiting``: running jobs, and when the last one began."""
    owners = select(row.owner).where(waiting).distinct().subquery()
    running = select(func.count()).where(_other.c.owner == owners.c.owner, _other.c.status == Status.STARTED)
    last = select(func.max(_other.c.started_at)).where(_other.c.owner == owners.c.owner)
    return select(
        owners.c.owner,
        running.scalar_subquery().label("running"),
        func.coalesce(last.scalar_subquery(), 0.0).label("last_start"),
    )


def in_turn(jobs: Iterable[tuple[str, str]], shares: Mapping[str, tuple[int, float]]) -> list[str]:
    """Ids in the order they will start.

    Args:
        jobs: (id, owner) of what waits, by priority and age over all owners.
        shares: Owner -> running jobs and Unix seconds of the last start.
    """
    waiting: dict[str, deque[tuple[int, str]]] = defaultdict(deque)
    for rank, (job, owner) in enumerate(jobs):
        waiting[owner].append((rank, job))
    turns = [(*shares.get(owner, (0, 0.0)), mine[0][0], owner) for owner, mine in waiting.items()]
    heapq.heapify(turns)
    order: list[str] = []
    latest = max((turn[1] for turn in turns), default=0.0)
    while turns:
        running, _, _, owner = heapq.heappop(turns)
        order.append(waiting[owner].popleft()[1])
        latest += 1.0  # each start is later than every one before
        if waiting[owner]:
            heapq.heappush(turns, (running + 1, latest, waiting[owner][0][0], owner))
    return order
