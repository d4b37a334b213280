"""What the routes of webhooks answer. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Self

from pydantic import Field

from finetune30.api.shape import Shape
from finetune30.webhooks import Delivery, Kind, State, Webhook


class Hook(Shape):
    """A webhook, without its secret."""

    webhook_id: str
    owner: str
    url: str
    kinds: list[Kind]
    created_at: float
    disabled_at: float | None
    disabled_why: str | None
    failing_since: float | None = Field(description="The first failure since the last success")
    last_at: float | None
    last_status: int | None = Field(description="HTTP status; null where no answer came")
    last_error: str | None

    @classmethod
    def of(cls, found: Webhook) -> Self:
        """The webhook."""
        return cls.model_validate({**asdict(found), "webhook_id": found.id})


class NewHook(Hook):
    """A webhook that was just made."""

    secret: str = Field(description="Told only now; with it a receiver checks the signature")


class Hooks(Shape):
    """Webhooks, the oldest first."""

    webhooks: list[Hook]


class Sent(Shape):
    """A message, sent or to be sent."""

    number: int
    webhook_id: str
    message_id: str = Field(description="The header webhook-id, the same at every attempt")
    kind: Kind
    task_id: str | None
    happened_at: float
    state: State
    attempts: int
    next_at: float | None = Field(description="When it is sent (again); null where it is over")
    being_sent: bool
    last_at: float | None
    last_status: int | None
    last_error: str | None
    delivered_at: float | None

    @classmethod
    def of(cls, one: Delivery) -> Self:
        """The delivery."""
        next_at = one.next_at if one.state is State.WAITING else None
        return cls.model_validate({**asdict(one), "message_id": one.message_id, "next_at": next_at})


class Sendings(Shape):
    """Messages, the newest first."""

    deliveries: list[Sent]
    has_more: bool
    next: int | None = Field(description="For before=, where there is more")
