"""Where a server is, and whether a token may be sent there.

Neighbours: ``wire`` asks before the first request; ``settings`` checks ``API_URL`` in the same way.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import quote, urlsplit

from finetune30.errors import UsageError

HERE = "http://127.0.0.1:8000"


def server_url(url: str, name: str = "the address of the server") -> str:
    """``url`` without what it does not need: one spelling for each server.

    Raises: UsageError.
    """
    expected = UsageError(f"{name} is not one, expected http:// or https:// and a host", hint=f"such as {HERE}")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise expected from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or not url.isascii():
        raise expected
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(f"{name} holds a name, a password, ? or #, expected only scheme, host, port and path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme.lower()]
    return f"{parts.scheme.lower()}://{host}{'' if port in (None, usual) else f':{port}'}{parts.path.rstrip('/')}"


def check_secret_may_go(url: str, *, plain_http: bool) -> None:
    """Refuse an address on the way to which others could read a token or a password.

    Raises: UsageError.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or plain_http or _is_this_machine(parts.hostname or ""):
        return
    raise UsageError(
        "plain HTTP to another machine would show passwords and tokens to everybody on the way",
        where=url,
        hint="use https://; where the way is safe (a tunnel, a private network): --plain-http or PLAIN_HTTP=true",
    )


def segment(text: str) -> str:
    """An id as a part of a path; nothing in it leaves that part.

    Raises: UsageError.
    """
    if not text or set(text) == {"."} or len(text) > 300:
        raise UsageError(f"{text[:20]!r} is no id")
    return quote(text, safe="@")


def _is_this_machine(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
