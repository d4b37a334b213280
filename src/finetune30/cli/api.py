"""``finetune30 api``: the service that programs and the web page talk to, until it is stopped."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def api(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; API_HOST if left out: this machine only.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port; API_PORT if left out: 8000.")] = None,
) -> None:
    """Serve the API; Ctrl+C or SIGTERM answers what is being asked and ends."""
    from finetune30.errors import SettingsError
    from finetune30.settings import get_settings

    # As the environment would say them: checked in the same way, and told in the same words.
    os.environ.update(
        {name: str(value) for name, value in (("API_HOST", host), ("API_PORT", port)) if value is not None}
    )
    settings = get_settings()
    try:
        from finetune30.api.serve import serve
    except ModuleNotFoundError as cause:
        raise SettingsError(
            f"the package {cause.name} is not installed", hint='install it with: pip install "finetune30[server]"'
        ) from cause
    raise typer.Exit(serve(settings))
