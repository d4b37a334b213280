"""A server that says what a test wants: other services, proxies, broken ones. Real sockets, one answer a connection."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any


class Canned:
    """Answers with the given bytes in their order, the last one again and again; keeps what it was sent.

    Args:
        tls: With it the server speaks HTTPS.
    """

    def __init__(self, *answers: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self._answers: Sequence[bytes] = answers
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Canned:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    self._answer(connection)
                except OSError:
                    continue

    def _answer(self, connection: socket.socket) -> None:
        if self._tls is None:
            self._talk(connection)
            return
        with self._tls.wrap_socket(connection, server_side=True) as wire:
            self._talk(wire)

    def _talk(self, wire: socket.socket) -> None:
        heard = b""
        while b"\r\n\r\n" not in heard:
            if not (piece := wire.recv(65536)):
                return
            heard += piece
            if not heard[:1].isalpha():  # it speaks TLS to a server that does not
                wire.sendall(self._answers[0])
                return
        head, _, body = heard.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
        while len(body) < length:
            body += wire.recv(65536)
        self.requests.append(head.decode() + "\n\n" + body.decode())
        wire.sendall(self._answers[min(len(self.requests), len(self._answers)) - 1])


def answer(status: int, body: Any, kind: str = "application/json", **headers: str) -> bytes:
    """A whole answer."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Told\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode() + content


def problem(status: int, code: str, **headers: str) -> bytes:
    """A refusal as our API words them."""
    body = {"status": status, "code": code, "detail": "not now", "where": None, "hint": None, "request_id": "r1"}
    return answer(status, body, "application/problem+json", **headers)


def stream(*events: tuple[int | None, str, Any], cut: bytes = b"") -> bytes:
    """A stream of events that is not ended in order.

    Args:
        cut: Comes last: half an event.
    """
    told = b": ready\n\n"
    for number, kind, data in events:
        place = f"id: {number}\n" if number is not None else ""
        told += f"{place}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + told + cut
