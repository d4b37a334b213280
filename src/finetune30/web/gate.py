"""The gate before the routes, as plain ASGI: whose host, how often, how large, and how answers look.

In this order: a name for the request, the host, the rate of the address, the size of the body. So nothing
of a request is read or believed before these have passed, whoever sends it. A file that is sent goes through
unread: ``receiving`` takes it in once its sender is known, and weighs it while it comes.
Neighbours: ``rates`` counts, ``problems`` words the refusals, ``journal`` keeps a line of each request.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finetune30.web import problems
from finetune30.web.ordinary import WHOLE
from finetune30.web.problems import Problem
from finetune30.web.rates import Rates

MOST_BYTES = 1 << 20
_BODY_TIMEOUT_S = 30.0
_LET_GO_BYTES = 16 << 20
_LET_GO_S = 1.0
_HOST = re.compile(rb"(?P<name>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
# Answered however often they come: those who watch over the service ask.
_ALWAYS = frozenset({"/health", "/ready"})
_LOG = logging.getLogger("finetune30.api")
_DOCS = frozenset({"/docs"})
# Headers of answers that scripts of other pages may read.
EXPOSED = ("X-Request-ID", "Retry-After", "Location")
PAGE_CLIENT, PAGE_KEY = "x-finetune30-client", "x-finetune30-key"
_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_DOCS_POLICY = (
    b"default-src 'none'; frame-ancestors 'none'; connect-src 'self'; img-src 'self' data:; "
    b"script-src 'self'; style-src 'self' 'unsafe-inline'"
)
# Of every answer, whatever its route says.
_OURS = {b"x-content-type-options": b"nosniff", b"cache-control": b"no-store", b"referrer-policy": b"no-referrer"}
_SECURE = {b"strict-transport-security": b"max-age=31536000"}


class Gate:
    """Everything that is decided before a route is looked for.

    Args:
        hosts: Names this service answers to, in lower case.
        origins: Pages elsewhere that browsers may call from.
        note: Told method, route, status and seconds of each request.
        streams: Methods and paths whose bodies are streams; every other body is read here, and small.
        page_key: Who knows it may name the address of its client.
        secure: Answers say that HTTPS is to be kept to.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        origins: Collection[str],
        rates: Rates,
        note: Callable[[str, str | None, int, float], None],
        streams: Collection[tuple[str, str]] = (),
        page_key: str | None = None,
        secure: bool = False,
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._rates = rates
        self._note = note
        self._streams = frozenset(streams)
        self._page_key = page_key.encode() if page_key else None
        self._ours = {**_OURS, **(_SECURE if secure else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        # Anything else (a web socket) has no route here; uvicorn refuses it with 403.

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id, began, status = secrets.token_hex(16), time.monotonic(), 0
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        if self._page_key is not None:
            _believe(self._page_key, scope)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._dress(message, scope, request_id)
            await send(message)

        try:
            try:
                await self._admit(scope)
                if (scope["method"], scope["path"]) in self._streams:
                    stream = _Stream(scope, receive, answer)
                    await self._app(scope, stream.receive, stream.send)
                else:
                    await self._app(scope, await _whole(scope, receive), answer)
            except Problem as problem:
                if not status:
                    await problem.response(request_id, scope["path"])(scope, receive, answer)
        except ClientDisconnect:
            return  # there is nobody to answer
        except Exception as fault:  # noqa: BLE001 - the last resort
            _LOG.exception("unexpected fault", extra={"request_id": request_id})
            if not status:
                await problems.of_fault(fault).response(request_id, scope["path"])(scope, receive, answer)
        finally:
            took_s = time.monotonic() - began
            self._note(scope["method"], getattr(scope.get("route"), "path", None), status, took_s)
            _LOG.info("request", extra=_told(scope, status, took_s))

    async def _admit(self, scope: Scope) -> None:
        path, method = scope["path"], scope["method"]
        if _values(scope, b"content-length") and _values(scope, b"transfer-encoding"):
            # Two servers in a row may disagree on where this request ends (RFC 9112 6.3).
            raise problems.of_status(400, {"Connection": "close"})
        hosts = _values(scope, b"host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None or found["name"].decode().lower() not in self._hosts or not path.startswith("/"):
            raise Problem(
                400, "host_not_allowed", "this service does not answer to this host", hint="see ALLOWED_HOSTS"
            )
        if path not in _ALWAYS:
            await self._rates.check("address", address_of(scope), method)
        if method == "OPTIONS" and (origin := _origin(scope)) is not None and origin not in self._origins:
            raise Problem(400, "origin_not_allowed", "pages of this origin may not call this service")

    def _dress(self, message: Message, scope: Scope, request_id: str) -> None:
        given = [one for one in message.get("headers", ()) if one[0] not in self._ours]
        given += [(b"x-request-id", request_id.encode()), *self._ours.items()]
        # A page of ours (the report of a dataset) brings a policy of its own.
        if not any(name == b"content-security-policy" for name, _ in given):
            given.append((b"content-security-policy", _DOCS_POLICY if scope["path"] in _DOCS else _POLICY))
        message["headers"] = given
        if self._origins and (origin := _origin(scope)) in self._origins:
            headers = MutableHeaders(scope=message)
            if "access-control-allow-origin" not in headers:
                # A refusal from before the app: the page's script shall be able to read why.
                headers["Access-Control-Allow-Origin"] = str(origin)
                headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED)
                headers.add_vary_header("Origin")


def _values(scope: Scope, name: bytes) -> list[bytes]:
    """Of a header of the request; the name in lower case."""
    return [value for one, value in scope["headers"] if one == name]


def _origin(scope: Scope) -> str | None:
    return next((value.decode("latin-1") for value in _values(scope, b"origin")), None)


def _believe(key: bytes, scope: Scope) -> None:
    """Take the address that the page names for its client; with a key that is not ours nothing is changed."""
    headers = Headers(scope=scope)
    keys, named = headers.getlist(PAGE_KEY), headers.getlist(PAGE_CLIENT)
    if len(keys) != 1 or len(named) != 1 or not hmac.compare_digest(keys[0].encode("utf-8"), key):
        return
    with suppress(ValueError):
        scope["client"] = (str(ipaddress.ip_address(named[0])), 0)


def address_of(scope: Scope) -> str:
    """Who sent the request, as far as the connection (or a proxy that is believed) tells."""
    client = scope.get("client")
    return client[0] if client else "unknown"


class _Stream:
    """A body that its route reads as it comes; who is refused before its end can still read why."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._headers = Headers(scope=scope)
        self._receive, self._send = receive, send
        self._ended = length_of(self._headers) == 0
        self._asked = False

    async def receive(self) -> Message:
        """The next part."""
        self._asked = True
        message = await self._receive()
        self._ended = self._ended or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer."""
        if message["type"] == "http.response.start" and not self._ended:
            self._ended = True
            MutableHeaders(scope=message)["Connection"] = "close"
            await _let_go(Headers() if self._asked else self._headers, self._receive)
        await self._send(message)


def length_of(headers: Headers) -> int | None:
    """Bytes of the body as the sender says; 0 where there is none, None where it does not say.

    Raises: Problem 400.
    """
    length = headers.get("content-length")
    if length is None:
        return None if "transfer-encoding" in headers else 0
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise problems.of_status(400)
    return int(length)


async def _whole(scope: Scope, receive: Receive) -> Receive:
    """``receive`` for a body that is not too large; it is read here, for who reads it later has no limit.

    Raises: Problem 400, 408, 413.
    """
    if not _values(scope, b"content-length") and not _values(scope, b"transfer-encoding"):
        return receive
    headers = Headers(scope=scope)
    length = length_of(headers)
    if length is not None and length > MOST_BYTES:
        await _let_go(headers, receive)
        raise problems.too_large(MOST_BYTES)
    is_whole = scope.get("extensions", {}).get(WHOLE)
    try:
        if is_whole and is_whole():
            body = await _read(receive)
        else:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                body = await _read(receive)
        if body is None:
            await _let_go(headers, receive)
            raise problems.too_large(MOST_BYTES)
    except TimeoutError:
        raise problems.of_status(408, {"Connection": "close"}) from None
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()  # the client's going away
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _read(receive: Receive) -> bytes | None:
    """The body; None for one that is too large."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _let_go(headers: Headers, receive: Receive) -> None:
    """Throw away some of what is on its way: a client that is still sending when the connection is closed
    would never read why."""
    if headers.get("expect", "").lower() == "100-continue":
        return  # it waits to be told
    left = _LET_GO_BYTES
    try:
        async with asyncio.timeout(_LET_GO_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _told(scope: Scope, status: int, took_s: float) -> dict[str, object]:
    state, route = scope.get("state", {}), scope.get("route")
    return {
        "request_id": state.get("request_id"),
        "method": scope["method"],
        "path": scope["path"][:200],  # not the query: people put secrets there
        "route": getattr(route, "path", None),
        "status": status,
        "took_ms": round(1000 * took_s, 1),
        "address": address_of(scope),
        "user_id": state.get("user_id"),
    }
