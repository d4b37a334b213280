"""Receivers of webhooks, as good and as bad as real ones: HTTP, TLS, and bare sockets that misbehave."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Got:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came, and what is answered to the next ones.

    Attributes:
        answers: Status and headers, in turn; then 204.
        hold: Requests wait for it before they are answered.
        names: What clients called the server in their TLS greeting.
    """

    port: int = 0
    scheme: str = "http"
    got: list[Got] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    names: list[str | None] = field(default_factory=list)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        """Where it is."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    @property
    def ids(self) -> list[str]:
        """The messages that came."""
        return [one.headers["webhook-id"] for one in self.got]


@contextmanager
def receiving(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver while the block runs."""
    found = Receiver(scheme="https" if tls else "http")
    found.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.got.append(Got(self.path, headers, body))
            found.came.release()
            assert found.hold.wait(30)
            status, more = found.answers.pop(0) if found.answers else (204, {})
            with suppress(OSError):
                self.send_response(status)
                for name, value in ({"Content-Length": "0"} | more).items():
                    self.send_header(name, value)
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: Any) -> None:
            pass  # a client that does not like our certificate

    server = Server(("127.0.0.1", port), Handler)
    if tls:

        def note(_socket: Any, name: str | None, _context: Any) -> None:
            found.names.append(name)

        tls.sni_callback = note
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def misbehaving(what: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[str]]]:
    """A server that does this with each connection; its URL, and how each ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(30)
                    what(connection)
                    ends.append("done")
                except OSError as fault:
                    ends.append(type(fault).__name__)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook", ends
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def resets(connection: socket.socket) -> None:
    """The connection is torn."""
    connection.recv(10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drips(connection: socket.socket) -> None:
    """A byte of a header now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    pause = threading.Event()
    while not pause.wait(0.05):
        connection.sendall(b"a")


def says_nothing(connection: socket.socket) -> None:
    """Until the other side goes."""
    while connection.recv(65_536):
        pass


def babbles(connection: socket.socket) -> None:
    """No HTTP."""
    connection.recv(65_536)
    connection.sendall(b"220 mail.example.org ESMTP\r\n" * 10)


def floods(connection: socket.socket) -> None:
    """A body without end."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def floods_headers(connection: socket.socket) -> None:
    """Headers without end."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def continues(connection: socket.socket) -> None:
    """100 Continue, for ever."""
    connection.recv(65_536)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
