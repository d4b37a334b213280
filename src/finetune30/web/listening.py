"""The port a service listens on.

Neighbours: each service's ``serve`` opens it before anything else can fail.
"""

from __future__ import annotations

import ipaddress
import socket

from finetune30.errors import SettingsError
from finetune30.settings import Settings


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
