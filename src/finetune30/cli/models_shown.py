"""How models look in a terminal. What a user wrote is shown as it is, never as markup.

Neighbours: ``models`` decides what to show, ``shown`` has sizes, times and the console.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from finetune30.cli.shown import moment, share
from finetune30.registry import Alias, Model, Move, Version


def models_table(models: Sequence[Model], zone: ZoneInfo) -> Table:
    """One line a model."""
    table = _table("model", "versions", "aliases", "owner", "seen by", "since", "description")
    for one in models:
        aliases = ", ".join(f"{alias} → {number}" for alias, number in one.aliases.items())
        table.add_row(
            Text(one.name),
            str(one.versions),
            Text(aliases or "-"),
            Text(one.owner),
            one.visibility,
            moment(one.created_at, zone),
            Text(_line(one.description)),
        )
    return table


def versions_table(versions: Sequence[Version], zone: ZoneInfo) -> Table:
    """One line a version."""
    table = _table("version", "aliases", "accuracy", "run", "base model", "registered", "by", "note")
    for one in versions:
        table.add_row(
            str(one.number),
            Text(", ".join(one.aliases) or "-"),
            share(one.eval_accuracy),
            Text(one.experiment_id),
            Text(one.base_model),
            moment(one.registered_at, zone),
            Text(one.registered_by),
            Text(_line(one.note)),
        )
    return table


def history_table(moves: Sequence[Move], zone: ZoneInfo) -> Table:
    """One line a move, the newest first."""
    table = _table("when", "alias", "what", "from", "to", "by", "why")
    for one in moves:
        table.add_row(
            moment(one.moved_at, zone),
            Text(one.alias),
            one.kind,
            str(one.from_number or "-"),
            str(one.to_number or "-"),
            Text(one.moved_by),
            Text(_line(one.note)),
        )
    return table


def model_details(model: Model, aliases: Sequence[Alias], zone: ZoneInfo) -> Table:
    """Key and value of a model."""
    lines = {
        "model": model.name,
        "description": model.description or "-",
        "owner": f"{model.owner} ({model.visibility})",
        "since": moment(model.created_at, zone),
        "latest": str(model.latest or "-"),
    }
    for one in aliases:
        back = "" if one.previous is None else f", before that at {one.previous}"
        lines[f"@{one.alias}"] = f"version {one.number}, moved {moment(one.moved_at, zone)} by {one.moved_by}{back}"
    return _details(lines)


def version_details(
    version: Version, lineage: Mapping[str, Any], folder: str, fault: str | None, zone: ZoneInfo
) -> Table:
    """Key and value of a version: what it is, where it comes from, whether its files are whole."""
    run, data, base = lineage["experiment"], lineage["data"], lineage["base"]
    return _details(
        {
            "version": version.address,
            "aliases": ", ".join(version.aliases) or "-",
            "accuracy": share(version.eval_accuracy),
            "run": f"{run['id']} of {run['owner']}",
            "data": f"{data['name']} (version {data['version'] or '-'})",
            "same data": ", ".join(data["also_trained"]) or "-",
            "base model": base["name"] + (f" at {base['revision']}" if base["revision"] else ""),
            "registered": f"{moment(version.registered_at, zone)} by {version.registered_by}",
            "note": version.note or "-",
            "sha256": version.sha256,
            "files": f"{folder} ({fault or 'whole'})",
        }
    )


def _details(lines: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines.items():
        table.add_row(name, Text(value))
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in ("model", "version", "run"))
    return table


def _line(text: str, longest: int = 80) -> str:
    shown = " ".join(text.split())
    return f"{shown[:longest]}..." if len(shown) > longest else shown
