"""``finetune30 config``: what can be configured, what a file means, and files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(name="config", help="Explain, complete and import configurations.", no_args_is_help=True)


@app.command()
def schema(
    output: Annotated[Literal["json", "yaml"], typer.Option("--format", help="How to print it.")] = "json",
    field: Annotated[
        str | None, typer.Option("--field", metavar="KEY", help="One key or section only, e.g. lora.r.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on one line.")] = False,
) -> None:
    """Print the JSON schema of a configuration: every key with its type, range, default and meaning."""
    from finetune30.config import field_schema, json_schema

    found = json_schema() if field is None else field_schema(field)
    if as_json:
        import json

        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    typer.echo(_json(found) if output == "json" else _yaml(found), nl=output == "json")


@app.command()
def show(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file; config/default.yaml if left out.", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. lora.r=16.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of YAML.")] = False,
) -> None:
    """Print a checked configuration with every default filled in."""
    import json

    from finetune30.config import load

    checked = load(config, overrides or [])
    _note(checked.notes)
    if as_json:
        typer.echo(json.dumps(checked.to_dict(), ensure_ascii=False))
    else:
        typer.echo(checked.to_yaml(), nl=False)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="YAML file of LLaMA-Factory, Axolotl or AutoTrain.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file, which must not exist yet.")] = None,
) -> None:
    """Turn another tool's file into a configuration; what was left out is said on standard error."""
    from finetune30.config import import_config

    config, notes = import_config(file)
    _note(notes)
    if out is None:
        typer.echo(config.to_yaml(), nl=False)
    else:
        _write_new(out, config.to_yaml())
        typer.echo(f"wrote {out}; train it with: finetune30 train {out}")


def _note(notes: tuple[str, ...] | list[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _json(value: dict[str, Any]) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)


def _yaml(value: dict[str, Any]) -> str:
    from finetune30.config.writing import to_yaml

    return to_yaml(value)


def _write_new(path: Path, text: str) -> None:
    from finetune30.errors import ConfigError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as cause:
        raise ConfigError(
            "exists already and is never overwritten",
            where=str(path),
            hint="give another --out, or delete it first",
        ) from cause
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "strerror", None) or str(cause)
        raise ConfigError(f"cannot be written: {reason}", where=str(path), hint="give a writable --out") from cause
