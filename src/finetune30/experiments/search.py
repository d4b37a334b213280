"""Which experiments, in which order: the filters of every list, said once.

The command line, the page and the API ask through here, so they agree. Neighbours: ``store`` runs
what this builds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, get_args

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from finetune30.errors import BadInput
from finetune30.experiments.metadata import with_note
from finetune30.experiments.record import Experiment, Status, plain_text, search_key
from finetune30.experiments.tables import row, select_experiments

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
    after: Experiment | None
    resumed_from: str | None
    metadata: Mapping[str, str] | None
    bare: bool | None
    sort_by: str
    desc: bool
    limit: int | None


def select_matching(filters: Filters) -> Select[Any]:
    """The statement; ties are broken so that the order is always the same.

    Raises: BadInput for an unknown ``sort_by`` or a ``limit`` below 1.
    """
    sort_by, limit = filters.get("sort_by", "created_at"), filters.get("limit")
    if sort_by not in SORT_KEYS:
        raise BadInput(f"sort_by is {sort_by!r}, expected one of {', '.join(SORT_KEYS)}")
    if limit is not None and not 1 <= limit < 2**31:
        raise BadInput(f"limit is {limit}, expected at least 1")
    bounds = (
        (row.eval_accuracy.__ge__, filters.get("min_accuracy")),
        (row.train_runtime.__le__, filters.get("max_runtime")),
        (row.created_at.__ge__, filters.get("start")),
        (row.created_at.__le__, filters.get("end")),
        (row.status.__eq__, filters.get("status")),
        (row.resumed_from.__eq__, filters.get("resumed_from")),
    )
    found = select_experiments().where(*(compare(bound) for compare, bound in bounds if bound is not None))
    if (ended := filters.get("ended")) is not None:
        found = found.where(row.status.in_([status for status in Status if status.is_terminal is ended]))
    if version := filters.get("dataset_hash"):
        # A run that sampled a version has another hash, but cannot be resumed without that version.
        found = found.where(or_(row.dataset_hash == version, row.dataset == f"version:{version}"))
    if upload := filters.get("upload"):
        either = (row.dataset.startswith(f"upload:{upload}+"), row.dataset.like(f"upload:%+{upload}"))
        found = found.where(or_(row.dataset == f"upload:{upload}", *either))
    if (owner := filters.get("owner")) is not None:
        found = found.where(row.owner == plain_text(owner))
    for written, value in (filters.get("metadata") or {}).items():
        found = found.where(with_note(written, value))
    if filters.get("bare"):
        found = found.where(~with_note())
    if name := filters.get("name"):
        found = found.where(row.name_key.contains(search_key(name), autoescape=True))
    key, desc = row["name_key" if sort_by == "name" else sort_by], filters.get("desc", True)
    if (last := filters.get("after")) is not None:
        value = search_key(last.name) if sort_by == "name" else getattr(last, sort_by)
        found = found.where(_behind(key, value, last, desc))
    order = key.desc() if desc else key.asc()
    return found.order_by(order.nulls_last(), row.created_at.desc(), row.id.desc()).limit(limit)


def count_matching(filters: Filters) -> Select[Any]:
    """How many there are, ``limit`` or not, without reading them."""
    unlimited: Filters = {**filters, "limit": None}
    ids = select_matching(unlimited).with_only_columns(row.id).order_by(None)
    return select(func.count()).select_from(ids.subquery())


def versions_used(owner: str) -> Select[Any]:
    """For each of the owner's experiments the version it used, and the one it named (without a tag)."""
    named = case((row.dataset.like("version:%"), func.substr(row.dataset, len("version:") + 1)))
    return select(row.dataset_hash, named).where(row.owner == plain_text(owner)).distinct()


def _behind(key: ColumnElement[Any], value: Any, last: Experiment, desc: bool) -> ColumnElement[bool]:
    """What the order below puts behind ``last``, whose key is ``value``."""
    older = or_(row.created_at < last.created_at, and_(row.created_at == last.created_at, row.id < last.id))
    if value is None:
        return and_(key.is_(None), older)
    return or_(key < value if desc else key > value, key.is_(None), and_(key == value, older))
