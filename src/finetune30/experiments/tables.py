"""The tables of experiments, and the way from a row to a record.

``migrations`` makes them; a test compares the two. Their indexes are in ``indexes``.
Neighbours: only this room's statements (``store``, ``queue``, ``search``, ``moves``, ``history``, …) read this.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    and_,
    false,
    func,
    literal_column,
    select,
)

from finetune30.database import metadata, now
from finetune30.experiments.record import Attempt, Experiment, Outcome, Overview, Status

_JSON = JSON(none_as_null=True)
# Sorted by code point on both databases, whatever the server's language.
_KEY = Text().with_variant(Text(collation="C"), "postgresql")

experiments = Table(
    "experiments",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),  # for search and sorting, see record.search_key
    Column("owner", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("paused", Boolean, nullable=False, default=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("config", _JSON, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("base_model", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("dataset_hash", Text),
    Column("created_at", Double, nullable=False, index=True),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("lease_owner", Text),
    Column("lease_expires_at", Double),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("progress", _JSON),
    Column("error", _JSON),
    Column("metrics", _JSON),
    Column("train_runtime", Double),
    Column("eval_accuracy", Double),
    Column("resumed_from", String(80)),  # no foreign key: the origin may be deleted
    Column("continues", Boolean, nullable=False, default=False, server_default=false()),
    Column("queue", Text, nullable=False, default="train", server_default="train"),
    Column("priority", Integer, nullable=False, default=0, server_default="0"),
    Column("devices", Integer, nullable=False, default=1, server_default="1"),
    Column("failures", Integer, nullable=False, default=0, server_default="0"),
    Column("max_runtime_s", Double),
    Column("not_before", Double),
    Column("pause_requested", Boolean, nullable=False, default=False, server_default=false()),
    Column("ring_at", Double),  # when its bell is to be rung (again)
    Column("rings", Integer, nullable=False, default=0, server_default="0"),
    Column("idempotency_key", Text),
    Column("submission", String(64)),  # hash of what was submitted under that key
    CheckConstraint(f"status IN ({', '.join(repr(str(status)) for status in Status)})", name="status"),
)

row = experiments.c

# Waits for a worker. Said with a literal: no database looks into an index over a part of the rows for a value it
# learns later. See ``indexes``.
waiting: ColumnElement[bool] = and_(row.status == literal_column("'PENDING'"), ~row.paused, ~row.cancel_requested)

attempts = Table(
    "attempts",
    metadata,
    Column("experiment_id", String(80), ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("worker", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("outcome", String(16)),
    Column("error", _JSON),
)

events = Table(
    "events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("experiment_id", String(80), ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False),
    Column("at", Double, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16)),
    Column("message", Text, nullable=False),
    Column("step", Integer),
    Index("ix_events_experiment_id", "experiment_id", "number"),
    sqlite_autoincrement=True,  # a number is never given twice
)

# What its owner wrote on an experiment; a table of its own, so that any key can be looked for.
notes = Table(
    "experiment_metadata",
    metadata,
    Column("experiment_id", String(80), ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", String(512), nullable=False),
    Index("ix_experiment_metadata_key", "key", "value"),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("host", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("busy", Integer, nullable=False),
    Column("queues", _JSON, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)

# Columns of the store's own, no part of a record.
_PRIVATE = ("name_key", "ring_at", "rings", "idempotency_key", "submission")

# A row that was STARTED without ever getting a lease must count as expired: NULL < now() is never true.
_lease_end = func.coalesce(row.lease_expires_at, row.started_at, row.created_at)
lease_expired: ColumnElement[bool] = _lease_end < now()
lease_live: ColumnElement[bool] = and_(row.status == Status.STARTED, _lease_end >= now())


# What a record holds, and what lists show of it.
WHOLE: tuple[ColumnElement[Any], ...] = (
    *(column for column in row if column.name not in _PRIVATE),
    lease_live.label("lease_live"),
)
OVERVIEW = tuple(column for column in WHOLE if column.key not in ("config", "metrics"))


def select_experiments() -> Select[Any]:
    """All columns of a record, with whether the lease is alive by the database's clock."""
    return select(*WHOLE)


def to_experiment(found: Row[Any]) -> Experiment:
    """One row of ``WHOLE`` as a record."""
    return Experiment(**{**found._mapping, "status": Status(found.status)})


def to_overview(found: Row[Any]) -> Overview:
    """One row of ``OVERVIEW`` as a record."""
    return Overview(**{**found._mapping, "status": Status(found.status)})


def to_attempt(row: Row[Any]) -> Attempt:
    """One row of ``attempts`` as a record."""
    values = dict(row._mapping)
    outcome = values.pop("outcome")
    return Attempt(**values, outcome=outcome and Outcome(outcome))
