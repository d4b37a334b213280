"""Clients for the benchmarks of services: keep-alive connections to 127.0.0.1 in one thread, ended by the clock.

As little work a request as can be, for it shares the processor with what it measures: blocking sockets and one
selector, about 30 microseconds an answer, a quarter of what ``asyncio``'s streams take. What it took is told.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Any

CLIENTS = 32
_PATIENCE_S = 120.0
_LOST = b"the connection was closed before the answer was whole"


@dataclass(frozen=True)
class Effort:
    """How much is measured: so many rounds that count, each so long."""

    rounds: int
    lasting_s: float


@dataclass(frozen=True)
class Load:
    """What came back.

    Attributes:
        seconds: Of each request that was answered with 200, ascending.
        rate: Such answers a second.
        failed: Other answers, and connections that were closed instead.
        fault: The first of those, as it came.
        client_s: Processor seconds of the clients.
    """

    seconds: Sequence[float]
    rate: float
    failed: int
    fault: str
    client_s: float

    def share(self, part: float) -> float:
        """The seconds within which this part of the requests was answered."""
        return self.seconds[min(len(self.seconds) - 1, int(part * len(self.seconds)))]


def run(port: int, path: str, bodies: Sequence[Any], *, clients: int, lasting_s: float) -> Load:
    """Ask again and again, each client its next question when it has its answer; they go through the bodies together.

    Raises: TimeoutError if nothing comes back for two minutes.
    """
    turns = cycle([_request(path, body) for body in bodies])
    seconds: list[float] = []
    failed, fault = 0, b""
    clock, worked = time.perf_counter, time.thread_time()
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            _begin(selector, port, next(turns))
        began = clock()
        ends, asked = began + lasting_s, clients
        while asked:
            for client in _ready(selector):
                answer = client.hear()
                if answer is None:
                    continue
                now = clock()
                if answer[9:12] == b"200":
                    seconds.append(now - client.asked_at)
                else:
                    failed, fault = failed + 1, fault or answer
                if now < ends:
                    if answer is _LOST:
                        selector.unregister(client.socket)
                        client.socket.close()
                        _begin(selector, port, next(turns))
                    else:
                        client.ask(next(turns))
                else:
                    selector.unregister(client.socket)
                    client.socket.close()
                    asked -= 1
        took_s = clock() - began
    told = fault[-500:].decode(errors="replace")
    return Load(sorted(seconds), len(seconds) / took_s, failed, told, time.thread_time() - worked)


class _Client:
    """One connection; its socket blocks, but is read only when there is something."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked_at = 0.0
        self._heard = b""

    def ask(self, request: bytes) -> None:
        self._heard = b""
        self.asked_at = time.perf_counter()
        with suppress(BrokenPipeError, ConnectionResetError):  # hearing tells it
            self.socket.sendall(request)

    def hear(self) -> bytes | None:
        """The whole answer, or None as long as some of it is missing."""
        try:
            some = self.socket.recv(65536)
        except ConnectionResetError:
            some = b""
        if not some:
            return _LOST
        self._heard += some
        return self._heard if _is_whole(self._heard) else None


def _begin(selector: selectors.BaseSelector, port: int, request: bytes) -> None:
    client = _Client(port)
    selector.register(client.socket, selectors.EVENT_READ, client)
    client.ask(request)


def _ready(selector: selectors.BaseSelector) -> Iterator[_Client]:
    events = selector.select(_PATIENCE_S)
    if not events:
        raise TimeoutError(f"no answer for {_PATIENCE_S:.0f} seconds")
    for key, _ in events:
        yield key.data


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = answer[:end].lower()
    at = head.find(b"content-length:")
    if at < 0:  # chunked
        return answer.endswith(b"0\r\n\r\n")
    line = head.find(b"\r\n", at)
    return len(answer) >= end + 4 + int(head[at + 15 : line if line > 0 else end])


def _request(path: str, body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    return head.encode() + b"\r\n\r\n" + content
