"""``finetune30 runs``: see, follow, stop and remove experiments.

A mere look makes nothing: no folder, no database. Neighbours: ``experiments`` keeps rows and
folders, ``shown`` and ``follow`` put them on the screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from finetune30.experiments import ExperimentFolder, ExperimentStore, Overview
    from finetune30.experiments.where import Where
    from finetune30.settings import Settings

app = typer.Typer(help="See, follow, stop and remove experiments.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the run, or how it begins.")]


@app.command("list")
def list_runs(
    name: Annotated[str | None, typer.Option(help="Part of the name.")] = None,
    status: Annotated[
        str | None, typer.Option(help="PENDING, STARTED, SUCCESS, FAILURE or REVOKED.", case_sensitive=False)
    ] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="Least accuracy, 0 to 1.")] = None,
    max_runtime: Annotated[float | None, typer.Option(help="Longest training, seconds.")] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", "-q", help="In words: 'accuracy >= 0.9 and not name ~ draft' (docs/api.md)."),
    ] = None,
    sort_by: Annotated[
        str, typer.Option(help="created_at, finished_at, name, train_runtime or eval_accuracy.")
    ] = "created_at",
    desc: Annotated[bool, typer.Option("--desc/--asc", help="Largest or newest first.")] = True,
    limit: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    settings, store = _open()
    found = store.overview(
        name=name,
        where=_parsed(where),
        status=status_of(status),
        min_accuracy=min_accuracy,
        max_runtime=max_runtime,
        sort_by=sort_by.replace("-", "_"),
        desc=desc,
        limit=limit,
    )
    if as_json:
        _print_json({"runs": [_summary(settings, one) for one in found]})
        return
    from finetune30.cli import shown

    sizes = {one.id: _folder(settings, one.id).size_bytes() for one in found}
    shown.console().print(shown.runs_table(found, sizes, settings.zone))
    if not found:
        _note("no runs")


@app.command()
def show(experiment_id: Id, as_json: AsJson = False) -> None:
    """Show everything about one run."""
    settings, store = _open()
    found = store.match(experiment_id)
    attempts = store.attempts(found.id)
    if as_json:
        from dataclasses import asdict

        history = [asdict(one) for one in attempts]
        detail = {"config": found.config, "metrics": found.metrics, "attempts": history}
        _print_json({**_summary(settings, found), **detail})
        return
    from finetune30.cli import shown

    folder = _folder(settings, found.id)
    screen = shown.console()
    screen.print(shown.details(found, folder.size_bytes(), str(folder.path), settings.zone))
    if attempts:
        screen.print()
        screen.print(shown.history(attempts, settings.zone))


@app.command()
def compare(
    ids: Annotated[list[str], typer.Argument(metavar="A B [C D E]", help="Two to five ids, or how they begin.")],
    flips: Annotated[str, typer.Option(help="Which flipped rows: gained, lost, changed or any.")] = "any",
    rows: Annotated[int, typer.Option(min=0, max=1000, help="Show at most so many flipped rows.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: configuration, figures, and the rows they answer differently from the first."""
    from typing import cast, get_args

    from finetune30.errors import UsageError
    from finetune30.reports.compare import compare as side_by_side
    from finetune30.reports.shapes import Kind

    if flips not in get_args(Kind):
        raise UsageError(f"--flips is {flips!r}, expected one of {', '.join(get_args(Kind))}")
    settings, store = _open()
    found = side_by_side(
        [store.match(one) for one in ids],
        settings.results_dir,
        settings.data_dir,
        kind=cast("Kind", flips),
        limit=rows,
    )
    if as_json:
        from dataclasses import asdict

        _print_json(asdict(found))
        return
    from finetune30.cli import compared, shown

    compared.show(found, shown.console(), settings.zone)


@app.command()
def logs(
    experiment_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="Id of the run, or how it begins; the newest if left out."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print a run's log."""
    settings, store = _open()
    found = store.match(experiment_id) if experiment_id else store.newest()
    log = _folder(settings, found.id).logs_txt
    if follow:
        from finetune30.cli.follow import follow as follow_log

        try:
            follow_log(store, found.id, log, _show, _note)
        except KeyboardInterrupt:  # the way to leave
            return
        if not log.is_file():
            _note_no_log(store, found.id)
    elif log.is_file():
        _show(log.read_text(encoding="utf-8", errors="replace"))
    else:
        _note_no_log(store, found.id)


@app.command()
def delete(
    experiment_id: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a run: its row and its folder. Refused while it runs, or a model is made of it."""
    from finetune30.cli import shown
    from finetune30.registry import Models

    settings, store = _open()
    found = store.match(experiment_id)
    folder = _folder(settings, found.id)
    Models(store.engine, settings.results_dir).refuse_registered(found.id)  # before anybody is asked
    _confirm(f"Delete {found.id} ({shown.size(folder.size_bytes())})?", yes)
    # The row first: it refuses while somebody runs it, and once it is gone the run is gone for every
    # reader. A kill before the folder follows leaves a folder without a row, a kill while it is
    # removed leaves trash: `runs gc` knows both. The other order could leave a run without files.
    store.delete(found.id)
    freed = folder.delete()
    if as_json:
        _print_json({"id": found.id, "bytes_freed": freed})
    else:
        typer.echo(f"{found.id} deleted, {shown.size(freed)} freed")


@app.command()
def cancel(experiment_id: Id, as_json: AsJson = False) -> None:
    """Stop a run: at once if nobody runs it, else at its next heartbeat."""
    _, store = _open()
    found = store.cancel(store.match(experiment_id).id)
    if as_json:
        _print_json({"id": found.id, "status": found.status, "cancel_requested": found.cancel_requested})
    elif found.status.is_terminal:
        typer.echo(f"{found.id} is {found.status}")
    else:
        typer.echo(f"{found.id} stops at its next heartbeat")


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what belongs to no run: folders without a row, unfinished checkpoints, trash."""
    from finetune30.cli import shown
    from finetune30.experiments.garbage import find_garbage, remove_garbage

    settings, store = _open()
    found = find_garbage(settings.results_dir, store, store_is_here=settings.database_url is None)
    total = sum(one.size_bytes for one in found)
    if not as_json:
        for one in found:
            typer.echo(f"{shown.size(one.size_bytes):>10}  {one.kind}  {one.path}")
    freed = 0
    if found and not dry_run:
        _confirm(f"Remove {shown.folders(len(found))} ({shown.size(total)})?", yes)
        freed = sum(remove_garbage(one) for one in found)
    if as_json:
        items = [{"path": str(one.path), "kind": one.kind, "size_bytes": one.size_bytes} for one in found]
        _print_json({"garbage": items, "total_bytes": total, "bytes_freed": freed, "dry_run": dry_run})
    elif dry_run:
        typer.echo(f"{shown.folders(len(found))}, {shown.size(total)} would be freed")
    else:
        typer.echo(f"{shown.folders(len(found))}, {shown.size(freed)} freed")


def _open() -> tuple[Settings, ExperimentStore]:
    from finetune30.experiments import open_store
    from finetune30.settings import get_settings

    settings = get_settings()
    return settings, open_store(settings, create=False)


def _note_no_log(store: ExperimentStore, experiment_id: str) -> None:
    """Say why there is none; nothing where the run was deleted meanwhile."""
    from finetune30.errors import NotFound

    try:
        one = store.get(experiment_id)
    except NotFound:
        return
    error = one.error or {}
    why = ": ".join(error[name] for name in ("where", "message") if error.get(name))
    why += f"; {error['hint']}" if error.get("hint") else ""
    if not one.status.is_terminal:
        _note(f"{one.id} has no log yet; wait for it with: finetune30 runs logs {one.id} -f")
    elif one.attempt == 0:
        _note(f"{one.id} ended as {one.status} before it began: no log")
    else:
        _note(f"{one.id} ended as {one.status} without a log{': ' if why else ''}{why}")


def _folder(settings: Settings, experiment_id: str) -> ExperimentFolder:
    from finetune30.experiments import ExperimentFolder

    return ExperimentFolder(settings.results_dir, experiment_id)


def status_of(text: str | None) -> Any:
    from finetune30.errors import BadInput
    from finetune30.experiments import Status

    if text is None:
        return None
    try:
        return Status(text.upper())
    except ValueError as cause:
        raise BadInput(f"status is {text!r}, expected one of {', '.join(Status)}", where="--status") from cause


def _parsed(where: str | None) -> Where | None:
    """Raises: FilterError."""
    from finetune30.experiments.where import parse

    return None if where is None else parse(where)


def _summary(settings: Settings, experiment: Overview) -> dict[str, Any]:
    """The row without its two long columns, with what the folder adds."""
    folder = _folder(settings, experiment.id)
    fields = {key: value for key, value in experiment.to_dict().items() if key not in ("config", "metrics")}
    return {
        **fields,
        "accuracy": experiment.eval_accuracy,  # as `train --json` calls it
        "folder": str(folder.path),
        "size_bytes": folder.size_bytes(),
    }


def _confirm(question: str, yes: bool) -> None:
    """Ask a person; a script has said what it wants by calling.

    Raises: typer.Abort on anything but yes.
    """
    import sys

    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _show(text: str) -> None:
    typer.echo(text, nl=False)


def _note(text: str) -> None:
    typer.echo(text, err=True)
