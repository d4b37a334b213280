"""Requests of a user: with a token, refreshed where it has expired.

Neighbours: the modules of methods (``tasks``, ``experiments``, …) stand on this; ``wire`` sends, ``session``
knows the token, ``answers`` gives what comes back a shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from finetune30.client import refusals
from finetune30.client.answers import Page, Shape, shaped
from finetune30.client.session import Login, Session
from finetune30.client.wire import Answer, Request, Wire
from finetune30.errors import LoginNeeded, Missing

T = TypeVar("T")
S = TypeVar("S", bound=Shape)
# A refresh is answered alike for ten seconds: tried again within them it goes on where an answer was lost. Later it
# would end the session.
_REFRESH_TRY_S, _REFRESH_S = 3.0, 7.0


class Asking:
    """One user at one server."""

    _wire: Wire
    _login: Login

    def _send(self, request: Request, wire: Wire | None = None) -> Answer:
        """The answer; an expired token is refreshed, once.

        Args:
            wire: To another server that takes the same token.
        Raises: RemoteError.
        """
        wire = wire or self._wire
        token = self._login.token()
        try:
            return wire.send(_as(request, token))
        except LoginNeeded as refusal:
            # Refused before anything was done: so it may be sent again, whatever it is.
            return wire.send(_as(request, self._again(token, refusal)))

    @contextmanager
    def _stream(self, request: Request) -> Iterator[httpx.Response]:
        token = self._login.token()
        with ExitStack() as held:
            try:
                answer = held.enter_context(self._wire.stream(_as(request, token)))
            except LoginNeeded as refusal:
                again = self._again(token, refusal)
                answer = held.enter_context(self._wire.stream(_as(request, again)))
            yield answer

    def _get(self, path: str, shape: type[S], **query: Any) -> S:
        answer = self._send(Request("GET", path, query, safe=True))
        return shaped(shape, answer.json(), answer.server)

    def _post(self, path: str, shape: type[S], body: Any = None, **query: Any) -> S:
        answer = self._send(Request("POST", path, query, body))
        return shaped(shape, answer.json(), answer.server)

    def _object(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self._send(Request("GET", path, query, safe=True))
        found = answer.json()
        return found if isinstance(found, dict) else {"value": found}

    def _page(self, path: str, key: str, shape: type[S], query: Mapping[str, Any]) -> Page[S]:
        answer = self._send(Request("GET", path, query, safe=True))
        return Page.of(answer.json(), key, shape, answer.server)

    def _delete(self, path: str, **query: Any) -> None:
        """Delete; where an earlier try was not answered it may have been what deleted."""
        try:
            self._send(Request("DELETE", path, query, safe=True))
        except Missing as gone:
            if not gone.uncertain:
                raise

    def _again(self, token: str, refusal: LoginNeeded) -> str:
        session = self._login.session
        if session is not None and session.refresh_token is None and session.token == token:
            raise refusal
        return self._login.renewed(token)


def refresher(wire: Wire) -> Callable[[str], Session]:
    """Sends a refresh token, and gives the next session."""

    def refresh(refresh_token: str) -> Session:
        body = {"refresh_token": refresh_token}
        asked = Request("POST", "/token/refresh", body=body, safe=True, patient=False)
        return session_of(wire.send(replace(asked, timeout_s=_REFRESH_TRY_S, patience_s=_REFRESH_S)))

    return refresh


def session_of(answer: Answer) -> Session:
    """The session that was answered.

    Raises: WrongServer.
    """
    try:
        return Session.of_answer(answer.json())
    except (KeyError, TypeError, ValueError, AttributeError):
        raise refusals.not_ours(answer.server, "it answered a login without a token", answer.status) from None


def every(page: Callable[[Any], Page[T]], limit: int | None) -> Iterator[T]:
    """All things of all pages, or so many.

    Args:
        page: The page behind a cursor; None for the first.
    """
    cursor: Any = None
    left = limit
    while left != 0:
        found = page(cursor)
        some = found.items if left is None else found.items[:left]
        yield from some
        left = None if left is None else left - len(some)
        if not found.has_more or found.next is None:
            return
        cursor = found.next


def _as(request: Request, token: str) -> Request:
    return request.with_headers(Authorization=f"Bearer {token}")
