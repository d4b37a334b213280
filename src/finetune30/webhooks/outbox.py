"""What waits to be sent: taken by one process, sent, and noted.

Promises: of several processes one takes a delivery, by one conditional update; one whose process died is taken
again a minute later; who took longer than that changes nothing any more. Deliveries come into the table by a
trigger, in the transaction of the change of state they tell of (``migrations/versions/0006_webhooks.py``): never
without it, never twice, in whatever order transactions commit. Neighbours: ``postman`` calls these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, update

from finetune30 import database
from finetune30.access import Users
from finetune30.database import now
from finetune30.webhooks import backoff, messages
from finetune30.webhooks.carrying import Answer
from finetune30.webhooks.record import State
from finetune30.webhooks.tables import deliveries, hook, row, webhooks

# Of one owner at once in one process: slow receivers of one user must not hold up everybody's.
PER_OWNER = 2
_AT_ONCE = 100
_PING_GIVE_UP_S = 60.0


@dataclass(frozen=True)
class Letter:
    """A delivery that this process is to send.

    Attributes:
        attempt: Also the token that ``settle`` must show.
        secret: None where the server's key is another one than when the webhook was made.
    """

    number: int
    attempt: int
    webhook_id: str
    owner: str
    url: str = field(repr=False)
    message_id: str
    body: bytes = field(repr=False)
    secret: str | None = field(repr=False)


class Outbox:
    """Deliveries of one database that wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._users = Users(engine)

    def due(self) -> list[tuple[int, str]]:
        """(number, owner) of what is to be sent now, who waited longest first; a few of each owner."""
        turn = func.row_number().over(partition_by=hook.owner, order_by=(row.next_at, row.number)).label("turn")
        ready = select(row.number, row.next_at, hook.owner, turn).join(webhooks, hook.id == row.webhook_id)
        found = ready.where(_due(), hook.disabled_at.is_(None)).subquery()
        first = select(found.c.number, found.c.owner).where(found.c.turn <= PER_OWNER)
        with database.read(self._engine) as connection:
            rows = connection.execute(first.order_by(found.c.next_at, found.c.number).limit(_AT_ONCE)).all()
        return [(one.number, one.owner) for one in rows]

    def claim(self, number: int, key: bytes) -> Letter | None:
        """Take one; None if it is another's by now, or nobody's any more."""
        take = update(deliveries).where(row.number == number, _due())
        values = {"attempts": row.attempts + 1, "claimed_until": now() + backoff.CLAIM_S}
        with database.write(self._engine) as connection:
            if connection.scalar(take.values(values).returning(row.number)) is None:
                return None
            told = select(deliveries, hook.owner, hook.url, hook.salt, hook.secret_check, hook.disabled_at)
            found = connection.execute(told.join(webhooks, hook.id == row.webhook_id).where(row.number == number))
            letter = found.first()
            if letter is None or letter.disabled_at is not None:
                return None  # it went meanwhile; ``sweep`` sees to the rest
            owner = self._users.find(letter.owner)
            if owner is not None and owner.disabled:
                return None  # who may not log in is told nothing; it stays claimed, and is looked at in a minute
            return _letter(dict(letter._mapping), key)

    def settle(self, letter: Letter, answer: Answer) -> str | None:
        """Note what came of it; why the webhook was disabled, if it was."""
        came: dict[str, Any] = {"last_at": now(), "last_status": answer.status, "last_error": answer.fault}
        with database.write(self._engine) as connection:
            mine = and_(row.number == letter.number, row.attempts == letter.attempt, row.state == State.WAITING)
            values = came | {"claimed_until": None} | self._outcome(connection, letter, answer)
            if connection.scalar(update(deliveries).where(mine).values(values).returning(row.number)) is None:
                return None
            return _note(connection, letter, answer, came)

    def sweep(self) -> None:
        """Give up what nobody sent in time, and forget what ended long ago or belongs to no webhook."""
        late = and_(row.state == State.WAITING, row.happened_at < now() - backoff.GIVE_UP_S, row.next_at < now() - 3600)
        ended = and_(row.state != State.WAITING, row.happened_at < now() - backoff.KEEP_S)
        stray = row.webhook_id.not_in(select(hook.id))
        with database.write(self._engine) as connection:
            database.one_at_a_time(connection, "webhooks sweep")
            given_up = {"state": State.FAILED, "last_error": func.coalesce(row.last_error, "it was not sent in time")}
            connection.execute(update(deliveries).where(late).values(given_up))
            connection.execute(delete(deliveries).where(or_(ended, stray)))

    def _outcome(self, connection: Connection, letter: Letter, answer: Answer) -> dict[str, Any]:
        if answer.fault is None:
            return {"state": State.DELIVERED, "delivered_at": now()}
        wait_s = backoff.delay_s(letter.attempt, answer.again_s)
        age = select(now() - row.happened_at, row.kind).where(row.number == letter.number)
        found = connection.execute(age).one()
        patience_s = _PING_GIVE_UP_S if found.kind == "ping" else backoff.GIVE_UP_S
        if answer.gone or letter.secret is None or found[0] + wait_s > patience_s:
            return {"state": State.FAILED}
        return {"next_at": now() + wait_s}


def _due() -> Any:
    free = or_(row.claimed_until.is_(None), row.claimed_until < now())
    return and_(row.state == State.WAITING, row.next_at <= now(), free)


def _letter(told: Mapping[str, Any], key: bytes) -> Letter:
    secret = messages.secret_of(key, told["webhook_id"], told["salt"])
    return Letter(
        number=told["number"],
        attempt=told["attempts"],
        webhook_id=told["webhook_id"],
        owner=told["owner"],
        url=told["url"],
        message_id=f"msg_{told['webhook_id']}_{told['number']}",
        body=messages.body_of(told),
        secret=secret if messages.check_of(secret) == told["secret_check"] else None,
    )


def _note(connection: Connection, letter: Letter, answer: Answer, came: Mapping[str, Any]) -> str | None:
    """What the attempt means for its webhook."""
    mine = update(webhooks).where(hook.id == letter.webhook_id)
    if answer.fault is None:
        connection.execute(mine.values(**came, failing_since=None))
        return None
    failing = mine.values(**came, failing_since=func.coalesce(hook.failing_since, now()))
    found = connection.execute(failing.returning(hook.disabled_at, now() - hook.failing_since)).first()
    if found is None or found.disabled_at is not None:
        return None
    if answer.gone:
        why = "the receiver answered 410: it wants nothing more"
    elif letter.secret is None:
        why = "the server has another WEBHOOK_KEY by now: make the webhook anew"
    elif found[1] > backoff.DISABLE_S:
        why = f"nothing was delivered for {backoff.DISABLE_S / 86400:g} days; at last: {answer.fault}"
    else:
        return None
    connection.execute(mine.values(disabled_at=now(), disabled_why=why))
    return why
