"""Adapters that are not in memory yet, loaded beside everything else.

Loading takes seconds, and a base minutes. So it has a few threads of its own, all who wait for one adapter wait
for one load, without a thread each, and what needs no load (an adapter in memory, a token, a long text) never
stands behind one.
Neighbours: ``following`` looks up and loads, ``predicting`` asks.
"""

from __future__ import annotations

import asyncio
from functools import partial

import anyio.to_thread
from anyio import CapacityLimiter

from finetune30.serving.catalog import Found
from finetune30.serving.following import Following, Name
from finetune30.serving.guests import Guest
from finetune30.serving.host import Live

_LOADS = 4
_LOOKUPS = 8


class Loading:
    """Finds the adapter of an address; used from one event loop."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._on_the_way: dict[tuple[Name, str], asyncio.Task[Live]] = {}
        self._loads = CapacityLimiter(_LOADS)
        self._lookups = CapacityLimiter(_LOOKUPS)
        self._refreshes = CapacityLimiter(1)

    async def live(self, guest: Guest, address: str | None) -> Live:
        """What an address means now, for whoever may ask it.

        Raises: Forbidden, before anything is loaded; NotFound, StateError, StorageError, ModelError.
        """
        # Without an adapter named anywhere it is one's own newest run: others' would be refused.
        owner = None if guest.everything else guest.name
        live = self._following.known(address, owner)
        if live is None:
            name = self._following.name(address, owner)
            found = await self._looked_up(name)
            guest.check(found)
            live = await asyncio.shield(self._shared(name, found))
        guest.check(live.found)
        return live

    async def refresh(self) -> list[str]:
        """Look at every name in use, one caller after the other: each sees what was changed before it asked."""
        return await anyio.to_thread.run_sync(self._following.refresh, limiter=self._refreshes)

    async def _looked_up(self, name: Name) -> Found:
        find = self._following.catalog.find
        return await anyio.to_thread.run_sync(find, name.address, name.owner, limiter=self._lookups)

    def _shared(self, name: Name, found: Found) -> asyncio.Task[Live]:
        key = name, found.experiment_id
        task = self._on_the_way.get(key)
        if task is None:
            task = self._on_the_way[key] = asyncio.create_task(self._loaded(name, found))
            task.add_done_callback(lambda _: self._on_the_way.pop(key, None))
        return task

    async def _loaded(self, name: Name, found: Found) -> Live:
        # What is in memory by another name takes no time.
        there = any(live.found.experiment_id == found.experiment_id for live in self._following.host.there())
        limiter = self._lookups if there else self._loads
        load = partial(self._following.live, name.address, owner=name.owner)
        return await anyio.to_thread.run_sync(load, abandon_on_cancel=True, limiter=limiter)
