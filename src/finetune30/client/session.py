"""Who is logged in: a pair of tokens, refreshed once however many ask.

A refresh token is good once, so two that refresh at the same time would end the session. Threads wait for
each other here; processes that share a stored login wait in its ``Keep``, and look what the other one stored.
Neighbours: ``credentials`` is such a keep, ``asking`` sends requests with the token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from finetune30.errors import LoginNeeded

# A token that ends while a request is under way would be refused there.
_MARGIN_S = 20.0


@dataclass(frozen=True)
class Session:
    """What a login or a refresh answers. Whoever stores it stores the right to act as this user.

    Attributes:
        expires_at: Unix seconds by this machine's clock; the refresh token outlives it.
    """

    token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    user_id: str | None = None
    role: str | None = None

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> Session:
        """The session that ``POST /login`` or ``POST /token/refresh`` answered just now."""
        return cls(
            token=str(answer["token"]),
            refresh_token=answer.get("refresh_token"),
            expires_at=time.time() + float(answer.get("expires_in", 60)),
            user_id=answer.get("user_id"),
            role=answer.get("role"),
        )

    @property
    def is_stale(self) -> bool:
        """Whether the token has expired or is about to."""
        return self.expires_at is not None and time.time() > self.expires_at - _MARGIN_S


class Keep(Protocol):
    """Where a session is kept between two runs of a program, or for several processes."""

    def read(self) -> Session | None:
        """The session, None if there is none."""

    def write(self, session: Session | None) -> None:
        """Keep this one from now on; None: none."""

    def locked(self) -> Any:
        """A context in which nobody else refreshes."""


class InMemory:
    """A keep for one process; tells whoever wants to store it.

    Args:
        told: Called with each new session, and with None after a logout, in the thread that brought it about.
    """

    def __init__(self, session: Session | None = None, told: Callable[[Session | None], object] | None = None) -> None:
        self._session = session
        self._told = told

    def read(self) -> Session | None:
        """The session."""
        return self._session

    def write(self, session: Session | None) -> None:
        """Remember it, and tell."""
        self._session = session
        if self._told:
            self._told(session)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else has this memory."""
        yield


class Login:
    """The session of one client.

    Args:
        refresh: Sends a refresh token to the server and returns the next session.
    Raises: LoginNeeded from ``token`` and ``renewed``.
    """

    def __init__(self, keep: Keep, refresh: Callable[[str], Session]) -> None:
        self._keep = keep
        self._refresh = refresh
        self._one_at_a_time = threading.RLock()
        self._session = keep.read()

    @property
    def session(self) -> Session | None:
        """The session as it is now."""
        return self._session

    def become(self, session: Session | None) -> None:
        """Go on with this session, and keep it."""
        with self._one_at_a_time, self._keep.locked():
            self._keep.write(session)
            self._session = session

    def token(self) -> str:
        """A token that is good for the next request, as far as one can tell here."""
        session = self._session
        if session is None:
            raise LoginNeeded("nobody is logged in", hint="log in: finetune30 login, or Client.login()")
        if session.is_stale and session.refresh_token is not None:
            return self.renewed(session.token)
        return session.token

    def renewed(self, stale: str) -> str:
        """A token that follows a stale one; of many who ask at once, one asks the server."""
        with self._one_at_a_time:
            if self._session is not None and self._session.token != stale:
                return self._session.token  # another thread was faster
            with self._keep.locked():
                kept, mine = self._keep.read(), self._session
                # Who logged in as somebody else, or out, meanwhile did not mean this program: it goes on as who it
                # was, and what is stored stays.
                is_mine = kept is not None and mine is not None and kept.user_id == mine.user_id
                if is_mine and kept is not None and kept.token != stale and not kept.is_stale:
                    self._session = kept  # another process was faster
                    return kept.token
                return self._next(kept if is_mine else mine, store=is_mine)

    def _next(self, session: Session | None, *, store: bool) -> str:
        if session is None or session.refresh_token is None:
            raise _ended()
        try:
            found: Session | None = self._refresh(session.refresh_token)
        except LoginNeeded as cause:
            found, refusal = None, cause
        self._session = found
        if store:
            self._keep.write(found)
        if found is None:
            raise _ended() from refusal
        return found.token


def _ended() -> LoginNeeded:
    return LoginNeeded("the session has ended", hint="log in again: finetune30 login, or Client.login()", status=401)
