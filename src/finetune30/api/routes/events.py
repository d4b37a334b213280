"""What happened to a task: as a list, or as it happens (server-sent events).

A stream ends with its task, with its user's right to see it, or with this process; a client that comes back
says with ``Last-Event-ID`` where it was. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from finetune30.api import services
from finetune30.api.answers import Event, Events
from finetune30.api.deps import CurrentUser, OwnTask, bearer_of, user_of
from finetune30.api.queries import Limit, Number
from finetune30.errors import Finetune30Error
from finetune30.experiments import Experiment, JobEvent
from finetune30.web.problems import Problem, too_many

STREAM = "text/event-stream"
_LOOK_S = 1.0
# A proxy drops a connection on which nothing comes.
_ALIVE_S = 15.0
_MOST_STREAMS = 20
_AT_ONCE = 500
_streams: Counter[str] = Counter()


def router() -> APIRouter:
    """``/task/{task_id}/events``."""
    found = APIRouter(tags=["tasks"])
    stream: dict[int | str, dict[str, Any]] = {
        200: {"content": {STREAM: {"schema": {"type": "string"}}}, "description": "A list, or a stream"}
    }
    found.add_api_route(
        "/task/{task_id}/events", events, methods=["GET"], name="task.events", response_model=Events, responses=stream
    )
    return found


async def events(
    request: Request,
    task: OwnTask,
    user: CurrentUser,
    after: Number = 0,
    limit: Limit = 1000,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Any:
    """What happened to a task, in order; with ``Accept: text/event-stream`` as it happens.

    A stream sends ``event: state|checkpoint|evaluation|warning`` with an event of the list as data, and
    ``event: progress`` with step, total, loss and eta_s; it ends with ``event: end`` when the task has ended.
    """
    if STREAM in request.headers.get("accept", ""):
        if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit():
            after = min(int(last_event_id[:16]), 2**53)
        if _streams[user.id] >= _MOST_STREAMS:
            raise too_many(10, "too many streams are open")
        return StreamingResponse(_stream(request, task.id, user.id, after), media_type=STREAM)
    queue = services.of(request).jobs.queue
    found = await run_in_threadpool(queue.events, task.id, min(after, 2**31 - 1), limit + 1)
    some, more = found[:limit], len(found) > limit
    return Events(
        events=[Event.model_validate(asdict(one)) for one in some],
        has_more=more,
        next=some[-1].number if more else None,
    )


async def _stream(request: Request, task_id: str, user_id: str, after: int) -> AsyncIterator[bytes]:
    _streams[user_id] += 1
    try:
        async for part in _parts(request, task_id, after):
            yield part
    finally:
        _streams[user_id] -= 1
        if not _streams[user_id]:
            del _streams[user_id]


async def _parts(request: Request, task_id: str, after: int) -> AsyncIterator[bytes]:
    ending, token = services.of(request).ending, bearer_of(request)
    told: dict[str, Any] | None = None
    silent_s = 0.0
    yield b": ready\n\n"
    while not ending.is_set():
        try:
            await user_of(request, token)  # logged out, disabled or expired meanwhile?
            task, news = await run_in_threadpool(_news, request, task_id, min(after, 2**31 - 1))
        except (Problem, Finetune30Error):
            return
        for one in news:
            after, silent_s = one.number, 0.0
            yield _said(one.kind, asdict(one), one.number)
        if task is None or (task.status.is_terminal and len(news) < _AT_ONCE):
            yield _said("end", {"status": task.status if task else None})
            return
        if task.progress and task.progress != told:
            told, silent_s = task.progress, 0.0
            yield _said("progress", told)
        if silent_s >= _ALIVE_S:
            silent_s = 0.0
            yield b": alive\n\n"
        await asyncio.sleep(_LOOK_S)
        silent_s += _LOOK_S


def _news(request: Request, task_id: str, after: int) -> tuple[Experiment | None, list[JobEvent]]:
    jobs = services.of(request).jobs
    task = jobs.store.look_up(task_id)  # first: what happens until the next look is in its events
    return task, jobs.queue.events(task_id, after, _AT_ONCE)


def _said(kind: str, data: Any, number: int | None = None) -> bytes:
    place = f"id: {number}\n" if number is not None else ""
    return f"{place}event: {kind}\ndata: {json.dumps(data, allow_nan=False)}\n\n".encode()
