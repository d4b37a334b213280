"""``finetune30 serve``: predictions over HTTP with every adapter there is, until it is stopped."""

from __future__ import annotations

import os
from typing import Annotated

import typer

# Three milliseconds, GNU's default: a client that asks again at once finds the threads awake.
_TURNS = 300_000


def serve(
    exp: Annotated[
        str | None,
        typer.Option(
            "--exp",
            metavar="ADDRESS",
            help="What answers where a request names no adapter: a run, name/3 or name@alias; the newest "
            "successful run if left out, followed as new ones come.",
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; SERVING_HOST if left out: this machine only.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port; SERVING_PORT if left out: 8002.")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps; SERVING_DEVICE if left out")
    ] = None,
) -> None:
    """Serve predictions; Ctrl+C or SIGTERM answers what is being asked and ends."""
    from finetune30.errors import SettingsError
    from finetune30.settings import get_settings
    from finetune30.standby import wait_asleep

    wait_asleep(turns=_TURNS)
    # As the environment would say them: checked in the same way, and told in the same words.
    given = (("SERVING_HOST", host), ("SERVING_PORT", port), ("SERVING_DEVICE", device))
    os.environ.update({name: str(value) for name, value in given if value is not None})
    settings = get_settings()
    try:
        from finetune30.serving.serve import serve as run

        raise typer.Exit(run(settings, exp))
    except ModuleNotFoundError as cause:
        raise SettingsError(
            f"the package {cause.name} is not installed",
            hint='install it with: pip install "finetune30[serving]"',
        ) from cause
