"""Watching a task over connections that break: every event once, in order, until the task has ended.

The stream is taken up again where it broke (``Last-Event-ID``). After each break, and where no stream comes
through (a proxy that holds answers back, too many streams), the list of events is asked, which tells the same.
Neighbours: ``sse`` reads the stream, ``tasks`` asks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import httpx

from finetune30.client import refusals, sse
from finetune30.client.answers import Event, Page, Progress, Task
from finetune30.client.wire import Request
from finetune30.errors import Limited, ServerFault, Unreachable, WrongServer

STREAM = "text/event-stream"
# The server says something every 15 s.
SILENCE_S = 35.0
PATIENCE_S = 900.0
_POLL_S = 2.0
# So many streams without a word: they do not come through.
_MOST_MUTE = 2


@dataclass(frozen=True)
class News:
    """Something that happened: ``state``, ``checkpoint``, ``evaluation`` or ``warning`` with ``event``;
    ``progress`` with ``progress``; last of all ``end`` with ``status`` (None: the task was deleted)."""

    kind: str
    event: Event | None = None
    progress: Progress | None = None
    status: str | None = None

    @property
    def message(self) -> str:
        """It in words."""
        if self.event is not None:
            return self.event.message or self.event.status or self.kind
        if self.progress is not None:
            loss = "" if self.progress.loss is None else f", loss {self.progress.loss:.4f}"
            return f"step {self.progress.step or 0} of {self.progress.total or '?'}{loss}"
        return self.status or "deleted"


@dataclass(frozen=True)
class Door:
    """How a watcher asks."""

    stream: Callable[[Request], AbstractContextManager[httpx.Response]]
    task: Callable[[str], Task]
    events: Callable[[str, int], Page[Event]]
    server: str


class Watch:
    """One task, watched.

    Args:
        after: Number of the last event that is known already.
        patience_s: So long the server may be away.
        silence_s: A stream without a sign of life for so long is broken.
    """

    def __init__(self, door: Door, task_id: str, path: str, after: int, patience_s: float, silence_s: float) -> None:
        self._door = door
        self._task_id, self._path = task_id, path
        self._seen = after
        self._patience_s, self._silence_s = patience_s, silence_s
        self._last_word: float | None = None
        self._progress: Progress | None = None
        self._mute = 0
        self._ended = False

    def news(self) -> Iterator[News]:
        """What happens, until the end.

        Raises: RemoteError; Unreachable or ServerFault once the server was away for longer than the patience.
        """
        while not self._ended:
            if self._mute < _MOST_MUTE:
                yield from self._tried(self._streamed)
            if not self._ended:
                yield from self._tried(self._asked)
            if not self._ended:
                time.sleep(_POLL_S)

    def _tried(self, source: Callable[[], Iterator[News]]) -> Iterator[News]:
        try:
            yield from source()
        except Limited:
            self._mute = _MOST_MUTE
        except (Unreachable, ServerFault) as error:
            if source == self._streamed:
                return  # the list, which is asked next, tells more
            # A server that never answered is told at once, one that was there is waited for.
            if self._last_word is None:
                raise
            if time.monotonic() - self._last_word > self._patience_s:
                error.hint = f"the task runs on; come back with: finetune30 watch {self._task_id}"
                raise

    def _streamed(self) -> Iterator[News]:
        headers = {"Accept": STREAM, **({"Last-Event-ID": str(self._seen)} if self._seen else {})}
        asked = Request("GET", self._path, headers=headers, safe=True, timeout_s=self._silence_s)
        said_nothing, self._mute = True, self._mute + 1
        with self._door.stream(asked) as answer:
            if not answer.headers.get("content-type", "").startswith(STREAM):
                self._mute = _MOST_MUTE  # not from this server: the list will do, or tell what is wrong
                return
            for message in self._messages(answer):
                self._last_word = time.monotonic()
                if said_nothing:
                    said_nothing, self._mute = False, self._mute - 1
                if message is not None:
                    yield from self._told(message)
                if self._ended:
                    return

    def _messages(self, answer: httpx.Response) -> Iterator[sse.Message | None]:
        try:
            yield from sse.messages(answer.iter_bytes())
        except ValueError as cause:
            raise self._not_ours() from cause

    def _told(self, message: sse.Message) -> Iterator[News]:
        try:
            data = json.loads(message.data)
            if message.kind == "end":
                self._ended = True
                yield News("end", status=data["status"])
            elif message.kind == "progress":
                yield from self._moved(Progress.model_validate(data))
            elif isinstance(data, dict) and "number" in data:
                yield from self._happened(Event.model_validate(data))
        except (ValueError, KeyError, TypeError) as cause:
            raise self._not_ours() from cause

    def _asked(self) -> Iterator[News]:
        """What the list has beyond what is known, and how far the task is."""
        task = self._door.task(self._task_id)  # first: what happens until its end is in the events
        self._last_word = time.monotonic()
        while True:
            page = self._door.events(self._task_id, self._seen)
            for event in page.items:
                yield from self._happened(event)
            if not page.has_more or not page.items:
                break
        if task.progress is not None and not task.has_ended:
            yield from self._moved(task.progress)
        if task.has_ended:
            self._ended = True
            yield News("end", status=task.status)

    def _happened(self, event: Event) -> Iterator[News]:
        if event.number > self._seen:
            self._seen = event.number
            yield News(event.kind, event=event, status=event.status)

    def _moved(self, progress: Progress) -> Iterator[News]:
        if progress != self._progress:
            self._progress = progress
            yield News("progress", progress=progress)

    def _not_ours(self) -> WrongServer:
        return refusals.not_ours(self._door.server, "a stream of events that is none of ours")
