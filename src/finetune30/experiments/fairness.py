"""Who is next: owners take turns, and of an owner's jobs the highest priority, then the oldest.

An owner with fewer running jobs comes first; of equals, the one whose last start is longest ago.
So five hundred jobs of one delay the first job of another by one slot at most. The same rule
chooses the row a worker takes (SQL) and tells a person their place in the queue (``standing``).

Of each owner only the first job can be next. So a claim looks at one job an owner and queue, found by an index, and
costs the same with ten jobs waiting and with ten thousand. Neighbours: ``queue`` runs the statements.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Double,
    Row,
    Select,
    and_,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from finetune30.experiments import moves
from finetune30.experiments.record import Status
from finetune30.experiments.tables import experiments, row, waiting

_other = experiments.alias("other")
# Looked at, of each owner and in turn, where the first ones may just be taken by others.
_SOME = 32
IN_ORDER = (row.priority.desc(), row.created_at, row.id)


def next_of(
    connection: Connection, queues: Sequence[str], total: int, max_running: int | None
) -> Row[tuple[str, int]] | None:
    """Id and devices of the one job a worker is to take next; on PostgreSQL nobody else can take it meanwhile.

    Args:
        total: Devices the worker has in all; what needs more is another worker's.
        max_running: Running jobs one owner may have; None allows any number.
    """
    wish = (queues, total, max_running)
    if connection.dialect.name == "sqlite":  # has one writer at a time
        return connection.execute(select_next(*wish)).first()
    found = connection.execute(_locked(select_next_of_some(*wish))).first()
    # So many claim at this moment that the first jobs in turn are all just being taken.
    return found or connection.execute(_locked(select_next_of_all(*wish))).first()


def select_next(queues: Sequence[str], total: int, max_running: int | None) -> Select[tuple[str, int]]:
    """The job whose turn it is."""
    owners = _owners(queues)
    first = _theirs(owners, total).with_only_columns(row.id).limit(1).scalar_subquery()
    heads = select(owners.c.owner, first.label("id")).where(owners.c.owner.is_not(None)).cte("heads")
    return _in_turn(select(row.id, row.devices).join(heads, heads.c.id == row.id), heads, row, max_running).limit(1)


def select_next_of_some(queues: Sequence[str], total: int, max_running: int | None) -> Select[tuple[str, int]]:
    """The same job for a database where rows that others are just taking are passed over."""
    owners = _owners(queues)
    some = _theirs(owners, total).limit(_SOME).lateral("some")
    heads = select(owners.c.owner, some).select_from(owners).join(some, true()).where(owners.c.owner.is_not(None))
    first = heads.cte("heads")
    turns = _in_turn(select(first.c.id), first, first.c, max_running).limit(_SOME).cte("turns")
    shares = turns.c
    found = select(row.id, row.devices).join(turns, turns.c.id == row.id).where(_ready(total))  # now, under the lock
    return found.order_by(shares.running, shares.last_start, *IN_ORDER).limit(1)


def select_next_of_all(queues: Sequence[str], total: int, max_running: int | None) -> Select[tuple[str, int]]:
    """The same job, found by looking at all that wait."""
    ready = and_(_ready(total), row.queue.in_(queues))
    heads = select(row.owner, row.id).where(ready).cte("heads")
    found = _in_turn(select(row.id, row.devices).join(heads, heads.c.id == row.id), heads, row, max_running)
    return found.where(ready).limit(1)


def _ready(total: int) -> ColumnElement[bool]:
    return and_(moves.ready(), row.devices <= total)


def _theirs(owners: CTE, total: int) -> Select[Any]:
    """What an owner has ready in a queue, in order."""
    mine = and_(_ready(total), row.queue == owners.c.queue, row.owner == owners.c.owner)
    return select(row.id, row.priority, row.created_at).where(mine).order_by(*IN_ORDER).correlate(owners)


def _in_turn(found: Select[Any], heads: CTE, job: Any, max_running: int | None) -> Select[Any]:
    """``found`` by the shares of the owners of ``heads``; ``job`` has the columns that say who of two is first."""
    shares = shares_of(select(heads.c.owner).distinct()).cte("shares").prefix_with("MATERIALIZED", dialect="postgresql")
    found = found.join(shares, shares.c.owner == heads.c.owner).add_columns(shares.c.running, shares.c.last_start)
    if max_running is not None:
        found = found.where(shares.c.running < max_running)
    order = (shares.c.running, shares.c.last_start, job.priority.desc(), job.created_at, job.id)
    return found.order_by(*order)


def _locked(chosen: Select[Any]) -> Select[Any]:
    return chosen.with_for_update(of=experiments, skip_locked=True)


def _owners(queues: Sequence[str]) -> CTE:
    """(queue, owner) of what waits, and a NULL behind the last one: each is sought behind the one before."""
    names = union_all(*(select(literal(name).label("queue")) for name in queues)).subquery()
    least = select(func.min(row.owner).label("owner")).where(waiting)
    first = least.where(row.queue == names.c.queue).correlate(names)
    found = select(names.c.queue, first.scalar_subquery().label("owner")).cte("owners", recursive=True)
    following = least.where(row.queue == found.c.queue, row.owner > found.c.owner).correlate(found)
    return found.union_all(select(found.c.queue, following.scalar_subquery()).where(found.c.owner.is_not(None)))


def shares_of(owners: Select[Any]) -> Select[tuple[str, int, float]]:
    """Of each of ``owners``: running jobs, and when the last one began; 0 where none ever did."""
    found = owners.subquery()
    running = select(func.count()).where(_other.c.owner == found.c.owner, _other.c.status == Status.STARTED)
    # State by state, for then each is the end of a stretch of ix_experiments_owner.
    starts = [
        select(func.max(_other.c.started_at)).where(_other.c.owner == found.c.owner, _other.c.status == status)
        for status in Status
    ]
    last = latest(*(func.coalesce(one.scalar_subquery(), 0.0) for one in starts))
    return select(found.c.owner, running.scalar_subquery().label("running"), last.label("last_start"))


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


class latest(FunctionElement[float]):  # noqa: N801  # reads as a function in SQL expressions
    """The largest of several values."""

    type = Double()
    inherit_cache = True
    name = "latest"


@compiles(latest, "sqlite")
def _latest_sqlite(element: latest, compiler: SQLCompiler, **options: Any) -> str:
    return f"max({compiler.process(element.clauses, **options)})"


@compiles(latest, "postgresql")
def _latest_postgresql(element: latest, compiler: SQLCompiler, **options: Any) -> str:
    return f"greatest({compiler.process(element.clauses, **options)})"
