"""The port a service listens on, and how uvicorn serves there.

Neighbours: each service's ``serve`` opens it before anything else can fail.
"""

from __future__ import annotations

import ipaddress
import resource
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from finetune30.errors import SettingsError
from finetune30.settings import Settings
from finetune30.web.guard import Guarded

_LAST_S = 30
_LARGEST_HEADERS = 64 * 1024
_MOST_FILES = 8192


def address_of(listener: socket.socket, *, secure: bool) -> str:
    """Where the service is reached."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A socket on which somebody may serve.

    Raises: OSError.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    # TCP by name: asyncio sends small packets at once only on sockets that say so, else each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def check_certificate(settings: Settings) -> None:
    """Refuse half of what HTTPS needs, and what is no certificate or not with this key.

    Raises: SettingsError.
    """
    if (settings.tls_certfile is None) != (settings.tls_keyfile is None):
        raise SettingsError(
            "one of TLS_CERTFILE and TLS_KEYFILE is set, expected both or none", where="environment or .env"
        )
    for name, path in (("TLS_CERTFILE", settings.tls_certfile), ("TLS_KEYFILE", settings.tls_keyfile)):
        if path is not None and not path.is_file():
            raise SettingsError(f"{name} is no file", where=str(path), hint="expected a file in PEM")
    if settings.tls_certfile is not None:
        try:
            # Without a way to ask: a key that needs a password would wait for somebody at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                settings.tls_certfile, settings.tls_keyfile, password=lambda: b""
            )
        except (OSError, ValueError) as cause:  # an SSLError is an OSError
            raise SettingsError(
                f"cannot be read as a certificate and its key: {_why(cause)}",
                where="TLS_CERTFILE, TLS_KEYFILE",
                hint="expected PEM: the certificate (and those between it and the root), and its key without password",
            ) from cause


def _why(cause: OSError | ValueError) -> str:
    reason = getattr(cause, "reason", None) or getattr(cause, "strerror", None) or str(cause)
    return str(reason).replace("_", " ").lower()


@contextmanager
def signals_end(server: uvicorn.Server) -> Iterator[None]:
    """A signal ends the server and not the process, though uvicorn raises it once more: the rest ends in order."""

    def end(*_: object) -> None:
        server.should_exit = True

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def config_of(app: ASGIApp, settings: Settings, *, lifespan: Literal["on", "off"] = "on") -> uvicorn.Config:
    """How uvicorn serves an app behind its gate."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        ws="none",
        lifespan=lifespan,
        loop="finetune30.web.guard:Loop",
        http=Guarded,
        h11_max_incomplete_event_size=_LARGEST_HEADERS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_LAST_S,
        limit_concurrency=1000,
        ssl_certfile=settings.tls_certfile,
        ssl_keyfile=settings.tls_keyfile,
    )


def allow_files() -> None:
    """As many open files as this user may have: each connection is one, and 1024 are the usual few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
