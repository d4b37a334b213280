"""The ordinary request of HTTP/1.1, read by one expression and answered in one piece.

h11 reads everything, a character class at a time, and that takes longer than most routes here do. What nearly every
client sends (a whole head at once, a body of known length or none, a connection that stays) is a small part of what
may be sent, so only that part is read here, and only where it means the same to h11; anything else (half a head,
chunks, ``Expect``, ``Upgrade``, ``Connection: close``, HTTP/1.0, a header twice that may stand once) is h11's to judge.
Neighbours: ``guard`` asks here first; tests compare both readers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, RequestResponseCycle

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# Possessive (++): what does not match is known after one look, however long it is.
_HEAD = re.compile(
    rb"([A-Z]{1,20}+) (/[!-~]*+) HTTP/1\.1\r\n((?:" + _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)++)\r\n"
)
_LARGEST = 64 * 1024
# Not ordinary, whatever their value: they say where the request ends, or what the connection becomes.
_OTHERS = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"proxy-connection"})
_ONCE = frozenset({b"host", b"content-length", b"connection"})
_STATUS = {code: b"HTTP/1.1 %d %s\r\n" % (code, phrase) for code, phrase in STATUS_PHRASES.items()}
_BODILESS = frozenset({204, 304})
_JOINED = 64 * 1024
WHOLE = "finetune30.whole"
"""Extension of a scope: tells whether all of the body is here, so that nobody has to wait for it."""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before a body.

    Attributes:
        headers: Names in lower case.
        length: Bytes of the body.
        end: Bytes of the head itself.
    """

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    length: int
    end: int


def head_of(data: bytes) -> Head | None:
    """The head that ``data`` begins with; None where it is not an ordinary one, or not whole."""
    found = _HEAD.match(data)
    if found is None or found.end() > _LARGEST:
        return None
    headers = []
    once: dict[bytes, bytes] = {}
    for line in found[3].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        headers.append((name, value))
        if name in _ONCE:
            if name in once:
                return None
            once[name] = value
        elif name in _OTHERS:
            return None
    length = once.get(b"content-length", b"0")
    stays = once.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    # isdigit of bytes knows 0 to 9 only.
    if not stays or b"host" not in once or not length.isdigit() or len(length) > 18 or found[1] == b"CONNECT":
        return None
    return Head(found[1].decode(), found[2], headers, int(length), found.end())


class Cycle(RequestResponseCycle):
    """The answer to an ordinary request; its head goes out together with the beginning of its body."""

    def __init__(self, length: int, **options: Any) -> None:
        super().__init__(**options)
        self.more_body = length > 0
        if not length:
            self.message_event.set()
        self._head = b""
        self._chunked = False
        self._left = 0
        """Bytes of the answer that were said to come and did not yet."""

    def is_whole(self) -> bool:
        """Whether all of the request is here."""
        return not self.more_body

    async def send(self, message: Any) -> None:
        """A part of the answer."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._start(message)
        elif not self.response_complete:
            self._continue(message)
        else:
            raise RuntimeError("the answer is complete already")

    def _start(self, message: Any) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"expected the start of an answer, not {message['type']}")
        self.response_started = True
        length, lines = None, [_STATUS[message["status"]]]
        for name, value in (*self.default_headers, *message.get("headers", ())):
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
        bodiless = message["status"] in _BODILESS
        if length is None and not bodiless:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        count = len(lines) + 1
        head = b"".join((*lines, b"\r\n"))
        if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
            raise RuntimeError("a header of the answer holds the end of a line")
        if bodiless or self.scope["method"] == "HEAD":
            self._chunked, length = False, 0
        self._left = length or 0
        if self._chunked:
            self.transport.write(head)  # what has no length may take its time: a stream of events
        else:
            self._head = head

    def _continue(self, message: Any) -> None:
        if message["type"] != "http.response.body":
            raise RuntimeError(f"expected the body of an answer, not {message['type']}")
        body, more = cast(bytes, message.get("body", b"")), message.get("more_body", False)
        if self._chunked:
            parts = [b"%x\r\n%b\r\n" % (len(body), body)] if body else []
            self.transport.write(b"".join(parts if more else [*parts, b"0\r\n\r\n"]))
        else:
            self._write(body, more=more)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _write(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        self._left -= len(body)
        if self._left < 0 or (self._left and not more):
            raise RuntimeError("the answer is not as long as it said")
        head, self._head = self._head, b""
        if head and len(body) > _JOINED:
            self.transport.write(head)
            head = b""
        if head or body:
            self.transport.write(head + body)
