"""The connections over which open pages are drawn, and the files that were sent to them.

Promises: a session of Streamlit belongs to the seat it was begun from, and no other takes it up or sends files to it;
when a seat ends, each of its open pages is told where to go and is closed, and what it held in memory is freed.
Neighbours: ``front`` lets only seats come here, ``seats`` says when one ends.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from finetune30.ui.away import message
from finetune30.ui.pace import Pace
from finetune30.ui.seats import Seat

_LOG = logging.getLogger("finetune30.ui")
_PROTOCOLS = b"sec-websocket-protocol"
# How long a browser whose connection broke finds its session again.
_COMES_BACK_S = 120.0
_SHORT = 1024
# A page has one live part or a few, whose names Streamlit makes of 32 characters.
_MOST_PARTS, _LONGEST_PART = 8, 64
_FILES_OF_ONE = 2
_FILES_OF_ALL = 10
_FRAME = 64 * 1024
"""Of a form around a file: its boundaries and names."""


async def turn_away(scope: Scope, receive: Receive, send: Send, path: str) -> None:
    """An open page whose seat is gone, as after a restart: it would only try again and again."""
    await receive()
    offered = scope.get("subprotocols") or [None]
    await send({"type": "websocket.accept", "subprotocol": offered[0]})
    await send({"type": "websocket.send", "bytes": message(path).SerializeToString()})
    await send({"type": "websocket.close", "code": 1000})


class Sockets:
    """Those of one process."""

    def __init__(self, app: ASGIApp, pace: Pace | None = None) -> None:
        self._app = app
        self._pace = pace or Pace()

    async def serve(self, seat: Seat, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, until its browser, its seat or what it says ends it."""
        socket = _Socket(seat, receive, send, self._pace)
        loop = asyncio.get_running_loop()

        def ended() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(socket.ended.set)

        seat.at_end(ended)
        try:
            await self._app(_with_own_session(scope, seat), socket.receive, socket.send)
        finally:
            seat.forget(ended)
            socket.left()
            self._left(socket, loop)

    def _left(self, socket: _Socket, loop: asyncio.AbstractEventLoop) -> None:
        if socket.session is None:
            return
        if socket.ended.is_set():
            self._end(socket.seat, socket.session)
        else:
            loop.call_later(_COMES_BACK_S, self._end, socket.seat, socket.session)

    def _end(self, seat: Seat, session: str) -> None:
        """Free what a session holds, unless its browser has come back."""
        if runtime.exists() and not runtime.get_instance().is_active_session(session):
            runtime.get_instance().close_session(session)
            seat.sessions.discard(session)


class _Socket:
    """What is received and sent, watched."""

    def __init__(self, seat: Seat, receive: Receive, send: Send, pace: Pace) -> None:
        self.seat = seat
        self._pace = pace
        self._parts: set[str] = set()
        self.session: str | None = None
        self.ended = asyncio.Event()
        self._receive = receive
        self._send = send
        self._closed = False

    async def receive(self) -> Message:
        """What the browser says, less looks that come too early; that it is gone, where the seat has ended or it says
        what no page of ours says."""
        while True:
            found = await self._heard()
            part = _looks_at(found)
            if part is None:
                return found
            if len(part) > _LONGEST_PART or len(self._parts | {part}) > _MOST_PARTS:
                return found  # of no page of ours: nothing of it is kept, and Streamlit knows no such part
            # Of several live parts of a page each has its own pace, or the first would always be before the others.
            self._parts.add(part)
            if self._pace.may_look((self, part)):
                return found

    async def _heard(self) -> Message:
        if self._closed:
            return {"type": "websocket.disconnect", "code": 1000}
        heard, ended = asyncio.ensure_future(self._receive()), asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait({heard, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return await self._close(1000, self.seat.way_out)
            found = heard.result()
        finally:
            for one in (heard, ended):
                one.cancel()
        code = _fault_of(found)
        if code is not None:
            _LOG.warning("a connection said what no page of ours says; it was closed with %d", code)
            return await self._close(code)
        return found

    def left(self) -> None:
        """It looks at nothing any more."""
        for part in self._parts:
            self._pace.left((self, part))

    async def send(self, sent: Message) -> None:
        """To the browser, unless the connection is closed already; the session is told on the way."""
        if self._closed:
            return
        if self.session is None and sent["type"] == "websocket.send" and sent.get("bytes"):
            told = ForwardMsg.FromString(sent["bytes"])
            if told.WhichOneof("type") == "new_session":
                self.session = told.new_session.initialize.session_id
                self.seat.sessions.add(self.session)
        if _is_the_end(sent):
            for part in self._parts:
                self._pace.looked((self, part))
        if sent["type"] == "websocket.close":
            self._closed = True
        await self._send(sent)

    async def _close(self, code: int, path: str | None = None) -> Message:
        self._closed = True
        with suppress(Exception):  # who has left already is told nothing
            if path is not None:
                await self._send({"type": "websocket.send", "bytes": message(path).SerializeToString()})
            await self._send({"type": "websocket.close", "code": code})
        return {"type": "websocket.disconnect", "code": code}


class Uploads:
    """Files that open pages send: Streamlit holds them in memory, and asks neither whose nor how many they are.

    Args:
        limit_bytes: Of one file.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes + _FRAME
        self._coming: dict[Seat, int] = {}

    async def serve(self, seat: Seat, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a file through, or say why not."""
        size = _size_of(scope) if scope["method"] == "PUT" else 0
        refusal = self._refusal(seat, scope["path"].split("/")[3:4], size)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        self._coming[seat] = self._coming.get(seat, 0) + (size or 0)
        try:
            await self._app(scope, receive, send)
        finally:
            self._coming[seat] -= size or 0
            if not self._coming[seat]:
                del self._coming[seat]

    def _refusal(self, seat: Seat, session: list[str], size: int | None) -> Response | None:
        if not session or session[0] not in seat.sessions:
            return PlainTextResponse("no page of yours is open there\n", 403)
        if size is None:
            return PlainTextResponse("expected Content-Length\n", 411)
        if not size:
            return None
        coming = self._coming.get(seat, 0) + size
        if coming + sum(map(_held, seat.sessions)) > _FILES_OF_ONE * self._limit:
            return PlainTextResponse("your open pages hold too many files; take some away\n", 413)
        if sum(self._coming.values()) + size + _held(None) > _FILES_OF_ALL * self._limit:
            return PlainTextResponse("too many files are being sent just now; try again later\n", 503)
        return None


def _held(session: str | None) -> int:
    """Bytes that Streamlit holds of a session's files, or of all."""
    files: dict[str, dict[str, Any]] = getattr(runtime.get_instance().uploaded_file_mgr, "file_storage", {})
    some = list(files.values()) if session is None else [files.get(session, {})]
    return sum(len(one.data) for held in some for one in list(held.values()))


def _size_of(scope: Scope) -> int | None:
    said = HTTPConnection(scope).headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None


def _with_own_session(scope: Scope, seat: Seat) -> Scope:
    """Without the session it asks to take up, where that is not one of its seat's."""
    headers = [(name, value) for name, value in scope["headers"] if name != _PROTOCOLS]
    asked = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == _PROTOCOLS)
    if not asked:
        return scope
    parts = [one.strip() for one in asked.split(",")]
    if len(parts) > 2 and parts[2] not in seat.sessions:
        parts = parts[:2]
    return {**scope, "headers": [*headers, (_PROTOCOLS, ", ".join(parts).encode("latin-1"))]}


def _looks_at(heard: Message) -> str | None:
    """The part of a page that asks by itself to be drawn anew, and brings nothing that a person did."""
    if heard["type"] != "websocket.receive" or heard.get("bytes") is None:
        return None
    said = BackMsg.FromString(heard["bytes"])
    is_look = said.WhichOneof("type") == "rerun_script" and said.rerun_script.is_auto_rerun
    return said.rerun_script.fragment_id if is_look else None


def _is_the_end(sent: Message) -> bool:
    """Whether a script has run to its end; such a message is a short one."""
    data = sent.get("bytes") or b""
    return 0 < len(data) < _SHORT and ForwardMsg.FromString(data).WhichOneof("type") == "script_finished"


def _fault_of(heard: Message) -> int | None:
    """Why what was heard is nothing a page says, as a code of the protocol."""
    if heard["type"] != "websocket.receive":
        return None
    if heard.get("bytes") is None:
        return 1003
    try:
        return None if BackMsg.FromString(heard["bytes"]).WhichOneof("type") else 1007
    except Exception:  # noqa: BLE001 - whatever its decoder says
        return 1007
