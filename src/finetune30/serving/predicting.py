"""From a question to its answers: who may answer, in memory or not yet, computed, given up or in time.

Neighbours: routes bring the question; ``following`` knows the adapters, the lane computes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from finetune30.errors import Busy, Finetune30Error
from finetune30.serving.answering import Given
from finetune30.serving.asking import Question
from finetune30.serving.following import Following
from finetune30.serving.guests import Guest
from finetune30.serving.host import Asking, Live
from finetune30.serving.measures import Measures

# Who waits longer than this is looked at: are they still there?
_QUICK_S = 0.1
_LONGEST_S = 60.0
# So few short texts are read at once; more are read in a thread, beside other requests.
_AT_ONCE_CHARACTERS = 4_000


class Predicting:
    """Answers questions."""

    def __init__(self, following: Following, measures: Measures) -> None:
        self._following = following
        self._measures = measures

    async def answer(self, request: Request, guest: Guest, question: Question) -> list[Given]:
        """The answer to each text, in their order.

        Raises: our errors; ClientDisconnect when nobody waits any more.
        """
        live = {address: await self._live(guest, address) for address in dict.fromkeys(question.addresses)}
        began = time.perf_counter()
        if sum(map(len, question.texts)) > _AT_ONCE_CHARACTERS:
            asked = await run_in_threadpool(self._ask, live, question)
        else:
            asked = self._ask(live, question)
        self._measures.read.observe(time.perf_counter() - began)
        try:
            for asking, _ in asked:
                await self._wait(request, asking)
        except BaseException:
            for asking, _ in asked:
                asking.future.cancel()
            raise
        return _in_order(question, asked)

    async def _live(self, guest: Guest, address: str | None) -> Live:
        live = self._following.known(address)
        if live is None:
            # Who may not ask it must not make it be loaded.
            live = await run_in_threadpool(self._following.live, address, guest.check)
        else:
            guest.check(live.found)
        return live

    def _ask(self, live: Mapping[str | None, Live], question: Question) -> list[tuple[Asking, Sequence[int]]]:
        asked: list[tuple[Asking, Sequence[int]]] = []
        try:
            for address, one in live.items():
                places = [at for at, wanted in enumerate(question.addresses) if wanted == address]
                pairs = question.pairs and [question.pairs[at] for at in places]
                asked.append((self._following.host.ask(one, [question.texts[at] for at in places], pairs), places))
        except Finetune30Error:
            for asking, _ in asked:
                asking.future.cancel()
            raise
        return asked

    async def _wait(self, request: Request, asking: Asking) -> None:
        future = asyncio.wrap_future(asking.future)
        done, _ = await asyncio.wait({future}, timeout=_QUICK_S)
        if not done:
            gone = asyncio.create_task(_gone(request))
            waited: set[asyncio.Future[Any]] = {future, gone}
            try:
                await asyncio.wait(waited, timeout=_LONGEST_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
            if not future.done():
                future.cancel()
                if gone.done() and not gone.cancelled():
                    raise ClientDisconnect
                raise Busy("the texts were not computed in time")
        _ = future.result()


def _in_order(question: Question, asked: Sequence[tuple[Asking, Sequence[int]]]) -> list[Given]:
    found: dict[int, Given] = {}
    for asking, places in asked:
        for at, logits, read in zip(places, asking.future.result(), asking.read, strict=True):
            found[at] = Given(asking.live, question.texts[at], logits, read.truncated)
    return [found[at] for at in range(len(question.texts))]


async def _gone(request: Request) -> None:
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            return
