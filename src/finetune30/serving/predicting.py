"""From a question to its answers: who may answer, in memory or not yet, computed, given up or in time.

Neighbours: routes bring the question; ``following`` knows the adapters, the lane computes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect, Request

from finetune30.errors import Busy, Finetune30Error
from finetune30.serving.answering import Given
from finetune30.serving.asking import Question, TooLong, Unaskable
from finetune30.serving.following import Following
from finetune30.serving.guests import Guest
from finetune30.serving.host import Asking, Live
from finetune30.serving.loading import Loading
from finetune30.serving.measures import Measures

# Who waits longer than this is looked at: are they still there?
_QUICK_S = 0.1
_LONGEST_S = 60.0
# Threads that read long texts: the tokenizer itself uses all cores.
_READERS = 4
# Turns of the event loop after which what has come meanwhile has begun: its socket is read, a task is made, it runs.
_TURNS = 3


class Predicting:
    """Answers questions."""

    def __init__(self, following: Following, loading: Loading, measures: Measures) -> None:
        self._following = following
        self._loading = loading
        self._measures = measures
        self._reading = CapacityLimiter(_READERS)
        self._landing = Landing()
        self._open = 0

    async def answer(self, request: Request, guest: Guest, question: Question) -> list[Given]:
        """The answer to each text, in their order.

        Raises: our errors; ClientDisconnect when nobody waits any more.
        """
        self._open += 1
        try:
            return await self._answer(request, guest, question)
        finally:
            self._open -= 1

    async def _answer(self, request: Request, guest: Guest, question: Question) -> list[Given]:
        live = {
            address: _shortened(await self._loading.live(guest, address), question.max_length)
            for address in dict.fromkeys(question.addresses)
        }
        began = time.perf_counter()
        if all(one.reader.is_quick(question.texts, question.pairs) for one in live.values()):
            asked = self._ask(live, question, here=len(question.texts) == 1 and await self._is_alone())
        else:
            asked = await anyio.to_thread.run_sync(self._ask, live, question, limiter=self._reading)
        self._measures.read.observe(time.perf_counter() - began)
        try:
            if not question.cut:
                _refuse_cut(question, asked)
            for asking, _ in asked:
                await self._wait(request, asking)
        except BaseException:
            for asking, _ in asked:
                asking.future.cancel()
            raise
        return _in_order(question, asked)

    async def _is_alone(self) -> bool:
        """Whether nobody else asks: then a text is computed right here, so no thread is woken, and nobody held up."""
        for _ in range(_TURNS):
            if self._open > 1 or not self._following.host.lane.is_idle:
                return False
            await asyncio.sleep(0)
        return self._open == 1

    def _ask(
        self, live: Mapping[str | None, Live], question: Question, *, here: bool = False
    ) -> list[tuple[Asking, Sequence[int]]]:
        asked: list[tuple[Asking, Sequence[int]]] = []
        try:
            for address, one in live.items():
                places = [at for at, wanted in enumerate(question.addresses) if wanted == address]
                pairs = question.pairs and [question.pairs[at] for at in places]
                texts = [question.texts[at] for at in places]
                asked.append((self._following.host.ask(one, texts, pairs, here=here), places))
        except Finetune30Error:
            for asking, _ in asked:
                asking.future.cancel()
            raise
        return asked

    async def _wait(self, request: Request, asking: Asking) -> None:
        if not await self._landing.within(asking.future, _QUICK_S):
            future = asyncio.wrap_future(asking.future)
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
        _ = asking.future.result()


class Landing:
    """Tells an event loop what another thread has done, all that is done at one time by waking it once."""

    def __init__(self) -> None:
        self._done: deque[asyncio.Future[bool]] = deque()
        self._called = False

    async def within(self, future: Future[Any], time_s: float) -> bool:
        """Whether it is done by then."""
        if future.done():
            return True
        loop = asyncio.get_running_loop()
        landed: asyncio.Future[bool] = loop.create_future()

        def tell(_: object) -> None:
            # In the other thread. First what is done, then who is told of it: see _tell.
            self._done.append(landed)
            if not self._called:
                self._called = True
                with suppress(RuntimeError):  # the loop has ended, and who waited with it
                    loop.call_soon_threadsafe(self._tell)

        future.add_done_callback(tell)
        late = loop.call_later(time_s, _settle, landed, False)
        try:
            return await landed
        finally:
            late.cancel()

    def _tell(self) -> None:
        self._called = False
        while self._done:
            _settle(self._done.popleft(), True)


def _settle(landed: asyncio.Future[bool], found: bool) -> None:
    if not landed.done():
        landed.set_result(found)


def _shortened(live: Live, max_length: int | None) -> Live:
    """The adapter, reading no more of a text than was asked for."""
    if max_length is None:
        return live
    if max_length > live.found.max_length:
        raise Unaskable(
            f"the adapter reads {live.found.max_length} tokens of a text, expected no more",
            where="body.parameters.max_length",
        )
    return replace(live, found=replace(live.found, max_length=max_length))


def _refuse_cut(question: Question, asked: Sequence[tuple[Asking, Sequence[int]]]) -> None:
    for asking, places in asked:
        for at, read in zip(places, asking.read, strict=True):
            if read.truncated:
                where = "body.inputs" if question.single else f"body.inputs.{at}"
                raise TooLong(f"the text is longer than {asking.live.found.max_length} tokens", where=where)


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
