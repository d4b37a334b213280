"""The command line: verbs for people and scripts.

Exit codes: 0 done, 1 the run failed, 2 bad input, 3 a server could not be reached or not do it,
130 stopped by Ctrl+C (143 by SIGTERM). An
error is one clear message on standard error, never a traceback; with ``--json`` the last line
of standard output is an object with the key ``error``. ``--help`` loads nothing heavier than
typer. Neighbours: ``ending`` tells errors, ``pipeline`` does the work, ``experiments`` keeps it.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from finetune30 import __version__
from finetune30.cli import (
    api,
    audit,
    bench,
    config,
    data,
    db,
    ending,
    env,
    jobs,
    models,
    predict,
    runs,
    serve,
    server,
    tasks,
    train,
    ui,
    up,
    users,
    webhooks,
    worker,
)

app = typer.Typer(
    name="finetune30",
    help="Train LoRA text classifiers; every run is kept, nothing is lost.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # boxes around --help would double its time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("worker")(worker.worker)
app.command("api")(api.api)
app.command("serve")(serve.serve)
app.command("ui")(ui.ui)
app.command("up")(up.up)
app.command("env")(env.env)
app.command("login")(server.login)
app.command("logout")(server.logout)
app.command("submit")(server.submit)
app.command("watch")(server.watch)
app.command("cancel")(server.cancel)
app.add_typer(tasks.app, name="tasks")
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(users.app, name="user")
app.add_typer(audit.app, name="audit")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(db.app, name="db")
app.add_typer(config.app, name="config")
app.add_typer(bench.app, name="bench")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"finetune30 {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train LoRA text classifiers; every run is kept, nothing is lost."""


def main() -> None:
    """Entry point of ``finetune30``: run a verb, turn errors into messages and exit codes."""
    sys.exit(ending.exit_code_of(_run))


def _run() -> None:
    # Not app(): it would swallow Ctrl+C and broken pipes before we could tell them.
    command = typer.main.get_command(app)
    with command.make_context("finetune30", sys.argv[1:]) as context:
        command.invoke(context)
