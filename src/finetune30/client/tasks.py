"""Tasks: submit a training, follow it, stop it, let it go on.

Neighbours: ``watching`` follows; ``config`` reads a file that is submitted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from finetune30.client import watching
from finetune30.client.address import segment
from finetune30.client.answers import Event, Page, Task, WholeTask, shaped
from finetune30.client.asking import Asking, every
from finetune30.client.watching import News
from finetune30.client.wire import Request
from finetune30.errors import Conflict, UsageError

_PAGE = 100


@runtime_checkable
class Configuration(Protocol):
    """What ``config.load`` answers, or anything else that knows its keys."""

    def to_dict(self) -> dict[str, Any]:
        """Keys and values as in a YAML file."""


Trainable = Mapping[str, Any] | Configuration | Path | str


class Tasks(Asking):
    """``/train``, ``/tasks`` and ``/task/{task_id}``."""

    def train(
        self,
        config: Trainable,
        *,
        overrides: Sequence[str] = (),
        queue: str | None = None,
        priority: int = 0,
        max_runtime_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> Task:
        """Submit a training; once this returns it is kept and will run.

        Args:
            config: A dict (the server has its own defaults for what it leaves out), or the path of a YAML file, which
                means what it means to ``finetune30 train`` on this machine.
            overrides: ``lora.r=16``, over a file.
            idempotency_key: Of one's own, so that another run of one's program submits nothing twice. Without one each
                call makes a task, and only one, whatever the network does.
        Raises: ConfigError for a file, RemoteError.
        """
        key = idempotency_key or f"client-{secrets.token_hex(16)}"
        asked = Request(
            "POST",
            "/train",
            {"queue": queue, "priority": priority or None, "max_runtime_s": max_runtime_s},
            values_of(config, overrides),
            headers={"Idempotency-Key": key},
            safe=True,
        )
        answer = self._send(asked)
        return shaped(Task, answer.json(), answer.server)

    def task(self, task_id: str) -> WholeTask:
        """Everything about a task."""
        return self._get(_path(task_id), WholeTask)

    def tasks(
        self, *, status: str | None = None, owner: str | None = None, q: str | None = None, limit: int | None = None
    ) -> Iterator[Task]:
        """One's tasks (an admin's: all), the newest first, page by page as they are taken.

        Args:
            q: A filter in words, as ``docs/api.md`` has it.
        """
        size = _PAGE if limit is None else min(limit, _PAGE)
        return every(lambda after: self.tasks_page(status=status, owner=owner, q=q, limit=size, after=after), limit)

    def tasks_page(
        self,
        *,
        status: str | None = None,
        owner: str | None = None,
        q: str | None = None,
        limit: int = _PAGE,
        after: str | None = None,
    ) -> Page[Task]:
        """One page of them."""
        query = {"status": status, "owner": owner, "q": q, "limit": limit, "after": after}
        return self._page("/tasks", "tasks", Task, query)

    def cancel(self, task_id: str) -> Task:
        """Stop it: at once if nobody runs it, else at its next heartbeat."""
        answer_lost = Request("POST", _path(task_id, "cancel"), safe=True)
        try:
            answer = self._send(answer_lost)
        except Conflict as conflict:
            # An earlier try whose answer was lost has done it.
            if conflict.uncertain and (task := self.task(task_id)).status == "REVOKED":
                return task
            raise
        return shaped(Task, answer.json(), answer.server)

    def pause(self, task_id: str) -> Task:
        """Let it wait until it is resumed; a running one stops at a checkpoint first."""
        return self._post(_path(task_id, "pause"), Task)

    def resume(self, task_id: str) -> Task:
        """Let a paused one wait for a worker again."""
        return self._post(_path(task_id, "resume"), Task)

    def retry(
        self,
        task_id: str,
        *,
        fresh: bool = False,
        queue: str | None = None,
        priority: int | None = None,
        max_runtime_s: float | None = None,
    ) -> Task:
        """Run an ended one again as a new task: a failed one from its checkpoints on, unless ``fresh``."""
        query = {"fresh": fresh or None, "queue": queue, "priority": priority, "max_runtime_s": max_runtime_s}
        return self._post(_path(task_id, "retry"), Task, **query)

    def logs(self, task_id: str, tail: int = 200) -> str:
        """The end of its log; empty where it has not begun."""
        asked = Request("GET", _path(task_id, "logs"), {"tail": tail}, headers={"Accept": "text/plain"}, safe=True)
        return self._send(asked).body.decode("utf-8", "replace")

    def events(self, task_id: str, *, after: int = 0) -> Iterator[Event]:
        """What happened to it so far, in order."""
        return every(lambda cursor: self.events_page(task_id, after if cursor is None else cursor), None)

    def events_page(self, task_id: str, after: int = 0, limit: int = 1000) -> Page[Event]:
        """One page of it."""
        return self._page(_path(task_id, "events"), "events", Event, {"after": after, "limit": limit})

    def watch(
        self,
        task_id: str,
        *,
        after: int = 0,
        patience_s: float = watching.PATIENCE_S,
        silence_s: float = watching.SILENCE_S,
    ) -> Iterator[News]:
        """What happens to it until it has ended: every event once, whatever happens to the connection.

        Args:
            after: Number of the last event that is known.
            patience_s: So long the server may be away in between.
            silence_s: A connection without a sign of life for so long is made anew.
        """
        door = watching.Door(self._stream, self.task, self.events_page, self._wire.base)
        return watching.Watch(door, task_id, _path(task_id, "events"), after, patience_s, silence_s).news()


def values_of(config: Trainable, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The keys and values that are submitted.

    Raises: ConfigError for a file; UsageError.
    """
    if isinstance(config, str | Path):
        from finetune30.config import load

        return load(Path(config), overrides).to_dict()
    if overrides:
        raise UsageError("overrides go over a file, expected them in the dict itself")
    return config.to_dict() if isinstance(config, Configuration) else dict(config)


def _path(task_id: str, *more: str) -> str:
    return "/".join(("/task", segment(task_id), *more))
