"""``finetune30 bench``: how fast this machine trains, beside what a user would run instead."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="bench", help="Benchmarks: ratios of interleaved rounds against named peers.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Benchmarks: ratios of interleaved rounds against named peers."""


@app.command()
def training(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds, one adapter, no accuracy; minutes.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, max=100, help="Rounds of each recipe.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=0, max=20, help="Seeds of the accuracy comparison; 0 leaves it out.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or mps")] = "cpu",
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time of each recipe goes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON object.")] = False,
) -> None:
    """Train with finetune30 and with stock Trainer and PEFT, in turn, and print the ratios.

    On SST-2 sentences and Banking77 where FINETUNE30_DATA names a folder that holds them, else on builtin:reviews.
    """
    import json
    from dataclasses import replace

    from finetune30.bench.training import FULL, QUICK, run

    effort = QUICK if quick else FULL
    effort = replace(effort, rounds=rounds or effort.rounds, seeds=effort.seeds if seeds is None else seeds)
    found = run(effort, device, lambda text: typer.echo(text, err=as_json), profile=profile)
    if as_json:
        typer.echo(json.dumps(found))
