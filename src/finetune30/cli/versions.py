"""``finetune30 data versions``: which versions of data are kept, which runs used them, what changed.

A mere look makes nothing: no folder, no database. Neighbours: ``data.versions`` keeps the rows,
``experiments`` knows the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune30.errors import BadInput

if TYPE_CHECKING:
    from finetune30.data.versions import DatasetVersion, VersionStore
    from finetune30.settings import Settings

app = typer.Typer(help="List, compare, name and remove versions of data.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON object.")]
Reference = Annotated[str, typer.Argument(metavar="ID|TAG", help="Id of the version, how it begins, or a tag.")]
_SHOWN = 10


@app.command("list")
def list_versions(as_json: AsJson = False) -> None:
    """List versions, the newest first, with the runs that used them."""
    settings, store = _open()
    runs_of = _runs(settings)
    found = store.list()
    if as_json:
        _print_json({"versions": [_summary(store, one, runs_of(one.id)) for one in found]})
        return
    if not found:
        typer.echo("no versions yet: every run keeps the rows it used, see: finetune30 train")
        return
    from rich.table import Table

    from finetune30.cli import shown

    table = Table(box=None, pad_edge=False)
    for heading in ("version", "tags", "rows", "labels", "size", "runs", "made", "source"):
        table.add_column(heading, justify="right" if heading in ("rows", "labels", "size", "runs") else "left")
    for one in found:
        table.add_row(
            one.short, ", ".join(store.tags_of(one.id)), f"{one.rows:,}", str(len(one.label_names)),
            shown.size(one.size_bytes), str(len(runs_of(one.id))), shown.moment(one.created_at, settings.zone),
            one.source,
        )  # fmt: skip
    shown.console().print(table)


@app.command()
def show(reference: Reference, as_json: AsJson = False) -> None:
    """Show everything about one version."""
    settings, store = _open()
    version = store.find(reference)
    runs = _runs(settings)(version.id)
    if as_json:
        intact = version.damaged_in(store.folder(version.id)) is None
        _print_json(_summary(store, version, runs) | {"intact": intact, "card": version.to_dict()})
        return
    from finetune30.cli import shown

    typer.echo(f"version  {version.id}")
    typer.echo(f"tags     {', '.join(store.tags_of(version.id)) or '-'}")
    typer.echo(f"source   {version.source}")
    typer.echo(f"made     {shown.moment(version.created_at, settings.zone)}")
    damaged = ", not as they were stored" if version.damaged_in(store.folder(version.id)) else ""
    typer.echo(f"rows in  {store.folder(version.id)} ({shown.size(version.size_bytes)}{damaged})")
    for name, part in version.splits.items():
        labels = sorted(part["labels"].items(), key=lambda item: -item[1])
        more = f", and {len(labels) - 5} more" if len(labels) > 5 else ""
        typer.echo(f"{name:<10} {part['rows']:,} rows: {', '.join(f'{k} {v:,}' for k, v in labels[:5])}{more}")
    if version.quality:
        found = [f"{one['name']} {one['status']}" for one in version.quality["checks"] if one["status"] != "PASS"]
        typer.echo(f"quality  {version.quality['status']}{': ' if found else ''}{', '.join(found)}")
    for note in version.notes:
        typer.echo(f"note     {note}")
    typer.echo(f"runs     {', '.join(runs) or 'none'}")
    typer.echo(f"\ntrain on it: finetune30 train --set data.dataset_name=version:{version.short}")


@app.command()
def diff(
    before: Reference,
    after: Reference,
    rows: Annotated[int, typer.Option("--rows", min=0, help="How many rows of each kind to print.")] = _SHOWN,
    as_json: AsJson = False,
) -> None:
    """Compare two versions: rows added, removed, relabelled, moved to another split."""
    from dataclasses import asdict

    from finetune30.data.versions import compare

    _, store = _open()
    one, other = store.find(before), store.find(after)
    found = compare(store.intact(one), store.intact(other))
    kinds: dict[str, Sequence[Any]] = {
        "added": found.added, "removed": found.removed, "relabelled": found.relabelled, "moved": found.moved,
    }  # fmt: skip
    if as_json:
        listed = {
            kind: [[asdict(a), asdict(b)] for a, b in pairs]
            if kind in ("relabelled", "moved")
            else [*map(asdict, pairs)]
            for kind, pairs in kinds.items()
        }
        _print_json({"before": one.id, "after": other.id, "unchanged": found.unchanged, **listed})
        return
    typer.echo(f"{one.short} -> {other.short}: {found.unchanged:,} rows unchanged")
    for kind, listed_rows in kinds.items():
        typer.echo(f"{kind}: {len(listed_rows):,}")
        for row in listed_rows[:rows]:
            typer.echo(f"  {_row_told(kind, row)}")
        if len(listed_rows) > rows:
            typer.echo(f"  ... and {len(listed_rows) - rows:,} more (--rows, --json)")


@app.command()
def tag(
    reference: Reference,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as gold-2026; it moves when another had it.")],
    as_json: AsJson = False,
) -> None:
    """Give a version a name; version:NAME can be trained on."""
    _, store = _open()
    version = store.tag(reference, name)
    if as_json:
        _print_json({"id": version.id, "tags": store.tags_of(version.id)})
        return
    typer.echo(f"{name} is {version.short}")


@app.command()
def untag(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tag to take away.")], as_json: AsJson = False
) -> None:
    """Take a name away; the version stays."""
    _open()[1].untag(name)
    if as_json:
        _print_json({"untagged": name})
        return
    typer.echo(f"{name} is gone")


@app.command()
def delete(
    reference: Reference,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a version and its tags. Refused while a run uses it."""
    settings, store = _open()
    version = store.find(reference)
    if as_json and not yes:
        raise BadInput(
            "with --json nobody is asked",
            where="--yes",
            hint=f"finetune30 data versions delete {version.short} --yes --json",
        )
    if not yes:
        typer.confirm(f"Delete version {version.short} ({version.rows:,} rows)?", abort=True, err=True)
    store.delete(version.id, _users(settings))
    if as_json:
        _print_json({"deleted": version.id})
        return
    typer.echo(f"deleted {version.short}")


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove versions that no run and no upload uses and no tag names."""
    from finetune30.cli import shown

    settings, store = _open()
    gone = store.gc(_users(settings), dry_run=dry_run)
    freed = sum(one.size_bytes for one in gone)
    if as_json:
        _print_json({"dry_run": dry_run, "versions": [one.id for one in gone], "bytes": freed})
        return
    verb = "would remove" if dry_run else "removed"
    for one in gone:
        typer.echo(f"{verb} {one.short}: {one.rows:,} rows of {one.source}")
    typer.echo(f"{verb} {len(gone)} versions, {shown.size(freed)}")


def _open() -> tuple[Settings, VersionStore]:
    from finetune30.data.versions import VersionStore
    from finetune30.settings import get_settings

    settings = get_settings()
    return settings, VersionStore(settings.data_dir)


def _runs(settings: Settings) -> Callable[[str], Sequence[str]]:
    """Ids of the runs that used a version, by its id."""
    from finetune30.experiments import open_store

    runs = open_store(settings, create=False)
    return lambda version_id: [one.id for one in runs.overview(dataset_hash=version_id)]


def _users(settings: Settings) -> Callable[[str], Sequence[str]]:
    """Runs that used a version, and uploads whose rows it holds."""
    from finetune30.data.uploads import UploadStore

    runs, uploads = _runs(settings), UploadStore(settings.data_dir)
    return lambda version_id: [*runs(version_id), *uploads.of_version(version_id)]


def _summary(store: VersionStore, version: DatasetVersion, runs: Sequence[str]) -> dict[str, Any]:
    return {
        "id": version.id,
        "tags": store.tags_of(version.id),
        "created_at": version.created_at,
        "source": version.source,
        "rows": version.rows,
        "splits": {name: part["rows"] for name, part in version.splits.items()},
        "label_names": list(version.label_names),
        "bytes": version.size_bytes,
        "runs": list(runs),
    }


def _row_told(kind: str, row: Any) -> str:
    if kind == "relabelled":
        return f"{row[1].place}  {row[0].label} -> {row[1].label}  {_shortened(row[1])}"
    if kind == "moved":
        return f"{row[0].place} -> {row[1].place}  {row[1].label}  {_shortened(row[1])}"
    return f"{row.place}  {row.label}  {_shortened(row)}"


def _shortened(row: Any) -> str:
    text = " ".join((row.text if row.pair is None else f"{row.text} | {row.pair}").split())
    return text if len(text) <= 100 else f"{text[:100]}..."


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))
