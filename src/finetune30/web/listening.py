"""The port a service listens on, and how uvicorn serves there.

Neighbours: each service's ``serve`` opens it before anything else can fail.
"""

from __future__ import annotations

import ipaddress
import resource
import socket
from contextlib import suppress
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
    """Refuse half of what HTTPS needs.

    Raises: SettingsError.
    """
    if (settings.tls_certfile is None) != (settings.tls_keyfile is None):
        raise SettingsError(
            "one of TLS_CERTFILE and TLS_KEYFILE is set, expected both or none", where="environment or .env"
        )
    for name, path in (("TLS_CERTFILE", settings.tls_certfile), ("TLS_KEYFILE", settings.tls_keyfile)):
        if path is not None and not path.is_file():
            raise SettingsError(f"{name} is no file", where=str(path), hint="expected a file in PEM")


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
