"""Canaries: secrets of which there is only one in the world, and a look for them in everything that is left behind.

Neighbours: ``test_canaries`` lets a whole system live for a while and looks.
"""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

_SHORTEST = 24


class Canaries:
    """All secrets of a system, each under the name of what it is."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def new(self, name: str) -> str:
        """A secret that stands nowhere else; long enough for a key."""
        return self.keep(name, f"Kq7 {secrets.token_urlsafe(36)}".replace(" ", secrets.token_hex(2)))

    def keep(self, name: str, value: str) -> str:
        """One that somebody else made, such as a token."""
        assert len(value) >= _SHORTEST, name
        self._known[f"{name} {len(self._known)}"] = value
        return value

    def keep_token(self, name: str, token: str) -> None:
        """A token; how a JWT begins is the same for all, so its end and its signature are looked for."""
        if token.count(".") == 2:
            _, claims, signature = token.split(".")
            self.keep(f"claims of {name}", claims[-60:])
            self.keep(f"signature of {name}", signature)
        else:
            self.keep(name, token)

    def hits(self, where: str, text: bytes) -> Iterator[str]:
        """Where a secret stands in a text, in any of its forms; never the secret itself."""
        for name, value in self._known.items():
            for form, needle in _forms(value):
                if needle in text:
                    yield f"{name} ({form}) in {where}"

    def all_hits(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """All of them."""
        return [hit for where, text in places for hit in self.hits(where, text)]


def _forms(value: str) -> Iterator[tuple[str, bytes]]:
    data = value.encode()
    yield "as it is, or its first 24 characters", data[:_SHORTEST]
    yield "its last 24 characters", data[-_SHORTEST:]
    for safe in ("", "/"):
        yield "url-encoded", quote(value, safe=safe)[:_SHORTEST].encode()
    for shift in range(3):  # wherever it begins within what was encoded
        inner = data[shift : shift + (len(data) - shift) // 3 * 3]
        yield f"base64, {shift}", base64.b64encode(inner)[: 4 * (len(inner) // 3)][:32]
        yield f"base64url, {shift}", base64.urlsafe_b64encode(inner)[:32]
    yield "hex", data.hex()[: 2 * _SHORTEST].encode()


class CommandLines(threading.Thread):
    """Every command line this machine shows while it runs; they are there for all to read."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of everything in a folder."""
    for path in sorted(folder.rglob("*")):
        yield f"the name {path.name}", str(path).encode()
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(folder)), path.read_bytes()


def rows_of(url: str) -> Iterator[tuple[str, bytes]]:
    """Each table of a PostgreSQL database."""
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            rows = connection.execute(f'SELECT to_json(t)::text FROM "{name}" t').fetchall()  # noqa: S608
            yield f"table {name}", "\n".join(row for (row,) in rows).encode()


def keys_of(client: redis.Redis) -> Iterator[tuple[str, bytes]]:
    """Each key of a Redis with what it holds, as it is and as it is kept."""
    for key in client.scan_iter(count=1000):
        yield f"a key of Redis: {key[:40]!r}", key + (client.dump(key) or b"")
        if client.type(key) == b"list":
            yield f"a list of Redis: {key[:40]!r}", b"\n".join(client.lrange(key, 0, -1))
        elif client.type(key) == b"hash":
            yield f"a hash of Redis: {key[:40]!r}", b"\n".join(client.hvals(key))
        elif client.type(key) == b"string":
            yield f"a string of Redis: {key[:40]!r}", client.get(key) or b""
