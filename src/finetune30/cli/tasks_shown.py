"""How tasks of a server look to people: lines, tables, what happens as it happens.

What comes from a server is shown without what steers a terminal.
Neighbours: ``server`` and ``tasks`` decide what to show; ``jobs_shown`` does the same for the database.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from finetune30.cli import shown

if TYPE_CHECKING:
    from finetune30.client import News, Task, WholeTask

_CLEAR = "\r\x1b[K"


def harmless(text: str) -> str:
    """``text`` without what steers a terminal; lines and tabs stay."""
    return "".join(one if one.isprintable() or one in "\n\t" else "?" for one in text)


def standing(task: Task) -> str:
    """Where a task stands, in a line."""
    if task.status == "SUCCESS":
        return f"SUCCESS  accuracy={shown.share(task.accuracy)}"
    if task.has_ended:
        why = task.error.message if task.error and task.error.message else ""
        hint = f"\n  hint: {harmless(task.error.hint)}" if task.error and task.error.hint else ""
        return f"{task.status}{f': {harmless(why)}' if why else ''}{hint}"
    if task.paused:
        return f"paused; go on with: finetune30 tasks resume {task.task_id}"
    if task.cancel_requested:
        return "stops at its next heartbeat"
    if task.status == "STARTED":
        return "is to be paused at a checkpoint" if task.pause_requested else "runs"
    if task.position is None:
        return "waits"
    turn = "next in the queue" if task.position == 1 else f"place {task.position} in the queue"
    if task.starts_in_s is None:
        return turn
    when = "as soon as a worker looks" if task.starts_in_s < 1 else f"in about {shown.duration(task.starts_in_s)}"
    return f"{turn}, starts {when}"


def table(tasks: Sequence[Task], zone: ZoneInfo) -> Table:
    """One line a task."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "status", "place", "accuracy", "owner", "queue", "priority", "created"):
        figure = name in ("place", "accuracy", "priority")
        found.add_column(name, justify="right" if figure else "left", no_wrap=figure or name == "id", overflow="fold")
    for task in tasks:
        found.add_row(
            Text(harmless(task.task_id)),
            Text(_state(task)),
            "-" if task.position is None else str(task.position),
            shown.share(task.accuracy),
            Text(harmless(task.owner)),
            Text(harmless(task.queue)),
            str(task.priority),
            shown.moment(task.created_at, zone),
        )
    return found


def details(task: WholeTask, zone: ZoneInfo) -> Iterator[Table]:
    """Everything worth reading about one task: key and value, then its events."""
    found = Table(box=None, pad_edge=False, show_header=False)
    found.add_column(style="bold", no_wrap=True)
    found.add_column(overflow="fold")
    lines = {
        "id": task.task_id,
        "name": task.name,
        "status": standing(task),
        "owner": task.owner,
        "queue": f"{task.queue}, priority {task.priority}",
        "progress": _progress(task),
        "created": shown.moment(task.created_at, zone),
        "started": shown.moment(task.started_at, zone),
        "finished": shown.moment(task.finished_at, zone),
        "resumed from": task.resumed_from,
        "worker": task.worker,
    }
    for name, value in lines.items():
        if value is not None:
            found.add_row(name, Text(harmless(value)))
    yield found
    if task.events:
        events = Table("at", "attempt", "event", "step", "message", box=None, pad_edge=False, header_style="bold")
        for one in task.events:
            step = "-" if one.step is None else str(one.step)
            kind, message = Text(one.status or one.kind), Text(harmless(one.message))
            events.add_row(shown.moment(one.at, zone), str(one.attempt), kind, step, message)
        yield events


class Screen:
    """Shows what happens: each event on a line of its own, progress on one that is written over.

    Args:
        quiet: Everything goes to standard error.
    """

    def __init__(self, *, quiet: bool) -> None:
        from finetune30.settings import get_settings

        self._zone = get_settings().zone
        self._quiet = quiet
        self._over = sys.stderr.isatty()
        self._dirty = False

    def show(self, news: News) -> None:
        """One of them."""
        if news.kind == "progress":
            if self._over:
                sys.stderr.write(f"{_CLEAR}{harmless(news.message)}")
                sys.stderr.flush()
                self._dirty = True
        elif news.event is not None:
            self.close()
            typer.echo(f"{shown.moment(news.event.at, self._zone)}  {harmless(news.message)}", err=self._quiet)

    def close(self) -> None:
        """Leave a clean line."""
        if self._dirty:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._dirty = False


def _state(task: Task) -> str:
    if task.paused:
        return f"{task.status} (paused)"
    if task.cancel_requested and not task.has_ended:
        return f"{task.status} (cancelling)"
    progress = task.progress
    if task.status == "STARTED" and progress is not None and progress.total:
        return f"{task.status} {100 * (progress.step or 0) / progress.total:.0f}%"
    return task.status


def _progress(task: Task) -> str | None:
    progress = task.progress
    if task.status != "STARTED" or progress is None or not progress.total:
        return None
    loss = "" if progress.loss is None else f", loss {progress.loss:.4f}"
    left = "" if progress.eta_s is None else f", ends in about {shown.duration(progress.eta_s)}"
    return f"step {progress.step or 0} of {progress.total}{loss}{left}"
