"""``finetune30 worker``: run what waits in the queue, on this machine, until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Trainings at once; one a GPU, or one, if left out.")
    ] = None,
    queues: Annotated[
        str | None, typer.Option(help="Queues it serves, with commas between; all of QUEUES if left out.")
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Let neighbours have cores: threads of a training sleep while they wait.")
    ] = False,
) -> None:
    """Run what waits in the queue; Ctrl+C or SIGTERM lets trainings write a checkpoint and ends."""
    from finetune30.settings import get_settings
    from finetune30.standby import wait_asleep
    from finetune30.worker.serve import serve

    if share:
        wait_asleep()  # this process computes nothing; its attempts begin with what it was told
    served = None if queues is None else [name.strip() for name in queues.split(",")]
    raise typer.Exit(serve(get_settings(), concurrency, served))
