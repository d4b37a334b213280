"""How experiments look in a terminal: sizes, times, states, tables.

Colour only repeats what the text says. What a user wrote is shown as it is, never as markup.
Neighbours: ``runs`` decides what to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from finetune30.experiments import Attempt, Experiment, Overview, Status

_COLOURS = {
    Status.PENDING: "yellow",
    Status.STARTED: "cyan",
    Status.SUCCESS: "green",
    Status.FAILURE: "red",
    Status.REVOKED: "magenta",
}


def console() -> Console:
    """Standard output; in a pipe wide enough that no column is cut."""
    found = Console(highlight=False, markup=False, emoji=False)
    return found if found.is_terminal else Console(width=1000, highlight=False, markup=False, emoji=False)


def size(count: int) -> str:
    """Bytes for people: ``1.5 MiB``."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def moment(at: float | None, zone: ZoneInfo) -> str:
    """Unix seconds as date and time in ``zone``."""
    return "-" if at is None else f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float | None) -> str:
    """Seconds for people: ``42.1s``, ``3m 05s``, ``2h 10m``."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02}m"


def folders(count: int) -> str:
    """``1 folder``, ``2 folders``."""
    return f"{count} folder{'' if count == 1 else 's'}"


def share(value: float | None) -> str:
    """An accuracy."""
    return "-" if value is None else f"{value:.4f}"


def state(experiment: Overview) -> Text:
    """The state and what it means just now, in words and colour."""
    words, colour = experiment.status.value, _COLOURS[experiment.status]
    if experiment.paused:
        words += " (paused)"
    elif experiment.status is Status.STARTED and not experiment.lease_live:
        words, colour = words + " (process gone)", "red"
    elif experiment.cancel_requested and not experiment.status.is_terminal:
        words += " (cancelling)"
    elif experiment.status is Status.STARTED and (progress := experiment.progress or {}).get("total"):
        words += f" {100 * (progress.get('step') or 0) / progress['total']:.0f}%"
    return Text(words, style=colour)


def runs_table(experiments: Sequence[Overview], sizes: dict[str, int], zone: ZoneInfo) -> Table:
    """One line an experiment."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    # In a narrow window the wordy columns share what is left; an id is never cut.
    for name in ("id", "status", "accuracy", "base model", "dataset", "runtime", "size", "created"):
        figure = name in ("accuracy", "runtime", "size")
        table.add_column(name, justify="right" if figure else "left", no_wrap=figure or name == "id", overflow="fold")
    for one in experiments:
        table.add_row(
            Text(one.id),
            state(one),
            share(one.eval_accuracy),
            Text(one.base_model),
            Text(one.dataset),
            duration(one.train_runtime),
            size(sizes[one.id]),
            moment(one.created_at, zone),
        )
    return table


def details(experiment: Experiment, size_bytes: int, folder: str, zone: ZoneInfo) -> Table:
    """Everything worth reading about one experiment, key and value."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    lines: dict[str, Any] = {
        "id": experiment.id,
        "name": experiment.name,
        "status": state(experiment),
        "owner": experiment.owner,
        "accuracy": share(experiment.eval_accuracy),
        "base model": experiment.base_model,
        "dataset": experiment.dataset,
        "dataset hash": experiment.dataset_hash or "-",
        "runtime": duration(experiment.train_runtime),
        "created": moment(experiment.created_at, zone),
        "started": moment(experiment.started_at, zone),
        "finished": moment(experiment.finished_at, zone),
        "resumed from": experiment.resumed_from,
        "running on": experiment.lease_owner,
        "folder": f"{folder} ({size(size_bytes)})",
        "fingerprint": experiment.fingerprint,
    }
    for name in ("message", "where", "hint"):
        lines["error" if name == "message" else name] = (experiment.error or {}).get(name)
    for section in ("train", "eval", "test"):
        lines[section] = _figures((experiment.metrics or {}).get(section))
    for name, value in lines.items():
        if value is not None:
            table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return table


def history(attempts: Sequence[Attempt], zone: ZoneInfo) -> Table:
    """One line an attempt."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("attempt", "worker", "started", "ended", "outcome"):
        table.add_column(name, overflow="fold")
    for one in attempts:
        table.add_row(
            str(one.attempt),
            Text(one.worker),
            moment(one.started_at, zone),
            moment(one.ended_at, zone),
            one.outcome.value if one.outcome else "-",
        )
    return table


def _figures(section: object) -> str | None:
    """The plain numbers of one part of ``metrics.json``, on one line."""
    if not isinstance(section, dict):
        return None
    numbers = {key: value for key, value in section.items() if isinstance(value, int | float)}
    return "  ".join(f"{key} {value:.4g}" for key, value in numbers.items()) or None
