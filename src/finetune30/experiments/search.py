"""Which experiments, in which order: the filters of every list, said once.

The command line, the page and the API ask through here, so they agree. Neighbours: ``store`` runs
what this builds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, case, func, or_, select, tuple_

from finetune30.errors import BadInput
from finetune30.experiments.metadata import with_note
from finetune30.experiments.record import Overview, Status, plain_text, search_key
from finetune30.experiments.tables import experiments, row
from finetune30.experiments.where import Where, condition

SortKey = Literal["created_at", "finished_at", "name", "train_runtime", "eval_accuracy"]
SORT_KEYS: tuple[str, ...] = get_args(SortKey)


class Filters(TypedDict, total=False):
    """What a list may ask for; all optional, None is "any", joined by "and".

    Attributes:
        name: Part of the name in any case; ``%`` and ``_`` mean themselves.
        min_accuracy: Least accuracy on the validation split, 0 to 1.
        max_runtime: Longest training, seconds.
        start: First moment of creation, Unix seconds.
        end: Last moment of creation, Unix seconds.
        status: Only this state.
        ended: True: only those in a terminal state; False: only the others.
        dataset_hash: Only runs that used this version of data: these rows, or a sample of ``version:ID``.
        upload: Only runs that train or validate on this upload.
        owner: Only those of exactly this owner.
        after: Only what comes behind this one in the order asked for: the next page.
        resumed_from: Only those that continue this experiment or run it again.
        where: What a filter in words asks for, see ``where``.
        metadata: Only those on which all of this is written.
        bare: Only those on which nothing is written.
        sort_by: One of ``SORT_KEYS``, by default ``created_at``; rows without that figure come last.
        desc: Largest, latest, last of the alphabet first; the default.
        limit: At most so many.
    """

    name: str | None
    min_accuracy: float | None
    max_runtime: float | None
    start: float | None
    end: float | None
    status: Status | None
    ended: bool | None
    dataset_hash: str | None
    upload: str | None
    owner: str | None
    after: Overview | None
    resumed_from: str | None
    where: Where | None
    metadata: Mapping[str, str] | None
    bare: bool | None
    sort_by: str
    desc: bool
    limit: int | None


def matching(connection: Connection, filters: Filters, columns: Sequence[ColumnElement[Any]]) -> list[Row[Any]]:
    """The rows that pass all filters, in order.

    Raises: BadInput for an unknown ``sort_by`` or a ``limit`` below 1.
    """
    found: list[Row[Any]] = []
    limit = filters.get("limit")
    for statement in select_matching(filters, columns):
        if limit is None or len(found) < limit:
            found += connection.execute(statement)
    return found[:limit]


def select_matching(filters: Filters, columns: Sequence[ColumnElement[Any]]) -> list[Select[Any]]:
    """Statements whose rows, one behind the other, are the list; ties are broken so that its order is always the same.

    There are two where the figure to sort by may be missing: for those that have it, and for the others. Each one
    runs along an index, and whole rows are read only for the page.

    Raises: BadInput for an unknown ``sort_by`` or a ``limit`` below 1.
    """
    sort_by, limit = filters.get("sort_by", "created_at"), filters.get("limit")
    if sort_by not in SORT_KEYS:
        raise BadInput(f"sort_by is {sort_by!r}, expected one of {', '.join(SORT_KEYS)}")
    if limit is not None and not 1 <= limit < 2**31:
        raise BadInput(f"limit is {limit}, expected at least 1")
    key, last, desc = row["name_key" if sort_by == "name" else sort_by], filters.get("after"), filters.get("desc", True)
    by_age = (row.created_at, row.id)
    by_key = by_age if key is row.created_at else (key, *by_age)
    ids = select(row.id).where(*_conditions(filters))
    found = []
    value = None if last is None else search_key(last.name) if sort_by == "name" else getattr(last, sort_by)
    if last is None or value is not None:
        behind = None if last is None else (value, last.created_at, last.id)[-len(by_key) :]
        there = ids.where(key.is_not(None)) if key.nullable else ids
        found.append(_along(there, by_key, behind, desc, limit, columns))
    if key.nullable and not _needs(filters, sort_by):
        behind = None if last is None or value is not None else (last.created_at, last.id)
        found.append(_along(ids.where(key.is_(None)), by_age, behind, desc, limit, columns))
    return found


def count_matching(filters: Filters) -> Select[Any]:
    """How many there are, ``limit`` or not, without reading them."""
    return select(func.count()).select_from(experiments).where(*_conditions(filters))


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    bounds = (
        (row.eval_accuracy.__ge__, filters.get("min_accuracy")),
        (row.train_runtime.__le__, filters.get("max_runtime")),
        (row.created_at.__ge__, filters.get("start")),
        (row.created_at.__le__, filters.get("end")),
        (row.status.__eq__, filters.get("status")),
        (row.resumed_from.__eq__, filters.get("resumed_from")),
    )
    found = [compare(bound) for compare, bound in bounds if bound is not None]
    if (ended := filters.get("ended")) is not None:
        found.append(row.status.in_([status for status in Status if status.is_terminal is ended]))
    if version := filters.get("dataset_hash"):
        # A run that sampled a version has another hash, but cannot be resumed without that version.
        found.append(or_(row.dataset_hash == version, row.dataset == f"version:{version}"))
    if (owner := filters.get("owner")) is not None:
        found.append(row.owner == plain_text(owner))
    if upload := filters.get("upload"):
        either = (row.dataset.startswith(f"upload:{upload}+"), row.dataset.like(f"upload:%+{upload}"))
        found.append(or_(row.dataset == f"upload:{upload}", *either))
    found += [with_note(written, value) for written, value in (filters.get("metadata") or {}).items()]
    if filters.get("bare"):
        found.append(~with_note())
    if name := filters.get("name"):
        found.append(row.name_key.contains(search_key(name), autoescape=True))
    if (where := filters.get("where")) is not None:
        found.append(condition(where))
    return found


def _needs(filters: Filters, sort_by: str) -> bool:
    """Whether the filters pass only what has the figure."""
    least = {"eval_accuracy": "min_accuracy", "train_runtime": "max_runtime"}.get(sort_by, "")
    return filters.get(least) is not None


def _along(
    ids: Select[Any],
    order: Sequence[ColumnElement[Any]],
    behind: Sequence[object] | None,
    desc: bool,
    limit: int | None,
    columns: Sequence[ColumnElement[Any]],
) -> Select[Any]:
    """Rows in this order, each of its parts in the same direction: an index is read from either end."""
    if behind is not None:
        place, last = tuple_(*order), tuple_(*(bindparam(None, v, c.type) for v, c in zip(behind, order, strict=True)))
        ids = ids.where(place < last if desc else place > last)
    in_order = [part.desc() if desc else part.asc() for part in order]
    if limit is None:
        return ids.with_only_columns(*columns).order_by(*in_order)
    page = ids.order_by(*in_order).limit(limit).subquery()
    return select(*columns).join(page, page.c.id == row.id).order_by(*in_order)


def versions_used(owner: str) -> Select[Any]:
    """For each of the owner's experiments the version it used, and the one it named (without a tag)."""
    named = case((row.dataset.like("version:%"), func.substr(row.dataset, len("version:") + 1)))
    return select(row.dataset_hash, named).where(row.owner == plain_text(owner)).distinct()
