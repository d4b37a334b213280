"""Two readers on one connection: an app that tells what it was asked, and what no app may be asked."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
import pytest
import uvicorn

from finetune30.settings import Settings
from finetune30.web.listening import config_of, listen
from finetune30.web.ordinary import head_of

PATIENCE_S = 20.0
HOST = b"Host: localhost\r\n"


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what arrived; its path says how."""
    path, body = scope["path"], b""
    if path != "/early":
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
    told = json.dumps({"method": scope["method"], "path": path, "body": body.decode("latin-1")}).encode()
    headers = [(b"content-type", b"application/json")]
    if path == "/slow":
        await asyncio.sleep(0.3)
    if path == "/split":
        headers.append((b"x-a", b"a\r\nx-b: b"))
    if path != "/stream":
        headers.append((b"content-length", b"%d" % len(told)))
    status = 204 if path == "/nothing" else 200
    await send({"type": "http.response.start", "status": status, "headers": [] if status == 204 else headers})
    if path == "/stream":
        for at in range(0, len(told), 7):
            await send({"type": "http.response.body", "body": told[at : at + 7], "more_body": True})
        told = b""
    await send({"type": "http.response.body", "body": b"" if status == 204 else told})


@contextmanager
def serving(**changes: Any) -> Iterator[int]:
    """Where ``telling`` is served, by the server that all of ours have."""
    listener = listen("127.0.0.1", 0)
    config = config_of(telling, Settings(_env_file=None), lifespan="off")
    vars(config).update(changes)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until = time.monotonic() + PATIENCE_S
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    yield int(listener.getsockname()[1])
    server.should_exit = True
    thread.join(PATIENCE_S)
    listener.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """One for all."""
    with serving() as found:
        yield found


class Talk:
    """One connection, read by h11 as a client."""

    def __init__(self, port: int, method: bytes = b"POST") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._left = b""
        self._method = method

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def answer(self) -> tuple[int, bytes, dict[bytes, bytes]]:
        """The next one: its status, body and headers."""
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=self._method, target="/", headers=[("Host", "x")]))
        reader.send(h11.EndOfMessage())
        if self._left:  # of nothing it would think that the other side has gone
            reader.receive_data(self._left)
        status, body, headers = 0, b"", {}
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                reader.receive_data(self.socket.recv(65_536))
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, dict(event.headers)
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._left = reader.trailing_data[0]
                return status, body, headers

    def told(self) -> tuple[str, str, str]:
        """Method, path and body of the request that was answered."""
        status, body, _ = self.answer()
        assert status == 200
        found = json.loads(body)
        return found["method"], found["path"], found["body"]


@pytest.fixture
def talk(port: int) -> Iterator[Talk]:
    """A connection of the test's own."""
    with Talk(port) as found:
        yield found


def request(path: str, body: bytes = b"", *more: bytes, method: str = "POST") -> bytes:
    """A request that one reader or the other takes as it stands."""
    head = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*head, *more, b"", body])


CHUNKED = b"POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n"


def test_requests_of_both_readers_follow_each_other_on_one_connection(talk: Talk) -> None:
    for _ in range(3):
        talk.socket.sendall(request("/a", b"one"))
        assert talk.told() == ("POST", "/a", "one")
        talk.socket.sendall(CHUNKED)
        assert talk.told() == ("POST", "/c", "abc")
        half = request("/h", b"two")
        talk.socket.sendall(half[:20])
        time.sleep(0.05)
        talk.socket.sendall(half[20:])
        assert talk.told() == ("POST", "/h", "two")
        talk.socket.sendall(request("/b", b"x" * 200_000)[:90])
        time.sleep(0.05)
        talk.socket.sendall(request("/b", b"x" * 200_000)[90:])
        assert talk.told() == ("POST", "/b", "x" * 200_000)


def test_requests_that_come_together_are_answered_in_their_order(talk: Talk) -> None:
    some = [request("/slow", b"1"), request("/a", b"2"), CHUNKED, request("/stream", b"3"), request("/a")]
    talk.socket.sendall(b"".join(some))
    expected = [("/slow", "1"), ("/a", "2"), ("/c", "abc"), ("/stream", "3"), ("/a", "")]
    assert [talk.told()[1:] for _ in some] == expected
    talk.socket.sendall(request("/slow", b"1"))
    time.sleep(0.1)
    talk.socket.sendall(request("/a", b"2")[:30])
    time.sleep(0.05)
    talk.socket.sendall(request("/a", b"2")[30:])
    assert [talk.told()[1:] for _ in range(2)] == [("/slow", "1"), ("/a", "2")]


@pytest.mark.parametrize("size", [1, 100, 70_000])
def test_a_request_that_drips_is_read_as_one_that_comes_at_once(talk: Talk, size: int) -> None:
    whole = request("/a", b"y" * 100 if size < 1000 else b"y" * 300_000)
    for at in range(0, len(whole), size):
        talk.socket.sendall(whole[at : at + size])
    assert talk.told()[2] == "y" * (100 if size < 1000 else 300_000)


INNER = b"GET /inner HTTP/1.1\r\nHost: localhost\r\n\r\n"
OUTER = {
    "a head": (b"POST /a HTTP/1.1\r\nX: ", INNER, b""),
    "a body": (b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(INNER), INNER, b""),
    "a body of h11's": (
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: x\r\nContent-Length: %d\r\n\r\n" % len(INNER),
        INNER,
        b"",
    ),
    "a chunk": (
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(INNER),
        INNER,
        b"\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("parts", OUTER.values(), ids=OUTER)
def test_what_looks_like_a_request_within_another_is_none(talk: Talk, parts: tuple[bytes, ...]) -> None:
    for part in parts:
        talk.socket.sendall(part)
        time.sleep(0.05)  # each in a packet of its own
    talk.socket.sendall(request("/a", b"after"))
    assert talk.told()[1] == "/a"
    assert talk.told() == ("POST", "/a", "after")


def test_a_body_nobody_wanted_is_no_request(talk: Talk) -> None:
    """Who is answered before the end of his body does not have the rest of it taken for his next request."""
    within = request("/within", b"")
    head = request("/early", b"z" * 1000 + within)
    cut = head.index(b"z") + 500
    talk.socket.sendall(head[:cut])
    assert talk.told()[1] == "/early"
    time.sleep(0.05)
    talk.socket.sendall(head[cut : cut + 100])
    time.sleep(0.05)
    talk.socket.sendall(head[cut + 100 :] + request("/a", b"after"))
    assert talk.told() == ("POST", "/a", "after")


def test_heads_and_nothing_have_no_body(port: int, talk: Talk) -> None:
    with Talk(port, b"HEAD") as head:
        for path in ("/a", "/stream", "/a"):
            head.socket.sendall(request(path, method="HEAD"))
            status, body, headers = head.answer()
            assert (status, body) == (200, b"")
            assert (b"content-length" in headers) == (path == "/a")
    talk.socket.sendall(request("/nothing") + request("/a", b"after"))
    assert talk.answer()[:2] == (204, b"")
    assert talk.told()[2] == "after"


def test_a_header_of_ours_that_would_be_two_is_not_sent(talk: Talk) -> None:
    talk.socket.sendall(request("/split"))
    assert b"x-b" not in talk.socket.recv(65_536)


@pytest.mark.parametrize("asked", [request("/a"), CHUNKED], ids=["ordinary", "other"])
def test_s47_who_has_asked_and_asks_no_more_is_given_up(asked: bytes) -> None:
    with serving(timeout_keep_alive=1) as port, Talk(port) as talk:
        for _ in range(3):
            talk.socket.sendall(asked)
            talk.told()
        assert talk.socket.recv(1) == b""


def test_s47_an_answer_may_take_longer_than_an_idle_connection_lasts() -> None:
    with serving(timeout_keep_alive=0.1) as port, Talk(port) as talk:
        talk.socket.sendall(request("/a") + request("/slow", b"1"))
        assert talk.told()[1] == "/a"
        assert talk.told()[1] == "/slow"


REFUSED = {
    "CR alone": b"POST /a HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "space before the colon": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n\r\n12345",
    "a name with a space": b"POST /a HTTP/1.1\r\n" + HOST + b"A B: c\r\n\r\n",
    "no name": b"POST /a HTTP/1.1\r\n" + HOST + b": c\r\n\r\n",
    "begins with a space": b"POST /a HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "NUL in a value": b"POST /a HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "NUL in a name": b"POST /a HTTP/1.1\r\n" + HOST + b"X\0: a\r\n\r\n",
    "two lengths": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    "two lengths in one": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 6\r\n\r\n123456",
    "a length with a sign": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\n12345",
    "a negative length": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\n12345",
    "a length in hex": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 0x5\r\n\r\n12345",
    "no length": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n\r\n12345",
    "another coding": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding twice": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    "a hidden coding": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "no chunk": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a negative chunk": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "no host": b"POST /a HTTP/1.1\r\nX: y\r\n\r\n",
    "two hosts": b"POST /a HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "no version": b"POST /a\r\n" + HOST + b"\r\n",
    "another protocol": b"POST /a RTSP/1.0\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a space in the target": b"POST /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a byte in the target": b"POST /\xe9 HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"POST  /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method with a space": b"PO ST /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a head without end": b"POST /a HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 200_000,
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("second", [False, True], ids=["first", "after another"])
def test_s47_what_is_no_http_reaches_no_route(talk: Talk, data: bytes, second: bool) -> None:
    assert head_of(data) is None
    if second:
        talk.socket.sendall(request("/a"))
        assert talk.told()[1] == "/a"
    talk.socket.sendall(data)
    answer = b""
    try:
        while part := talk.socket.recv(65_536):
            answer += part
    except ConnectionResetError:
        pass
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 501")) or not answer, answer
    if answer:
        assert b"application/problem+json" in answer
        assert answer.count(b"HTTP/1.1 ") == 1
