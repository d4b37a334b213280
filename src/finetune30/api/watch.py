"""Whether what the service stands on is there: the database, the broker's port, room on the disks.

Asked at most once a second, however often somebody asks: whoever may ask must not be able to load them.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Engine, text
from starlette.concurrency import run_in_threadpool

from finetune30 import database
from finetune30.api.answers import Readiness
from finetune30.errors import Finetune30Error

_FRESH_S = 1.0
_PATIENCE_S = 2.0
# Less is full: a database wants some pages even to forget, and a card or a log is a few of them.
_ROOM = 50 << 20
_PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}


class Watch:
    """Looks, and remembers for a second what it saw."""

    def __init__(self, engine: Engine, broker_url: str | None, folders: Sequence[Path] = ()) -> None:
        self._folders = folders
        self._engine = engine
        self._broker_url = broker_url
        self._seen: Readiness | None = None
        self._at = -math.inf
        self._lock = asyncio.Lock()

    async def readiness(self) -> Readiness:
        """What is there, within about two seconds."""
        async with self._lock:
            if self._seen is None or time.monotonic() - self._at > _FRESH_S:
                self._seen = await self._look()
                self._at = time.monotonic()
            return self._seen

    async def _look(self) -> Readiness:
        has_database, has_broker, has_room = await asyncio.gather(
            self._asks_database(), self._knocks(), self._measures()
        )
        broker = "none" if has_broker is None else "ok" if has_broker else "down"
        status = "unavailable" if not has_database else "degraded" if broker == "down" or not has_room else "ready"
        return Readiness.model_validate(
            {
                "status": status,
                "database": "ok" if has_database else "down",
                "broker": broker,
                "disk": "ok" if has_room else "full",
            }
        )

    async def _measures(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return min([await run_in_threadpool(_free_bytes, one) for one in self._folders], default=_ROOM) >= _ROOM
        except (TimeoutError, OSError):
            return False

    async def _asks_database(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await run_in_threadpool(self._select)
        except (TimeoutError, Finetune30Error):
            return False
        return True

    def _select(self) -> None:
        with database.read(self._engine) as connection:
            connection.execute(text("SELECT 1 FROM users WHERE 1 = 0"))

    async def _knocks(self) -> bool | None:
        if self._broker_url is None:
            return None
        parts = urlsplit(self._broker_url)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if parts.scheme == "redis+socket":
                    _, writer = await asyncio.open_unix_connection(parts.path)
                else:
                    _, writer = await asyncio.open_connection(parts.hostname, parts.port or _PORTS[parts.scheme])
        except (OSError, TimeoutError):
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True


def _free_bytes(folder: Path) -> int:
    """What may still be written there, or where it will be made."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
