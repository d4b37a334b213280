"""The command line: verbs for people and scripts.

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped by Ctrl+C (143 by SIGTERM). An
error is one clear message on standard error, never a traceback; with ``--json`` the last line
of standard output is an object with the key ``error``. ``--help`` loads nothing heavier than
typer. Neighbours: ``pipeline`` does the work, ``experiments`` keeps it.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from finetune30 import __version__
from finetune30.cli import bench, config, data, env, predict, runs, train
from finetune30.errors import BadInput, Finetune30Error, RunFailed

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
app.command("env")(env.env)
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")
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
    try:
        app(prog_name="finetune30")
    except Finetune30Error as error:
        report(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (such as head) has enough; what is left to flush has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except ModuleNotFoundError as missing:
        report(_extra_missing(missing))
        sys.exit(2)
    except Exception as bug:  # the last resort: no traceback meets a user
        if os.environ.get("FINETUNE30_DEBUG"):
            raise
        report(
            Finetune30Error(
                f"unexpected {type(bug).__name__}: {bug}",
                hint="this is a bug in finetune30. FINETUNE30_DEBUG=1 shows the traceback; "
                "send it with the output of: finetune30 env",
            )
        )
        sys.exit(1)


def _extra_missing(missing: ModuleNotFoundError) -> BadInput:
    """The base package holds no torch; who wants to train must be told what to install."""
    return BadInput(
        f"{missing.name} is not installed", hint="training and predicting need: pip install 'finetune30[builtin]'"
    )


def report(error: Finetune30Error) -> None:
    """One message for people; one JSON line for scripts that asked for it."""
    typer.secho("error: ", fg=typer.colors.RED, bold=True, err=True, nl=False)
    typer.echo(str(error), err=True)
    if "--json" in sys.argv:
        import json

        answer: dict[str, object] = {"error": error.to_dict()}
        if isinstance(error, RunFailed):
            answer |= {"id": error.experiment_id, "status": "FAILURE"}
        typer.echo(json.dumps(answer, ensure_ascii=False))
