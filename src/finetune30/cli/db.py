"""``finetune30 db``: the database that holds the record of runs and jobs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(help="The database of runs and jobs: which schema it has, bring it up to date.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@app.callback()
def _group() -> None:
    """The database of runs and jobs: which schema it has, bring it up to date."""


@app.command()
def upgrade(as_json: AsJson = False) -> None:
    """Bring the database to the schema of this program; nothing happens where it is there already."""
    from finetune30.experiments import open_store
    from finetune30.experiments.opening import schema_of
    from finetune30.settings import get_settings

    settings = get_settings()
    _, before = schema_of(settings)
    open_store(settings, create=True).close()
    address, after = schema_of(settings)
    if as_json:
        typer.echo(json.dumps({"database": address, "before": before, "revision": after}))
    elif before == after:
        typer.echo(f"{address}  has schema {after} already")
    else:
        came = f" (was {before})" if before else ""
        typer.echo(f"{address}  now has schema {after}{came}")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say where the database is and whether it has the schema of this program; changes nothing."""
    from finetune30 import database
    from finetune30.experiments.opening import schema_of
    from finetune30.settings import get_settings

    (address, found), newest = schema_of(get_settings()), database.newest_revision()
    if as_json:
        answer = {"database": address, "revision": found, "newest": newest}
        typer.echo(json.dumps({**answer, "up_to_date": found == newest}))
    elif found is None:
        typer.echo(f"{address}  not made yet; the first run or job makes it, or: finetune30 db upgrade")
    elif found == newest:
        typer.echo(f"{address}  schema {found}, up to date")
    elif found < newest:
        typer.echo(f"{address}  schema {found}, this program has {newest}: finetune30 db upgrade")
    else:
        typer.echo(f"{address}  schema {found} is newer than this program ({newest}): upgrade it")
