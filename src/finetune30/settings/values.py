"""What the value of a variable may be: each returns it as it is used, or says what was expected.

Neighbours: ``Settings`` names one for each field. Raises: ValueError, all of them; a secret is never repeated.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DATABASES = ("sqlite:///", "postgresql+psycopg://", "postgresql://", "postgres://")
_BROKERS = ("redis", "rediss", "redis+socket", "amqp", "amqps")
# A queue's name stands in keys of the broker, in commands and in tables.
_QUEUE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# As a Host header names them, without port.
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_SHORTEST_TOKEN = 16
_SHORTEST_KEY = 32


def folder(path: Path) -> Path:
    """A path of this machine."""
    if "\0" in str(path):
        raise ValueError("expected a path, found a NUL character")
    return path.expanduser()


def time_zone(name: str) -> str:
    """A zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as cause:
        raise ValueError("expected a time zone such as Asia/Taipei or UTC") from cause
    return name


def database(url: str) -> str:
    """Address of a database."""
    if not url.startswith(_DATABASES):
        raise ValueError("expected sqlite:///path/to/file.db or postgresql://user:password@host/name")
    return url


def broker(url: str) -> str:
    """Address of a broker."""
    expected = (
        "expected redis://host:6379/0, rediss://, redis+socket:///path/to/redis.sock or amqp://user:password@host//"
    )
    try:
        parts = urlsplit(url)
        _ = parts.port  # not a number, or too large
    except ValueError:
        raise ValueError(expected) from None  # the cause repeats the value
    place = parts.path.strip("/") if parts.scheme == "redis+socket" else parts.hostname
    if parts.scheme not in _BROKERS or not place:
        raise ValueError(expected)
    return url


def names(value: object) -> object:
    """``a, b`` as it stands in the environment, each name once."""
    return tuple(dict.fromkeys(part.strip() for part in value.split(","))) if isinstance(value, str) else value


def queues(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of queues."""
    if not names or not all(_QUEUE.fullmatch(name) for name in names):
        raise ValueError("expected names of lower-case letters, digits, - and _, with commas between: train,large")
    return names


def hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of hosts, without port."""
    if not all(_HOST.fullmatch(name) for name in names):
        raise ValueError("expected host names without port, with commas between: api.example.org,localhost")
    return names


def origins(names: tuple[str, ...]) -> tuple[str, ...]:
    """Pages that may call."""
    for name in names:
        scheme, _, host = name.partition("://")
        if scheme not in ("http", "https") or not _HOST.fullmatch(host.partition(":")[0]):
            raise ValueError("expected origins such as https://page.example.org, with commas between; never * or null")
    return names


def hub_ids(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the hub."""
    if not all(_HUB_ID.fullmatch(name) for name in names):
        raise ValueError("expected names of the hub, with commas between: bert-base-chinese,org/model")
    return names


def listener(name: str) -> str:
    """Where to listen."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        if _HOST.fullmatch(name):
            return name
        raise ValueError("expected an address of this machine such as 127.0.0.1, 0.0.0.0 or ::1") from None


def device(name: str) -> str:
    """A device of torch."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise ValueError("expected auto, cpu, cuda, cuda:N or mps")
    return name


def proxies(names: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses or networks."""
    try:
        return tuple(str(ipaddress.ip_network(name)) for name in names)
    except ValueError:
        raise ValueError("expected addresses or networks such as 10.0.0.0/8, with commas between") from None


def receivers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Hosts or networks."""
    found = []
    for name in names:
        try:
            found.append(str(ipaddress.ip_network(name.strip("[]"))))
        except ValueError:
            if not _HOST.fullmatch(name):
                raise ValueError(
                    "expected host names and networks, with commas between: hooks.intra,10.1.0.0/16"
                ) from None
            found.append(name)
    return tuple(found)


def token(text: str) -> str:
    """A token long enough not to be guessed."""
    if len(text) < _SHORTEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"expected {_SHORTEST_TOKEN} or more letters and digits")
    return text


def key(text: str) -> str:
    """A key long enough not to be guessed."""
    if len(token(text)) < _SHORTEST_KEY:
        raise ValueError(f"expected {_SHORTEST_KEY} or more letters and digits")
    return text
