"""Tokens: who holds one is who it says, until they log out or are shut out.

An access token is a JWT of HS256 that names user and session and no right: role, session and token version are
looked up at each request, so a revocation counts at once. A refresh token is 256 bits, kept as SHA-256, good once:
each refresh hands out a successor. Who sends a used one again within ``GRACE_S`` gets that same successor (the answer
may have been lost); later, or once the successor was used, two parties hold the family: all of it is revoked.
Neighbours: ``users`` says who somebody is, ``jwts`` reads and writes the JWT.
Source: RFC 8725; RFC 9700 section 4.14.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from finetune30 import database
from finetune30.access import jwts
from finetune30.access.record import Pair, User
from finetune30.access.tables import USER_COLUMNS, refresh_tokens, sessions, to_user, users
from finetune30.database import now
from finetune30.errors import LoginRefused, TokenRefused

GRACE_S = 10.0
SESSION_S = 14 * 86_400.0
API = "finetune30-api"
_REFRESH = re.compile(r"[A-Za-z0-9_-]{43}")

# Called in the transaction of a refresh: with the user, and whether their session was revoked for a replay.
Note = Callable[[Connection, User, bool], object]


class Tokens:
    """The sessions of one database.

    Args:
        secret: At least 32 bytes; signs access tokens.
        expire_minutes: Life of an access token.
        audience: Which service these tokens are for; those of another one are refused.
    """

    def __init__(self, engine: Engine, secret: bytes, expire_minutes: int = 30, audience: str = API) -> None:
        self._engine = engine
        self._jwts = jwts.Jwts(secret, 60 * expire_minutes, audience)
        self._successors = hmac.digest(secret, b"finetune30 successors of refresh tokens", "sha256")

    def issue(self, user: User) -> Pair:
        """Begin a session of a user whose password was just checked.

        Raises: LoginRefused if the user was changed since.
        """
        session, refresh_token = f"s_{secrets.token_hex(16)}", _text(secrets.token_bytes(32))
        with database.write(self._engine) as connection:
            self._forget_ended(connection)
            wanted = select(*USER_COLUMNS).where(users.c.id == user.id)
            row = connection.execute(wanted.with_for_update(read=True)).first()
            if row is None or row.disabled or row.token_version != user.token_version:
                raise LoginRefused("name or password is wrong")
            version = {"user_id": user.id, "token_version": row.token_version}
            times = {"created_at": now(), "expires_at": now() + SESSION_S}
            connection.execute(insert(sessions).values(id=session, **version, **times))
            connection.execute(insert(refresh_tokens).values(hash=_hash(refresh_token), session_id=session))
            return self._pair(to_user(row), session, refresh_token)

    def read(self, token: str) -> User:
        """The user who holds this access token, as they are now.

        Raises: TokenRefused.
        """
        claims = self._jwts.read(token)
        with database.read(self._engine) as connection:
            row = connection.execute(_live(claims.session, claims.user_id)).first()
        if row is None or row.token_version != claims.version:
            raise TokenRefused("the session has ended", hint="log in again")
        return to_user(row)

    def refresh(self, refresh_token: str, note: Note | None = None) -> Pair:
        """A new pair for a refresh token that is used up by this.

        Args:
            note: Is called in the same transaction, before its end, for the audit log.
        Raises: TokenRefused; its ``user_id`` is set where a replay ended the session. RuntimeError within
            another transaction: its roll-back would take that end back.
        """
        if database.in_transaction(self._engine):
            raise RuntimeError("a refresh is a transaction of its own: give it a note")
        hashed = _hash(refresh_token if _REFRESH.fullmatch(refresh_token) else "")
        pair = replayed_by = None
        with database.write(self._engine) as connection:
            if session := _lock(connection, hashed):
                user = to_user(session)
                pair = self._rotated(connection, session, refresh_token)
                if pair is None:
                    replayed_by = user.id
                    _revoke(connection, session.session_id)
                if note:
                    note(connection, user, pair is None)
        if pair is None:
            refused = TokenRefused("the refresh token is not or no longer good", hint="log in again")
            refused.user_id = replayed_by
            raise refused
        return pair

    def logout(self, token: str) -> User:
        """End the session of an access token, which may have expired; again and again is the same.

        Raises: TokenRefused if it is none of ours.
        """
        claims = self._jwts.read(token, expired=True)
        with database.write(self._engine) as connection:
            row = connection.execute(select(*USER_COLUMNS).where(users.c.id == claims.user_id)).first()
            if row is None:
                raise TokenRefused("the session has ended", hint="log in again")
            _revoke(connection, claims.session)
            return to_user(row)

    def _pair(self, user: User, session: str, refresh_token: str) -> Pair:
        token = self._jwts.write(user, session)
        return Pair(token=token, refresh_token=refresh_token, expires_in=self._jwts.life_s, user=user)

    def _rotated(self, connection: Connection, session: Row[Any], refresh_token: str) -> Pair | None:
        """The pair that follows; None for a replay."""
        # Derived, so that a second request gets the same one although only its hash is kept.
        successor = _text(hmac.digest(self._successors, refresh_token.encode(), "sha256"))
        if session.used_at is None:
            this = refresh_tokens.c.hash == _hash(refresh_token)
            connection.execute(update(refresh_tokens).where(this).values(used_at=now()))
            connection.execute(insert(refresh_tokens).values(hash=_hash(successor), session_id=session.session_id))
        elif session.used_for_s > GRACE_S or not _is_unused(connection, _hash(successor)):
            return None
        return self._pair(to_user(session), session.session_id, successor)

    def _forget_ended(self, connection: Connection) -> None:
        ended = select(sessions.c.id).where(sessions.c.expires_at < now()).limit(100)
        ended = ended.with_for_update(skip_locked=True)  # two logins at once must not wait for each other
        connection.execute(delete(sessions).where(sessions.c.id.in_(ended)))


def _live(session: str, user_id: object) -> Any:
    """The user of a session that is going on."""
    joined = sessions.join(users, users.c.id == sessions.c.user_id)
    return (
        select(*USER_COLUMNS)
        .select_from(joined)
        .where(
            sessions.c.id == session,
            users.c.id == user_id,
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at >= now(),
            sessions.c.token_version == users.c.token_version,
            users.c.disabled.is_(False),
        )
    )


def _lock(connection: Connection, hashed: str) -> Row[Any] | None:
    """The user, session and use of a refresh token whose session is going on; others wait for this transaction."""
    found = connection.scalar(select(refresh_tokens.c.session_id).where(refresh_tokens.c.hash == hashed))
    if found is None:
        return None
    connection.execute(select(sessions.c.id).where(sessions.c.id == found).with_for_update())
    # Read only now: whoever held the lock may have used the token.
    wanted = _live(found, users.c.id).add_columns(
        sessions.c.id.label("session_id"),
        refresh_tokens.c.used_at,
        (now() - refresh_tokens.c.used_at).label("used_for_s"),
    )
    wanted = wanted.join(refresh_tokens, refresh_tokens.c.session_id == sessions.c.id)
    row: Row[Any] | None = connection.execute(wanted.where(refresh_tokens.c.hash == hashed)).first()
    return row


def _is_unused(connection: Connection, hashed: str) -> bool:
    there = (refresh_tokens.c.hash == hashed) & refresh_tokens.c.used_at.is_(None)
    return connection.scalar(select(refresh_tokens.c.hash).where(there)) is not None


def _revoke(connection: Connection, session: str) -> None:
    going_on = (sessions.c.id == session) & sessions.c.revoked_at.is_(None)
    connection.execute(update(sessions).where(going_on).values(revoked_at=now()))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
