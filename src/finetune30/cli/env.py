"""``finetune30 env``: what a bug report needs, ready to paste."""

from __future__ import annotations

from typing import Annotated

import typer


def env(
    as_json: Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON object.")] = False,
) -> None:
    """Print versions, machine, devices and settings, for pasting into a bug report; no secrets."""
    import json

    from finetune30.monitoring import environment_report
    from finetune30.settings import get_settings

    settings = get_settings()
    report = {
        **environment_report(),
        "device": _device(),
        "settings": {
            "results_dir": str(settings.results_dir),
            "data_dir": str(settings.data_dir),
            # A database URL may hold a password: only its kind is shown.
            "database": settings.resolved_database_url.split(":", 1)[0],
            "tz": settings.tz,
        },
    }
    if as_json:
        typer.echo(json.dumps(report))
        return
    for key, value in report.items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for name, inner in value.items():
                typer.echo(f"  {name}: {'not installed' if inner is None else inner}")
        else:
            typer.echo(f"{key}: {value}")


def _device() -> str:
    try:
        from finetune30.modeling import choose
    except ImportError as missing:
        return f"unknown: {missing.name} is not installed (pip install 'finetune30[train]')"
    return choose().reason
