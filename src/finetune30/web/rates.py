"""How often: requests of a user and of an address, wrong passwords of a name.

Counted in Redis where the broker is one, so that several API processes count together; while it cannot be
reached each process counts by itself: never not at all.
Neighbours: ``limits`` asks for addresses, ``deps`` for users, the login route for names.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from finetune30.settings import Settings
from finetune30.web.problems import Problem, too_many

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_FAILURE_WINDOW_S = 15 * 60
_LONGEST_WAIT_S = 15 * 60
# From one address, over all names.
_FAILURES_OF_AN_ADDRESS = 5
# Redis is asked again so long after it failed, and waited for so long.
_AGAIN_S = 5.0
_PATIENCE_S = 0.5

T = TypeVar("T")


class Rates:
    """Counters that let a request pass or raise a 429.

    Args:
        reads, writes: A minute; those of the settings if left out, 0 for any number.
    """

    def __init__(self, settings: Settings, reads: int | None = None, writes: int | None = None) -> None:
        self._reads = settings.reads_per_minute if reads is None else reads
        self._writes = settings.writes_per_minute if writes is None else writes
        self._most_failures = settings.login_failures
        from limits.aio.storage import MemoryStorage

        self._local: Any = MemoryStorage()
        self._shared: Any = _redis(settings.broker_url)
        self._silent_until = -math.inf

    async def check(self, kind: str, who: str, method: str) -> None:
        """Count one request of ``who``.

        Args:
            kind: ``user`` or ``address``.
        Raises: Problem 429.
        """
        name, most = ("read", self._reads) if method in _READS else ("write", self._writes)
        if not most:
            return
        from limits import RateLimitItemPerMinute
        from limits.aio.strategies import SlidingWindowCounterRateLimiter

        who = _network(who) if kind == "address" else who
        limit, key = RateLimitItemPerMinute(most, namespace="finetune30"), (kind, name, _hashed(who))

        async def hit(storage: Any) -> float | None:
            counter = SlidingWindowCounterRateLimiter(storage)
            if await counter.hit(limit, *key):
                return None
            return float((await counter.get_window_stats(limit, *key)).reset_time) - time.time()

        wait_s = await self._ask(hit)
        if wait_s is not None:
            raise too_many(min(wait_s, 60))

    async def check_login(self, name: str, address: str) -> None:
        """Refuse to look at a password while its name, or who sends it, has to wait.

        Raises: Problem 429, the same for a right password.
        """

        async def wait_of(storage: Any) -> float:
            waits = [0.0]
            for key in _failure_keys(name, address):
                if await storage.get(f"{key}/wait"):
                    waits.append(await storage.get_expiry(f"{key}/wait") - time.time())
            return max(waits)

        if (wait_s := await self._ask(wait_of)) > 0:
            raise _slow_down(wait_s)

    async def login_failed(self, name: str, address: str) -> None:
        """Count a wrong password; beyond the limit each one doubles the wait."""
        limits = (self._most_failures, self._most_failures * _FAILURES_OF_AN_ADDRESS)

        async def count(storage: Any) -> None:
            for key, most in zip(_failure_keys(name, address), limits, strict=True):
                failures = await storage.incr(f"{key}/failures", _FAILURE_WINDOW_S)
                if failures >= most:
                    wait_s = min(_LONGEST_WAIT_S, 2 ** min(10, failures - most))
                    await storage.clear(f"{key}/wait")
                    await storage.incr(f"{key}/wait", wait_s)

        await self._ask(count)

    async def login_succeeded(self, name: str) -> None:
        """Forget the failures of this name; those of the address stay."""

        async def forget(storage: Any) -> None:
            key = _failure_keys(name, "")[0]
            await storage.clear(f"{key}/failures")
            await storage.clear(f"{key}/wait")

        await self._ask(forget)

    async def close(self) -> None:
        """Give the connections back, from the loop that used them."""
        if self._shared is not None:
            with suppress(Exception):
                await self._shared.bridge.storage.aclose()

    async def _ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        if self._shared is not None and time.monotonic() >= self._silent_until:
            try:
                return await question(self._shared)
            except Problem:
                raise
            except Exception:  # noqa: BLE001 - drivers raise anything; counting goes on here
                self._silent_until = time.monotonic() + _AGAIN_S
        return await question(self._local)


def _failure_keys(name: str, address: str) -> tuple[str, str]:
    return f"finetune30/login/name/{_hashed(name)}", f"finetune30/login/address/{_hashed(_network(address))}"


def _network(address: str) -> str:
    """What counts as one address: of IPv6 the /64, all of which one machine may call its own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))


def _slow_down(wait_s: float) -> Problem:
    return too_many(wait_s, "too many wrong passwords; wait before the next one")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _redis(url: str | None) -> Any:
    if url is None or not url.startswith(("redis://", "rediss://", "redis+socket://")):
        return None
    from limits.storage import storage_from_string

    address = f"async+{url.replace('redis+socket://', 'redis+unix://', 1)}"
    patience = {"socket_timeout": _PATIENCE_S, "socket_connect_timeout": _PATIENCE_S}
    return storage_from_string(address, implementation="redispy", key_prefix="finetune30:limits", **patience)
