"""``finetune30 worker``: run what waits in the queue, on this machine, until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune30.errors import UsageError


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Trainings at once; one a GPU, or one, if left out.")
    ] = None,
    queues: Annotated[
        str | None, typer.Option(help="Queues it serves, with commas between; all of QUEUES if left out.")
    ] = None,
) -> None:
    """Run what waits in the queue; Ctrl+C or SIGTERM lets trainings write a checkpoint and ends."""
    from finetune30.settings import get_settings

    settings = get_settings()
    served = settings.queues if queues is None else tuple(dict.fromkeys(name.strip() for name in queues.split(",")))
    unknown = [name for name in served if name not in settings.queues]
    if unknown:
        raise UsageError(
            f"there is no queue {unknown[0]!r}; there is {', '.join(settings.queues)}",
            where="--queues",
            hint="see QUEUES",
        )
    from finetune30.worker.serve import serve

    raise typer.Exit(serve(settings, concurrency, served) or 0)
