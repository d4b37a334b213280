"""A connection to PostgreSQL that gives a silent server up.

A server that was frozen keeps its connections: the kernel acknowledges what is sent to it, no keepalive fails, its own
timeouts do not run, and a client waits for ever. Here who hears nothing at all for ``silence_s`` closes the
connection, and that is a lost connection like any other.
Neighbours: ``engine`` opens these; ``schema`` waits for migrations as long as they take.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import psycopg
from sqlalchemy import Connection

# A writer waits for its turn so long, as with SQLite (``engine``), or less.
SILENCE_S = 15.0


class Impatient(psycopg.Connection[Any]):
    """A connection with a limit on silence; ``silence_s`` None is none."""

    silence_s: float | None = SILENCE_S

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """What ``gen`` returns, which asks for the socket to become ready.

        Raises: OperationalError when nothing came for too long; the connection is closed then.
        """
        return super().wait(self._while_it_speaks(gen), *arguments, **options)

    def _while_it_speaks(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        # Whoever drives this comes by several times a second, with nothing where the socket is not ready.
        heard, ready = monotonic(), None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                return end.value
            ready = yield wanted
            if ready:
                heard = monotonic()
            elif self.silence_s is not None and monotonic() - heard > self.silence_s:
                self.pgconn.finish()
                raise psycopg.OperationalError(f"the server has said nothing for {self.silence_s:.0f} s")


def impatiently(_dialect: object, _record: object, given: list[Any], named: dict[str, Any]) -> Impatient:
    """A connection for the pool of an engine."""
    return Impatient.connect(*given, **named)


@contextmanager
def however_long(connection: Connection) -> Iterator[None]:
    """Within the block the server may work in silence as long as it likes."""
    driver: object = connection.connection.dbapi_connection
    if not isinstance(driver, Impatient):
        yield
        return
    driver.silence_s = None
    try:
        yield
    finally:
        del driver.silence_s  # back to that of all
