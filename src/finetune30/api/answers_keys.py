"""API keys, as the API tells them; the key itself once, when it is made."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from finetune30.access import Key


class KeyTold(BaseModel):
    """What is known of a key."""

    key_id: str
    name: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None

    @classmethod
    def of(cls, key: Key, /, **more: str) -> Self:
        """The key, without anything secret."""
        times = {name: getattr(key, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
        return cls(key_id=key.id, name=key.name, **times, **more)


class KeysTold(BaseModel):
    """The keys of a user, the newest first."""

    keys: list[KeyTold]


class NewKeyTold(KeyTold):
    """A key that was just made.

    Attributes:
        key: What its holder sends; told here and never again.
    """

    key: str
