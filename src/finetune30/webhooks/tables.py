"""The tables of webhooks and their deliveries; ``migrations`` makes them and the triggers that fill the second.

Neighbours: only this room's statements read this.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Double, Index, Integer, Row, Select, String, Table, Text, and_, select

from finetune30.database import metadata, now
from finetune30.webhooks.record import Delivery, Kind, State, Webhook

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("owner", Text, nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("kinds", Text, nullable=False),  # " run.failed run.succeeded ": triggers look for one between spaces
    Column("salt", String(32), nullable=False),  # the secret is derived from this and the server's key, never kept
    Column("secret_check", String(16), nullable=False),  # tells that the server has another key by now
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("disabled_why", Text),
    Column("failing_since", Double),
    Column("last_at", Double),
    Column("last_status", Integer),
    Column("last_error", Text),
)

# No foreign keys: a run's end must neither wait for a webhook that is being deleted nor fail because of it,
# and what is to be told of a run outlives its row.
deliveries = Table(
    "deliveries",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("webhook_id", String(20), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("experiment_id", String(80)),
    Column("event_number", Integer),
    Column("attempt", Integer),
    Column("name", Text),
    Column("status", String(16)),
    Column("eval_accuracy", Double),
    Column("train_runtime", Double),
    Column("error_code", Text),
    Column("happened_at", Double, nullable=False),
    Column("state", String(16), nullable=False, server_default=State.WAITING.value),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", Double, nullable=False),
    Column("claimed_until", Double),
    Column("last_at", Double),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("delivered_at", Double),
    Index("uq_deliveries_webhook_id", "webhook_id", "event_number", unique=True),
    Index("ix_deliveries_state", "state", "next_at"),
    sqlite_autoincrement=True,  # a number is never given twice
)

hook = webhooks.c
row = deliveries.c
claimed = and_(row.state == State.WAITING, row.claimed_until.is_not(None), row.claimed_until >= now())


def select_webhooks() -> Select[Any]:
    """What ``to_webhook`` reads."""
    return select(*(column for column in hook if column.name not in ("salt", "secret_check")))


def to_webhook(found: Row[Any]) -> Webhook:
    """One row of ``select_webhooks``."""
    values = dict(found._mapping)
    return Webhook(**{**values, "kinds": tuple(map(Kind, values["kinds"].split()))})


def select_deliveries() -> Select[Any]:
    """What ``to_delivery`` reads."""
    told = (row.number, row.webhook_id, row.kind, row.experiment_id.label("task_id"), row.happened_at, row.state)
    came = (row.attempts, row.next_at, row.last_at, row.last_status, row.last_error, row.delivered_at)
    return select(*told, *came, claimed.label("being_sent"))


def to_delivery(found: Row[Any]) -> Delivery:
    """One row of ``select_deliveries``."""
    values = dict(found._mapping)
    being_sent = bool(values.pop("being_sent"))  # NULL where nobody ever claimed it
    return Delivery(
        **{**values, "kind": Kind(values["kind"]), "state": State(values["state"]), "being_sent": being_sent}
    )
