"""``finetune30 up``: everything this machine needs, as one command with one log."""

from __future__ import annotations

import os
import secrets
from importlib.util import find_spec
from typing import Annotated

import typer

# Longer than DRAIN_S by what a part needs to see to its own end.
_MARGIN_S = 30.0
# What predictions need and the other parts do not; to load it takes seconds.
_SERVING = ("torch", "transformers", "peft", "orjson")
_PAGE = ("streamlit", "plotly")
_LATER_S, _LAST_S = 2.0, 1.0


def up(
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Trainings at once; one a GPU, or one, if left out.")
    ] = None,
) -> None:
    """Start every part on this machine; Ctrl+C ends all of them in order."""
    from finetune30.cli.parts import Part, run_together
    from finetune30.experiments import open_store
    from finetune30.settings import get_settings

    settings = get_settings()
    if settings.database_url is None:
        # A folder that cannot be used is told once, not by each part. For a server each part waits by itself.
        open_store(settings, create=True).close()
    parts = [
        Part("api", ("api",)),
        Part("worker", ("worker", "--share", *(["--concurrency", str(concurrency)] if concurrency else []))),
    ]
    if _is_there(_SERVING, "serving", "for predictions: pip install 'finetune30[serving]'"):
        parts.append(Part("serving", ("serve",), _LATER_S))
    if _is_there(_PAGE, "the web page", "for it: pip install 'finetune30[ui]'"):
        parts.append(Part("page", ("ui",), _LAST_S))
        if settings.page_key is None:
            # For the two of them, and for as long as they run: the API then believes whom the page asks for.
            os.environ["PAGE_KEY"] = secrets.token_urlsafe(32)
    raise typer.Exit(run_together(parts, settings.drain_s + _MARGIN_S))


def _is_there(packages: tuple[str, ...], part: str, hint: str) -> bool:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        typer.echo(f"{part} is not started, {', '.join(missing)} is not installed; {hint}", err=True)
    return not missing
