"""Connections: nobody may hold one without asking something, or ask and never read.

uvicorn waits for ever for the first request of a connection and for the rest of a half-sent head. Here a head has
``head_s`` from the first moment on, however its bytes drip. Where there are more than ``most`` connections, the one
that has been idle longest is given up. Who does not read what it asked for is cut off after ``stall_s``.
Neighbours: ``serve`` runs it, ``limits`` has the time of a body.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from finetune30.web import problems


class Guarded(H11Protocol):
    """A connection of HTTP/1.1 with deadlines.

    Attributes:
        head_s: Time for a whole head, and for a TLS handshake.
        stall_s: Time in which a client must take something of what is being sent.
        most: Connections there may be before idle ones are given up.
    """

    head_s = 20.0
    stall_s = 60.0
    most = 900

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody came."""
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._since = self.loop.time()
        self._upgraded = False
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Some bytes came: of a head, a body, or of the next request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer was sent."""
        self._since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """It becomes a websocket, which is quiet as long as it likes; its own pings tell who is gone."""
        self._upgraded = True
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """They do not read."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """They read again."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - its words are not ours
        """What is no HTTP gets a problem, too."""
        problem = problems.of_status(400)
        body = json.dumps(problem.body(secrets.token_hex(16))).encode()
        headers = [("Content-Type", problems.MEDIA_TYPE), ("Connection", "close"), ("Content-Length", str(len(body)))]
        parts: list[Any] = [h11.Response(status_code=400, headers=headers, reason=b"Bad Request")]
        for part in [*parts, h11.Data(data=body), h11.EndOfMessage()]:
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    @property
    def waits(self) -> bool:
        """Whether no request is being answered: it is their turn."""
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        if self._upgraded or not self.waits:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.head_s, self._too_late)

    def _too_late(self) -> None:
        self._deadline = None
        if self.waits:
            # Not close: with TLS that waits for their goodbye.
            self.transport.abort()

    def _make_room(self) -> None:
        # Those that are given up already stay in the set until the loop comes to it.
        there = [one for one in self.connections if isinstance(one, Guarded) and not one.transport.is_closing()]
        idle = [one for one in there if one.waits and one is not self]
        if len(there) > self.most and idle:
            min(idle, key=lambda one: one._since).transport.abort()


class Loop(asyncio.SelectorEventLoop):
    """The loop that serves TLS: a handshake has the time of a head, not asyncio's minute."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        """A server on a socket."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = Guarded.head_s
        return await super().create_server(*arguments, **options)
