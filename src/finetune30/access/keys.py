"""API keys: for programs that predict, and for nothing else.

A key is 256 random bits, told once and kept as SHA-256: who reads the table cannot ask, and a look-up compares hashes,
so its time tells nothing of a key. It is no token: the API refuses it. Who holds one is its user as they are now: a
disabled user or a changed role counts at the next look.
Neighbours: serving reads keys, the API and the command line make and revoke them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, insert, or_, select, update

from finetune30 import database
from finetune30.access.record import User
from finetune30.access.tables import USER_COLUMNS, api_keys, to_user, users
from finetune30.database import now
from finetune30.errors import BadInput, NotFound, StateError, StorageError, TokenRefused

PREFIX = "ft30-"
MOST = 20
"""Keys of one user that are good at the same time."""
LONGEST_NAME = 64
LONGEST_LIFE_S = 10 * 365 * 86_400.0
KEY_ID = re.compile(r"k_[0-9a-f]{16}")
_KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
# When a key was used last is known to this; else each prediction would write.
_COARSE_S = 3600.0
_COLUMNS = ("id", "user_id", "name", "created_at", "expires_at", "revoked_at", "last_used_at")


@dataclass(frozen=True)
class Key:
    """What is known of a key; the key itself is not.

    Attributes:
        last_used_at: To the hour.
    """

    id: str
    user_id: str
    name: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


def is_key(text: str) -> bool:
    """Whether it looks like a key and not like a token."""
    return text.startswith(PREFIX)


class Keys:
    """The keys of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def make(self, user_id: str, name: str, life_s: float | None = None) -> tuple[Key, str]:
        """A new key, and what its holder sends, which is told here and never again.

        Args:
            name: What it is for: a label.
            life_s: None for one that never expires.
        Raises: BadInput; NotFound; StateError when the user has ``MOST`` keys, or is disabled.
        """
        _check(name, life_s)
        secret = f"{PREFIX}{secrets.token_urlsafe(32)}"
        with database.write(self._engine) as connection:
            database.one_at_a_time(connection, f"finetune30 keys {user_id}")
            disabled = connection.scalar(select(users.c.disabled).where(users.c.id == user_id))
            if disabled is None:
                raise NotFound("there is no such user", hint="see: finetune30 user list")
            if disabled:
                raise StateError("the user is disabled", hint="see: finetune30 user enable")
            good = select(func.count()).select_from(api_keys).where(api_keys.c.user_id == user_id, *_good())
            if (connection.scalar(good) or 0) >= MOST:
                raise StateError(f"a user may have {MOST} keys, and has them", hint="revoke one that is not used")
            values = {"id": f"k_{secrets.token_hex(8)}", "user_id": user_id, "name": name, "hash": _hash(secret)}
            made_at = float(connection.scalar(select(now())) or 0)
            times = {"created_at": made_at, "expires_at": None if life_s is None else made_at + life_s}
            made = insert(api_keys).values(**values, **times).returning(*map(api_keys.c.__getitem__, _COLUMNS))
            return Key(*connection.execute(made).one()), secret

    def read(self, secret: str) -> User:
        """The user whose key this is, as they are now.

        Raises: TokenRefused.
        """
        hashed = _hash(secret if _KEY.fullmatch(secret) else "")
        joined = api_keys.join(users, users.c.id == api_keys.c.user_id)
        wanted = select(*USER_COLUMNS, (now() - api_keys.c.last_used_at).label("used_for_s")).select_from(joined)
        with database.read(self._engine) as connection:
            row = connection.execute(
                wanted.where(api_keys.c.hash == hashed, *_good(), users.c.disabled.is_(False))
            ).first()
        if row is None:
            raise TokenRefused("the key is not or no longer good", hint="make another one: finetune30 user key add")
        if row.used_for_s is None or row.used_for_s > _COARSE_S:
            self._note_use(hashed)
        return to_user(row)

    def of_user(self, user_id: str) -> list[Key]:
        """The keys of a user, the newest first, the revoked ones too."""
        return self._found(api_keys.c.user_id == user_id)

    def all(self) -> list[Key]:
        """Every key, the newest first."""
        return self._found()

    def find(self, key_id: str) -> Key | None:
        """The key with this id; None where there is none."""
        if not KEY_ID.fullmatch(key_id):
            return None
        return next(iter(self._found(api_keys.c.id == key_id)), None)

    def revoke(self, key_id: str) -> Key:
        """End a key for good; again and again is the same.

        Raises: NotFound.
        """
        this = api_keys.c.id == key_id
        with database.write(self._engine) as connection:
            connection.execute(update(api_keys).where(this, api_keys.c.revoked_at.is_(None)).values(revoked_at=now()))
        found = self.find(key_id)
        if found is None:
            raise NotFound("there is no such key", hint="see: finetune30 user key list")
        return found

    def _found(self, *conditions: Any) -> list[Key]:
        wanted = select(*map(api_keys.c.__getitem__, _COLUMNS)).where(*conditions)
        with database.read(self._engine) as connection:
            rows: Sequence[Any] = connection.execute(wanted.order_by(api_keys.c.created_at.desc(), api_keys.c.id)).all()
        return [Key(*row) for row in rows]

    def _note_use(self, hashed: str) -> None:
        try:
            with database.write(self._engine) as connection:
                connection.execute(update(api_keys).where(api_keys.c.hash == hashed).values(last_used_at=now()))
        except StorageError:
            return  # a database that is busy must cost no prediction


def _good() -> tuple[Any, ...]:
    return api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now())


def _check(name: str, life_s: float | None) -> None:
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or not name.strip():
        raise BadInput(f"expected 1 to {LONGEST_NAME} characters that can be seen", where="name", hint="such as: shop")
    if life_s is not None and not 60 <= life_s <= LONGEST_LIFE_S:
        raise BadInput("expected a life from a minute to ten years", where="expires")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
