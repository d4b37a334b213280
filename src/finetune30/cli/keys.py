"""``finetune30 user key``: the operator's door to API keys, straight on the database.

A key is printed once, as the last line of standard output. Neighbours: ``access.keys`` does the work.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from finetune30.cli.operator import audited

if TYPE_CHECKING:
    from finetune30.access import Access

app = typer.Typer(help="API keys, with which programs predict: add, list, revoke.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


@app.command()
def add(
    user: Annotated[str, typer.Argument(metavar="USER", help="Name or id of the user whose key it is.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "key",
    expires: Annotated[
        str | None, typer.Option(metavar="90d", help="Its life, in m, h or d; never if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; it is printed here and never again."""
    life_s = _seconds(expires)
    access = _open(create=True)
    owner = access.users.get(user)
    key, secret = audited(
        access,
        "key.add",
        lambda: access.keys.make(owner.id, name, life_s),
        lambda made: (made[0].id, {"name": made[0].name, "user": owner.name}),
    )
    if as_json:
        _print({**asdict(key), "key": secret})
        return
    typer.echo(f"{key.id}  a key of {owner.name} to predict with, told once:", err=True)
    typer.echo(secret)


@app.command("list")
def list_keys(
    user: Annotated[str | None, typer.Argument(metavar="USER", help="Name or id; all users if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """List keys, the newest first; never the keys themselves."""
    access = _open(create=False)
    found = access.keys.all() if user is None else access.keys.of_user(access.users.get(user).id)
    if as_json:
        _print({"keys": [asdict(key) for key in found]})
        return
    from rich.table import Table
    from rich.text import Text

    from finetune30.cli import shown
    from finetune30.settings import get_settings

    zone, names = get_settings().zone, {one.id: one.name for one in access.users.all()}
    table = Table("id", "user", "name", "made", "ends", "last used", box=None, pad_edge=False, header_style="bold")
    for key in found:
        ends = "never" if key.expires_at is None else shown.moment(key.expires_at, zone)
        ends = ends if key.revoked_at is None else "revoked"
        used = "-" if key.last_used_at is None else shown.moment(key.last_used_at, zone)
        made = shown.moment(key.created_at, zone)
        table.add_row(key.id, names.get(key.user_id, key.user_id), Text(key.name), made, ends, used)
    shown.console().print(table)
    if not found:
        typer.echo("no keys; make one with: finetune30 user key add USER", err=True)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Its id, such as k_0123456789abcdef.")],
    as_json: AsJson = False,
) -> None:
    """End a key for good; within a second nobody predicts with it."""
    access = _open(create=True)
    key = audited(
        access, "key.revoke", lambda: access.keys.revoke(key_id), lambda revoked: (revoked.id, {"name": revoked.name})
    )
    if as_json:
        _print(asdict(key))
    else:
        typer.echo(f"{key.id}  revoked")


def _seconds(text: str | None) -> float | None:
    from finetune30.errors import UsageError

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})([mhd])", text)
    if match is None:
        raise UsageError(f"--expires is {text[:20]!r}, expected such as 30m, 12h or 90d")
    return float(int(match[1]) * _UNITS[match[2]])


def _open(*, create: bool) -> Access:
    from finetune30.access import open_access
    from finetune30.settings import get_settings

    return open_access(get_settings(), create=create)


def _print(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
