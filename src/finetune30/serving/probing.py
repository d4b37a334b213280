"""Whether the model answers: one row through the lane, whose answer all who ask share.

Anybody may ask for the service's health, so asking often must cost what asking once does: there is one probe at
a time, its answer is believed for a second, and it takes no place of the texts that wait.
Neighbours: the route ``/health`` asks; the lane computes.
"""

from __future__ import annotations

import asyncio
import logging
import time

import anyio.to_thread
from anyio import CapacityLimiter

from finetune30.modeling.shared import Row
from finetune30.serving.following import Following
from finetune30.serving.host import Live
from finetune30.web.problems import Problem

_LOG = logging.getLogger("finetune30.serving")
_HEALTHY_S = 5.0
_BELIEVED_S = 1.0
_TEXT = "ok"


class Probe:
    """Tells whether the model answers."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._reading = CapacityLimiter(1)
        self._asked: asyncio.Task[str | None] | None = None
        self._ended_at = 0.0

    async def answer(self) -> dict[str, str | None]:
        """What ``/health`` says.

        Raises: Problem 503 where nothing comes back in time, or the computation fails.
        """
        live = self._following.known(None) or next(iter(self._following.host.there()), None)
        if live is None:
            return {"status": "ok", "adapter": None}
        fault = await asyncio.shield(self._shared(live))
        if fault is not None:
            raise Problem(503, "unhealthy", fault, headers={"Retry-After": "5"})
        return {"status": "ok"}

    def _shared(self, live: Live) -> asyncio.Task[str | None]:
        asked = self._asked
        if asked is None or (asked.done() and time.monotonic() - self._ended_at >= _BELIEVED_S):
            asked = self._asked = asyncio.create_task(self._fault(live))
        return asked

    async def _fault(self, live: Live) -> str | None:
        """What is wrong; None where an answer came."""
        try:
            async with asyncio.timeout(_HEALTHY_S):
                rows = await anyio.to_thread.run_sync(_row, live, abandon_on_cancel=True, limiter=self._reading)
                await asyncio.wrap_future(self._following.host.lane.ask(live.engine, rows, bounded=False))
        except TimeoutError:
            return "the model does not answer in time"
        except Exception as fault:  # noqa: BLE001 - whatever it is, a model that fails is not healthy
            _LOG.error("the model fails: %s", type(fault).__name__)
            return "the model does not answer"
        finally:
            self._ended_at = time.monotonic()
        return None


def _row(live: Live) -> list[Row]:
    pairs = [_TEXT] if live.task.text_pair else None
    return [Row(one.ids, one.types, live.adapter) for one in live.reader.read([_TEXT], pairs, live.found.max_length)]
