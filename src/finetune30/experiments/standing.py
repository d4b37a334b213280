"""Where waiting jobs stand: all of them in a row, or one of them without lining up the others.

The order of ``fairness.in_turn`` is that of a key. An owner with ``r`` jobs running, ``k`` of whose waiting jobs come
before this one, has it started in round ``r + k``. Within a round the owners with more running jobs come first, then
whose last start is longest ago, then whose first job is first. So what starts before a job is counted owner by owner.
Both need all they read to be of one moment (``database.read(still=True)``): workers take jobs meanwhile.
Neighbours: ``queue`` asks, ``jobs.place`` estimates when.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select, tuple_

from finetune30.database import now
from finetune30.experiments.fairness import IN_ORDER, in_turn, shares_of
from finetune30.experiments.moves import this
from finetune30.experiments.tables import row, waiting


@dataclass(frozen=True)
class Standing:
    """A waiting job and what is before it.

    Attributes:
        ahead: Jobs of its queue that start before it.
        delay_s: It failed a moment ago and is tried again no sooner; others go first meanwhile.
    """

    id: str
    queue: str
    devices: int
    ahead: int
    delay_s: float


_left = func.coalesce(row.not_before - now(), 0.0).label("left")


def line(connection: Connection) -> list[Standing]:
    """All that wait, in the order they will start: those that may not yet come last."""
    columns = (row.id, row.owner, row.queue, row.devices, _left)
    jobs = connection.execute(select(*columns).where(waiting).order_by(*IN_ORDER)).all()
    by_id = {job.id: job for job in jobs}
    owners = connection.execute(shares_of(select(row.owner).where(waiting).distinct()))
    shares = {one.owner: (one.running, one.last_start) for one in owners}
    turns = in_turn([(job.id, job.owner) for job in jobs], shares)
    found, counts = [], defaultdict[str, int](int)
    for job in sorted((by_id[one] for one in turns), key=_delay_s):  # else as it is
        found.append(Standing(job.id, job.queue, job.devices, counts[job.queue], _delay_s(job)))
        counts[job.queue] += 1
    return found


def standing(connection: Connection, experiment_id: str) -> Standing | None:
    """Where one job stands, None where it does not wait: the same as ``line`` says."""
    columns = (row.id, row.owner, row.queue, row.devices, row.priority, row.created_at, _left)
    job = connection.execute(select(*columns).where(this(experiment_id), waiting)).first()
    if job is None:
        return None
    later = select(row.id).where(waiting, row.queue == job.queue, row.not_before > now()).limit(1)
    if connection.scalar(later) is not None:  # a job that may not yet start still has its turn: line them up
        return next((one for one in line(connection) if one.id == job.id), None)
    return Standing(job.id, job.queue, job.devices, _ahead(connection, job), 0.0)


def _ahead(connection: Connection, job: Any) -> int:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    shares: dict[str, tuple[int, float]] = {}
    waits = select(row.owner, row.queue, func.count().label("jobs")).where(waiting).group_by(row.queue, row.owner).cte()
    theirs = shares_of(select(waits.c.owner).distinct()).subquery()
    whole = select(waits, theirs.c.running, theirs.c.last_start).join(theirs, theirs.c.owner == waits.c.owner)
    for one in connection.execute(whole):
        counts[one.owner][one.queue], shares[one.owner] = one.jobs, (one.running, one.last_start)
    mine, before = shares[job.owner], _sooner(job)
    own = select(func.count()).where(waiting, row.owner == job.owner, before)
    turn = mine[0] + connection.execute(own).scalar_one()
    tied = {owner for owner, share in shares.items() if share == mine and owner != job.owner}
    sooner = tied & _owners_sooner(connection, job.owner) if tied else set()
    ahead = 0
    for owner, (running, last_start) in shares.items():
        first = running > mine[0] or (running == mine[0] and (last_start < mine[1] or owner in sooner))
        begun = turn - running + (1 if first and owner != job.owner else 0)
        ahead += _begun(connection, owner, counts[owner], job.queue, begun)
    return ahead


def _owners_sooner(connection: Connection, owner: str) -> set[str]:
    """Who has a job that comes before the first one of ``owner``."""
    columns = (row.id, row.priority, row.created_at)
    mine = select(*columns).where(waiting, row.owner == owner).order_by(*IN_ORDER).limit(1)
    first = connection.execute(mine).one()
    return set(connection.scalars(select(row.owner).where(waiting, _sooner(first)).distinct()))


def _begun(connection: Connection, owner: str, counts: Mapping[str, int], queue: str, begun: int) -> int:
    """Jobs of ``queue`` among the first ``begun`` that ``owner`` has waiting."""
    if begun <= 0 or queue not in counts:
        return 0
    if begun >= sum(counts.values()) or len(counts) == 1:
        return min(begun, counts[queue])
    first = select(row.queue).where(waiting, row.owner == owner).order_by(*IN_ORDER).limit(begun).subquery()
    return connection.execute(select(func.count()).where(first.c.queue == queue)).scalar_one()


def _sooner(job: Any) -> ColumnElement[bool]:
    """By priority and age it comes before ``job``."""
    older = tuple_(row.created_at, row.id) < tuple_(
        literal(job.created_at, row.created_at.type), literal(job.id, row.id.type)
    )
    return or_(row.priority > job.priority, and_(row.priority == job.priority, older))


def _delay_s(job: Any) -> float:
    return max(0.0, float(job.left))
