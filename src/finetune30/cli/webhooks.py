"""``finetune30 webhooks``: where the end of runs is told, for who trains on this machine.

Each change is told to the audit log in the same transaction. Neighbours: ``webhooks`` does the work, API and worker
send; ``test`` sends by itself, so that it works where neither runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from finetune30.cli.user import local_user

if TYPE_CHECKING:
    from finetune30.access import Access
    from finetune30.webhooks import Delivery, Kind, Webhooks

app = typer.Typer(help="Have the end of your runs told to an address.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the webhook, see: finetune30 webhooks list.")]
T = TypeVar("T")
# Longer than one attempt may take: another process may be the one that sends.
_PATIENCE_S = 30.0
_LOOK_S = 0.2


@app.command("list")
def list_webhooks(as_json: AsJson = False) -> None:
    """List the webhooks of this database, the oldest first."""
    _, found = _open(create=False)
    hooks = found.all()
    if as_json:
        _print({"webhooks": [asdict(one) for one in hooks]})
        return
    from rich.table import Table

    from finetune30.cli import shown

    table = Table("id", "owner", "state", "last", "kinds", "url", box=None, pad_edge=False, header_style="bold")
    for one in hooks:
        state = "failing" if one.failing_since else "enabled"
        state = f"disabled: {one.disabled_why}" if one.disabled_at else state
        last = "-" if one.last_at is None else one.last_error or str(one.last_status)
        table.add_row(one.id, one.owner, state, last, " ".join(one.kinds), one.url)
    shown.console().print(table)
    if not hooks:
        typer.echo("no webhooks; make one with: finetune30 webhooks add URL", err=True)


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="https://… of a receiver.")],
    kind: Annotated[
        list[str] | None, typer.Option(help="run.succeeded, …; may be repeated; every end of a run if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have your runs told to an address; the secret that signs is printed this once."""
    access, found = _open(create=True)
    kinds = _kinds(kind)
    found.look_at(url)
    made, secret = _audited(access, "webhook.add", lambda: found.add(local_user(), url, kinds), lambda made: made[0].id)
    if as_json:
        _print({**asdict(made), "secret": secret})
        return
    typer.echo(f"{made.id}  {' '.join(made.kinds)}")
    typer.echo(f"secret: {secret}\nit is told only this once; the receiver checks signatures with it", err=True)


@app.command()
def delete(webhook_id: Id, as_json: AsJson = False) -> None:
    """Forget a webhook and what waits for it."""
    access, found = _open(create=True)
    _audited(access, "webhook.delete", lambda: found.delete(webhook_id), lambda _: webhook_id)
    if as_json:
        _print({"deleted": webhook_id})
    else:
        typer.echo(f"{webhook_id}  deleted")


@app.command("test")
def ping(webhook_id: Id, as_json: AsJson = False) -> None:
    """Send a message for trying and say what came back; exit code 1 if it was not taken."""
    from finetune30.webhooks import State

    access, found = _open(create=True)
    asked = _audited(access, "webhook.test", lambda: found.ping(webhook_id), lambda _: webhook_id)
    sent = _sent(found, webhook_id, asked.number)
    if as_json:
        _print({**asdict(sent), "message_id": sent.message_id})
    elif sent.state is State.DELIVERED:
        typer.echo(f"{webhook_id}  delivered: HTTP {sent.last_status}")
    else:
        typer.echo(f"{webhook_id}  not delivered: {sent.last_error or 'it is still under way'}", err=True)
    if sent.state is not State.DELIVERED:
        raise typer.Exit(1)


def _sent(found: Webhooks, webhook_id: str, number: int) -> Delivery:
    """The delivery after its first attempt, made here or by the process that was faster."""
    from finetune30.webhooks import Postman

    Postman(found, lambda text: typer.echo(text, err=True)).send(number)
    until = time.monotonic() + _PATIENCE_S
    while True:
        sent = found.delivery(webhook_id, number)
        if sent.last_at is not None or time.monotonic() > until:
            return sent
        time.sleep(_LOOK_S)


def _audited(access: Access, action: str, change: Callable[[], T], target: Callable[[T], str]) -> T:
    """Do it and tell the audit log, both or neither."""
    from finetune30 import database
    from finetune30.access import Outcome

    audit = access.audit  # a missing key is told before anything is done
    with database.write(access.engine) as connection:
        done = change()
        audit.record(
            connection,
            actor_id=None,
            actor_name=local_user(),
            role="operator",
            action=action,
            target=target(done),
            outcome=Outcome.OK,
            address="local",
            request_id="",
        )
    return done


def _open(*, create: bool) -> tuple[Access, Webhooks]:
    from finetune30.access import open_access
    from finetune30.settings import get_settings
    from finetune30.webhooks import Webhooks

    settings = get_settings()
    access = open_access(settings, create=create)
    return access, Webhooks(settings, access.engine)


def _kinds(names: list[str] | None) -> list[Kind]:
    from finetune30.errors import UsageError
    from finetune30.webhooks import ENDS, Kind

    told = [kind for kind in Kind if kind is not Kind.PING]
    if unknown := [name for name in names or [] if name not in told]:
        raise UsageError(f"--kind is {unknown[0]!r}, expected one of {', '.join(told)}")
    return [Kind(name) for name in names] if names else list(ENDS)


def _print(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
