"""Webhooks as their owners see them: made, listed, switched off and on, tried; and what came of each delivery.

Promises: a secret is told once, when its webhook is made; an address is looked at when it is given, and again at
each sending; an owner has no more webhooks than the quota. Each change is a transaction of its own, or a part of
the ``database.write`` around it. Neighbours: ``outbox`` sends what waits, ``places`` judges addresses.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from finetune30 import database
from finetune30.access import secret
from finetune30.database import now
from finetune30.errors import NotFound, QuotaExceeded, StateError, WebhookInvalid
from finetune30.settings import Settings
from finetune30.webhooks import messages, places
from finetune30.webhooks.record import ENDS, Delivery, Kind, State, Webhook
from finetune30.webhooks.tables import (
    claimed,
    deliveries,
    hook,
    row,
    select_deliveries,
    select_webhooks,
    to_delivery,
    to_webhook,
    webhooks,
)

_BY_OWNER = "its owner switched it off"


class Webhooks:
    """All webhooks of one database.

    Args:
        resolve: Asks for the addresses of a host.
    """

    def __init__(self, settings: Settings, engine: Engine, resolve: places.Resolver = places.ask_the_system) -> None:
        self.engine = engine
        self.policy = places.Policy.of(settings)
        self.resolve = resolve
        self._settings = settings

    @cached_property
    def key(self) -> bytes:
        """What secrets are derived from.

        Raises: SettingsError if it is missing in production, or weak; StorageError.
        """
        return secret.webhook_key(self._settings)

    def look_at(self, url: str) -> None:
        """See whether a webhook may have this address. It may take seconds: not within a transaction.

        Raises: WebhookInvalid.
        """
        places.addresses_of(places.place_of(url), self.policy, self.resolve)

    def add(self, owner: str, url: str, kinds: Iterable[Kind] = ENDS) -> tuple[Webhook, str]:
        """A new webhook, and its secret, which is told here and never again. Call ``look_at`` first.

        Raises: WebhookInvalid for no kind, or one that cannot be asked for; QuotaExceeded; SettingsError.
        """
        wanted = sorted(set(kinds))
        if not wanted or Kind.PING in wanted:
            raise WebhookInvalid("expected one or more kinds of events of a run", where="kinds")
        key, webhook_id, salt = self.key, f"wh_{secrets.token_hex(8)}", secrets.token_hex(16)
        told = messages.secret_of(key, webhook_id, salt)
        values = {"id": webhook_id, "owner": owner, "url": url, "kinds": f" {' '.join(wanted)} "}
        with database.write(self.engine) as connection:
            self._check_quota(connection, owner)
            hidden = {"salt": salt, "secret_check": messages.check_of(told), "created_at": now()}
            connection.execute(insert(webhooks).values(**values, **hidden))
            return _existing(connection, webhook_id), told

    def find(self, webhook_id: str) -> Webhook | None:
        """The webhook with this id; None where there is none."""
        with database.read(self.engine) as connection:
            found = connection.execute(select_webhooks().where(hook.id == webhook_id)).first()
        return None if found is None else to_webhook(found)

    def all(self, owner: str | None = None) -> list[Webhook]:
        """Those of one owner, or everybody's; the oldest first."""
        wanted = select_webhooks().order_by(hook.created_at, hook.id)
        with database.read(self.engine) as connection:
            rows = connection.execute(wanted if owner is None else wanted.where(hook.owner == owner)).all()
        return [to_webhook(one) for one in rows]

    def delete(self, webhook_id: str) -> None:
        """Forget a webhook and its deliveries; what waits is not sent any more.

        Raises: NotFound.
        """
        with database.write(self.engine) as connection:
            _existing(connection, webhook_id)
            # In this order, as ``outbox`` locks them: two that lock in different orders wait for each other for ever.
            connection.execute(delete(deliveries).where(row.webhook_id == webhook_id))
            connection.execute(delete(webhooks).where(hook.id == webhook_id))

    def disable(self, webhook_id: str) -> Webhook:
        """Tell it nothing more; what happens meanwhile is not told later.

        Raises: NotFound.
        """
        off = {"disabled_at": func.coalesce(hook.disabled_at, now())}
        return self._change(webhook_id, off | {"disabled_why": func.coalesce(hook.disabled_why, _BY_OWNER)})

    def enable(self, webhook_id: str) -> Webhook:
        """Tell it again, as if it had never failed.

        Raises: NotFound.
        """
        return self._change(webhook_id, {"disabled_at": None, "disabled_why": None, "failing_since": None})

    def ping(self, webhook_id: str) -> Delivery:
        """Put a message for trying into the queue of all others.

        Raises: NotFound; StateError if it is disabled.
        """
        with database.write(self.engine) as connection:
            _enabled(_existing(connection, webhook_id))
            values = {"webhook_id": webhook_id, "kind": Kind.PING, "happened_at": now(), "next_at": now()}
            number = connection.scalar(insert(deliveries).values(values).returning(row.number))
            return _delivery(connection, webhook_id, number)

    def deliveries(self, webhook_id: str, limit: int = 100, before: int | None = None) -> list[Delivery]:
        """What was and is to be sent, the newest first.

        Args:
            before: Only those with a smaller number: the next page.
        """
        wanted = select_deliveries().where(row.webhook_id == webhook_id).order_by(row.number.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(row.number < min(before, 2**31 - 1))
        with database.read(self.engine) as connection:
            return [to_delivery(one) for one in connection.execute(wanted)]

    def delivery(self, webhook_id: str, number: int) -> Delivery:
        """One of them.

        Raises: NotFound.
        """
        with database.read(self.engine) as connection:
            return _delivery(connection, webhook_id, number)

    def retry(self, webhook_id: str, number: int) -> Delivery:
        """Send it again now, with the same id, even if it was delivered; what is being sent just now is left alone.

        Raises: NotFound; StateError if the webhook is disabled.
        """
        with database.write(self.engine) as connection:
            _enabled(_existing(connection, webhook_id))
            again = update(deliveries).where(row.number == number, row.webhook_id == webhook_id, ~claimed)
            values = {"state": State.WAITING, "next_at": now(), "claimed_until": None, "delivered_at": None}
            connection.execute(again.values(values))
            return _delivery(connection, webhook_id, number)

    def _check_quota(self, connection: Connection, owner: str) -> None:
        database.one_at_a_time(connection, f"webhooks:{owner}")
        most = self._settings.max_webhooks_per_user
        count: int = connection.execute(select(func.count()).where(hook.owner == owner)).scalar_one()
        if count >= most:
            raise QuotaExceeded(
                f"{owner} has {count} webhooks, expected fewer than {most} before another one",
                where="MAX_WEBHOOKS_PER_USER",
                hint="delete one first: finetune30 webhooks list",
            )

    def _change(self, webhook_id: str, values: Mapping[str, Any]) -> Webhook:
        with database.write(self.engine) as connection:
            connection.execute(update(webhooks).where(hook.id == webhook_id).values(values))
            return _existing(connection, webhook_id)


def _existing(connection: Connection, webhook_id: str) -> Webhook:
    found = connection.execute(select_webhooks().where(hook.id == webhook_id)).first()
    if found is None:
        raise NotFound("there is no such webhook", hint="see: finetune30 webhooks list")
    return to_webhook(found)


def _delivery(connection: Connection, webhook_id: str, number: int | None) -> Delivery:
    mine = select_deliveries().where(row.number == number, row.webhook_id == webhook_id)
    found = connection.execute(mine).first()
    if found is None:
        raise NotFound("the webhook has no such delivery")
    return to_delivery(found)


def _enabled(found: Webhook) -> None:
    if found.disabled_at is not None:
        raise StateError(f"{found.id} is disabled: {found.disabled_why}", hint="enable it first")
