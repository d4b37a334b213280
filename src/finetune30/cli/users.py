"""``finetune30 user``: the operator's door to the users, straight on the database.

A password is asked for, or read as the first line of standard input; it is never part of a command, which others
can read. Each change is told to the audit log in the same transaction. Neighbours: ``access`` does the work.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from finetune30.cli.operator import audited

if TYPE_CHECKING:
    from finetune30.access import Access, Role, User

app = typer.Typer(help="Users of the API: add, list, disable.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the user.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a-z, 0-9 and . _ @ + -, such as ana@example.org.")],
    role: Annotated[str, typer.Option(help="user or admin.")] = "user",
    as_json: AsJson = False,
) -> None:
    """Add a user; the password is asked for, or the first line of standard input."""
    wanted = _role(role)
    access = _open(create=True)
    password = _password()
    _tell(_audited(access, "user.add", lambda: access.users.add(name, wanted, password)), "added", as_json)


@app.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List users by name."""
    found = _open(create=False).users.all()
    if as_json:
        _print({"users": [asdict(user) for user in found]})
        return
    from rich.table import Table

    from finetune30.cli import shown
    from finetune30.settings import get_settings

    table = Table("name", "role", "state", "since", "id", box=None, pad_edge=False, header_style="bold")
    for user in found:
        state = "disabled" if user.disabled else "enabled"
        table.add_row(user.name, user.role, state, shown.moment(user.created_at, get_settings().zone), user.id)
    shown.console().print(table)
    if not found:
        typer.echo("no users; add the first one with: finetune30 user add NAME --role admin", err=True)


@app.command()
def disable(name: Name, as_json: AsJson = False) -> None:
    """Let a user in no more; their sessions end at once, what they own stays."""
    access = _open(create=True)
    user = access.users.get(name)
    _tell(_audited(access, "user.disable", lambda: access.users.disable(user.id)), "disabled", as_json)


@app.command()
def enable(name: Name, as_json: AsJson = False) -> None:
    """Let a disabled user in again."""
    access = _open(create=True)
    user = access.users.get(name)
    _tell(_audited(access, "user.enable", lambda: access.users.enable(user.id)), "enabled", as_json)


@app.command()
def password(name: Name, as_json: AsJson = False) -> None:
    """Set a new password; it is asked for, or the first line of standard input. All sessions end."""
    access = _open(create=True)
    user = access.users.get(name)
    new = _password()
    _tell(
        _audited(access, "user.password", lambda: access.users.set_password(user.id, new)),
        "has a new password",
        as_json,
    )


@app.command()
def role(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="user or admin.")],
    as_json: AsJson = False,
) -> None:
    """Change what a user may do; their sessions end at once."""
    wanted = _role(role)
    access = _open(create=True)
    user = access.users.get(name)
    _tell(_audited(access, "user.role", lambda: access.users.set_role(user.id, wanted)), f"is now {wanted}", as_json)


def _audited(access: Access, action: str, change: Callable[[], User]) -> User:
    """Do it and tell the audit log, both or neither."""
    return audited(access, action, change, lambda user: (user.id, {"name": user.name, "role": user.role}))


def _open(*, create: bool) -> Access:
    from finetune30.access import open_access
    from finetune30.settings import get_settings

    return open_access(get_settings(), create=create)


def _role(name: str) -> Role:
    from finetune30.access import Role
    from finetune30.errors import UsageError

    if name not in tuple(Role):
        raise UsageError(f"role is {name!r}, expected user or admin")
    return Role(name)


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def _tell(user: User, told: str, as_json: bool) -> None:
    if as_json:
        _print(asdict(user))
    else:
        typer.echo(f"{user.name}  {told}  ({user.role}, {user.id})")


def _print(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
