"""Who asks, and which adapters they may ask.

The platform's tokens and its API keys say who somebody is; each is looked up again after a second, so that a logout,
a revoked key or a disabled user counts here as well. On one machine, embedded and on loopback, nobody needs one.
Neighbours: ``access`` reads tokens; routes ask ``known`` first and ``check`` before an adapter is loaded.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from finetune30.access import Access
from finetune30.access.keys import is_key
from finetune30.errors import Forbidden, TokenRefused
from finetune30.serving.catalog import Found
from finetune30.web.problems import unauthenticated

_BELIEVED_S = 0.8
_MOST_TOKENS = 10_000
_LONGEST_TOKEN = 4096


@dataclass(frozen=True)
class Guest:
    """Who asks.

    Attributes:
        everything: May ask every adapter and switch: an admin, or whoever sits at this machine.
    """

    name: str
    everything: bool = False

    def check(self, found: Found) -> None:
        """Refuse an adapter that is another user's.

        Raises: Forbidden.
        """
        if not (self.everything or found.everybodys or found.owner == self.name):
            raise Forbidden("this adapter is another user's")


ANYBODY = Guest("anybody", everything=True)
"""The service itself, which asks for nobody's sake."""
_LOCAL = Guest("local", everything=True)


class Guests:
    """Tells who asks.

    Args:
        access: None where nobody needs a token.
    """

    def __init__(self, access: Access | None) -> None:
        self._access = access
        self._believed: OrderedDict[bytes, tuple[Guest, float]] = OrderedDict()

    async def known(self, request: Request) -> Guest:
        """Whose token the request carries.

        Raises: Problem 401.
        """
        if self._access is None:
            return _LOCAL
        token = _told(request)
        key = hashlib.sha256(token.encode()).digest()
        believed = self._believed.get(key)
        if believed is not None and time.monotonic() - believed[1] < _BELIEVED_S:
            return believed[0]
        asked_at = time.monotonic()
        try:
            read = self._access.keys.read if is_key(token) else self._access.tokens.read
            user = await run_in_threadpool(read, token)
        except TokenRefused:
            self._believed.pop(key, None)
            raise unauthenticated("the token is not valid, or no longer") from None
        guest = Guest(user.name, user.is_admin)
        self._believed[key] = guest, asked_at
        self._believed.move_to_end(key)
        if len(self._believed) > _MOST_TOKENS:
            self._believed.popitem(last=False)
        return guest


def _told(request: Request) -> str:
    """The token or key: as a bearer, or a key as LitServe's clients send it; never both."""
    keys = request.headers.getlist("x-api-key")
    if not keys:
        return _bearer(request)
    if len(keys) > 1 or "authorization" in request.headers or not is_key(keys[0]) or len(keys[0]) > _LONGEST_TOKEN:
        raise unauthenticated()
    return keys[0]


def _bearer(request: Request) -> str:
    given = request.headers.getlist("authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _LONGEST_TOKEN or not token.isascii() or " " in token:
        raise unauthenticated()
    return token
