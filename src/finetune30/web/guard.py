"""Connections: nobody may hold one without asking something, or ask and never read.

uvicorn waits for ever for the first request of a connection and for the rest of a half-sent head. Here a head has
``head_s`` from the first moment on, however its bytes drip. Where there are more than ``most`` connections, the one
that has been idle longest is given up. Who does not read what it asked for is cut off after ``stall_s``.
Ordinary requests are read and answered by ``ordinary``, all others by h11: of one connection, one after the other.
Neighbours: ``listening`` has uvicorn run it, ``gate`` has the time of a body.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any
from urllib.parse import unquote

import h11
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, service_unavailable
from uvicorn.protocols.http.h11_impl import H11Protocol

from finetune30.web import problems
from finetune30.web.ordinary import WHOLE, Cycle, Head, head_of


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
        self._coming = 0
        """Bytes of an ordinary request's body that are still to come."""
        self._next = b""
        """What came before the answer to an ordinary request was complete."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Some bytes came: of a head, a body, or of the next request."""
        if self._coming:
            data = self._body(data)
        if data and not self._taken(data):
            super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer was sent."""
        self._since = self.loop.time()
        if not isinstance(self.cycle, Cycle):
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.timeout_keep_alive_task is None:
            self._expect_more(self.timeout_keep_alive)
        self.flow.resume_reading()
        if self._next and not self._coming:
            data, self._next = self._next, b""
            self.data_received(data)

    def timeout_keep_alive_handler(self) -> None:
        """They may have asked since the timer was set: ordinary requests leave it as it is."""
        self.timeout_keep_alive_task = None
        left_s = self.timeout_keep_alive - (self.loop.time() - self._since if self.waits else 0.0)
        if left_s > 0:
            self._expect_more(left_s)
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        for timer in (self._deadline, self._stalled, self.timeout_keep_alive_task):
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

    def _taken(self, data: bytes) -> bool:
        """Whether it is ordinary and was begun, or waits for its turn; else it is h11's, and so is what follows."""
        if isinstance(self.cycle, Cycle) and not self.cycle.response_complete:
            self._next += data
            self.flow.pause_reading()
            return True
        if self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0] or self.transport.is_closing():
            return False
        head = head_of(data)
        if head is None:
            return False
        self._begin(head)
        rest = data[head.end :]
        if self._coming and rest:
            rest = self._body(rest)
        if rest:
            self._next = rest
            self.flow.pause_reading()
        return True

    def _begin(self, head: Head) -> None:
        raw_path, _, query = head.target.partition(b"?")
        path = raw_path.decode("ascii")
        self.headers = head.headers
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "method": head.method,
            "root_path": self.root_path,
            "path": self.root_path + (unquote(path) if "%" in path else path),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": query,
            "headers": head.headers,
            "state": self.app_state.copy(),
        }
        most = self.limit_concurrency
        too_many = most is not None and max(len(self.connections), len(self.tasks)) >= most
        self._coming = head.length
        self.cycle = Cycle(
            head.length,
            scope=self.scope,
            conn=self.conn,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            on_response=self.on_response_complete,
        )
        self.scope["extensions"] = {WHOLE: self.cycle.is_whole}  # type: ignore[dict-item]
        task = self.loop.create_task(self.cycle.run_asgi(service_unavailable if too_many else self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _body(self, data: bytes) -> bytes:
        """Take what belongs to the body; of one that nobody wants any more it is thrown away. Returns the rest."""
        part, rest = data[: self._coming], data[self._coming :]
        self._coming -= len(part)
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += part
            cycle.more_body = self._coming > 0
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()
        return rest

    def _expect_more(self, left_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(left_s, self.timeout_keep_alive_handler)

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
