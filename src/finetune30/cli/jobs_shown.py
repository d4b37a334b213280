"""How jobs look to people: lines and tables.

Neighbours: ``jobs`` decides what to show, ``shown`` holds what looks the same for runs;
``finetune30.jobs.telling`` is the object for scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from finetune30.cli import shown
from finetune30.experiments import JobEvent, Overview, Status

if TYPE_CHECKING:
    from finetune30.jobs import Place


def in_turn(jobs: Sequence[Overview], places: Mapping[str, Place]) -> list[Overview]:
    """What runs, what waits in the order it will start, what is paused, then what has ended, newest first."""

    def rank(job: Overview) -> tuple[int, float]:
        if job.status is Status.STARTED:
            return 0, job.started_at or 0.0
        if place := places.get(job.id):
            return 1, place.position
        return (3, -(job.finished_at or 0.0)) if job.status.is_terminal else (2, job.created_at)

    return sorted(jobs, key=rank)


def table(jobs: Sequence[Overview], places: Mapping[str, Place], zone: ZoneInfo) -> Table:
    """One line a job."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "status", "place", "when", "owner", "queue", "priority", "created"):
        figure = name in ("place", "priority")
        found.add_column(name, justify="right" if figure else "left", no_wrap=figure or name == "id", overflow="fold")
    for job in jobs:
        place = places.get(job.id)
        found.add_row(
            Text(job.id),
            shown.state(job),
            str(place.position) if place else "-",
            Text(_when(job, place, zone)),
            Text(job.owner),
            Text(job.queue),
            str(job.priority),
            shown.moment(job.created_at, zone),
        )
    return found


def standing(job: Overview, place: Place | None) -> str:
    """Where a job stands, in a line."""
    if job.status.is_terminal:
        return job.status.value
    if job.status is Status.STARTED:
        return "is to be paused at a checkpoint" if job.pause_requested else "runs"
    if job.paused:
        return f"paused; go on with: finetune30 jobs resume {job.id}"
    if place is None:  # somebody took it while we looked
        return "waits"
    if place.delay_s:
        return f"failed a moment ago and is {_again(place)}"
    turn = "next in the queue" if place.position == 1 else f"place {place.position} in the queue"
    if place.too_large:
        return f"{turn}; {lacking(job)}"
    return f"{turn}{_starts(place, ', starts ')}"


def lacking(job: Overview) -> str:
    """Why it may wait for ever. A worker without GPUs says only how many attempts it runs at once."""
    return f"no worker has {job.devices} devices; it waits for one that has, or for one without GPUs"


def begins(job: Overview, before: Overview, *, fresh: bool) -> str:
    """From where a job begins that runs another one again, to be added to a line."""
    if job.continues:
        return f"; goes on from the checkpoints of {job.resumed_from}"
    left_none = not fresh and before.status is not Status.SUCCESS
    return "; begins at step 0" + (f": {before.id} left no checkpoint to go on from" if left_none else "")


def queue_details(job: Overview, place: Place | None) -> Table:
    """What the queue knows of a job, key and value."""
    found = Table(box=None, pad_edge=False, show_header=False)
    found.add_column(style="bold", no_wrap=True)
    found.add_column(overflow="fold")
    lines = {
        "queue": f"{job.queue}, priority {job.priority}",
        "place": None if job.status.is_terminal else standing(job, place),
        "progress": _progress(job),
        "failed attempts": str(job.failures) if job.failures else None,
        "devices": str(job.devices) if job.devices != 1 else None,
        "longest runtime": shown.duration(job.max_runtime_s) if job.max_runtime_s else None,
    }
    for name, value in lines.items():
        if value is not None:
            found.add_row(name, Text(value))
    return found


def events_table(events: Sequence[JobEvent], zone: ZoneInfo) -> Table:
    """One line an event."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("at", "attempt", "event", "step", "message"):
        found.add_column(name, overflow="fold")
    for one in events:
        kind = one.status.value if one.status else one.kind
        step = "-" if one.step is None else str(one.step)
        found.add_row(shown.moment(one.at, zone), str(one.attempt), kind, step, Text(one.message))
    return found


def _starts(place: Place, words: str) -> str:
    if place.starts_in_s is None:
        return ""
    return (
        f"{words}as soon as a worker looks" if place.starts_in_s < 1 else f"{words}in about {_about(place.starts_in_s)}"
    )


def _again(place: Place) -> str:
    return f"tried again in about {_about(place.delay_s)}"


def _when(job: Overview, place: Place | None, zone: ZoneInfo) -> str:
    if place is not None and place.too_large:
        return f"no worker has {job.devices} devices"
    if place is not None:
        return _again(place) if place.delay_s else _starts(place, "starts ") or "-"
    left = (job.progress or {}).get("eta_s")
    if job.status is Status.STARTED and isinstance(left, int | float):
        return f"ends in about {_about(left)}"
    return f"ended {shown.moment(job.finished_at, zone)}" if job.finished_at else "-"


def _progress(job: Overview) -> str | None:
    progress = job.progress or {}
    if job.status is not Status.STARTED or not progress.get("total"):
        return None
    loss, left = progress.get("loss"), progress.get("eta_s")
    told = f"step {progress.get('step') or 0} of {progress['total']}"
    told += f", loss {loss:.4f}" if isinstance(loss, int | float) else ""
    return told + (f", ends in about {_about(left)}" if isinstance(left, int | float) else "")


def _about(span_s: float) -> str:
    return shown.duration(span_s) if span_s >= 60 else f"{span_s:.0f}s"
