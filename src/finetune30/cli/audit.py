"""``finetune30 audit``: read, check and export the audit log. Nothing here changes it.

What others wrote into it is shown without control or direction characters; in CSV no cell is a formula.
Neighbours: ``access`` keeps the log.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from finetune30.access import Access, AuditRow

app = typer.Typer(help="The audit log: read, check, export.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
# A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection), some the wide forms, too.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


@app.command("list")
def list_rows(
    user: Annotated[str | None, typer.Option(help="Name or id of who did it.")] = None,
    role: Annotated[str | None, typer.Option(help="Role of who did it.")] = None,
    action: Annotated[str | None, typer.Option(help="Such as login or user.add.")] = None,
    start_time: Annotated[float | None, typer.Option(help="First moment, Unix seconds.")] = None,
    end_time: Annotated[float | None, typer.Option(help="Last moment, Unix seconds.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, 1 to 1000.")] = 100,
    before: Annotated[int | None, typer.Option(help="Only rows before this number: the next page.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what was done, tried and refused, the newest first."""
    access = _open()
    found = access.audit.find(
        user_id=None if user is None else _id_of(access, user),
        role=role,
        action=action,
        start_time=start_time,
        end_time=end_time,
        limit=limit,
        before=before,
    )
    if as_json:
        typer.echo(json.dumps({"rows": [asdict(row) for row in found]}, ensure_ascii=True, allow_nan=False))
        return
    from rich.table import Table

    from finetune30.cli import shown
    from finetune30.settings import get_settings

    names = ("seq", "at", "who", "role", "action", "target", "outcome", "address")
    table = Table(*names, box=None, pad_edge=False, header_style="bold")
    for row in found:
        at = shown.moment(row.at, get_settings().zone)
        texts = (row.actor_name, row.role, row.action, row.target, row.outcome, row.address)
        table.add_row(str(row.seq), at, *map(_visible, texts))
    shown.console().print(table)
    if not found:
        typer.echo("no rows", err=True)


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check that no row was changed, moved, added or removed; exit code 1 and the first bad row if so."""
    found = _open().audit.verify()
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        typer.echo(f"{'ok' if found.ok else 'NOT WHOLE'}: {found.reason}", err=not found.ok)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def export(
    form: Annotated[str, typer.Option("--format", help="csv or jsonl.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="A new file; standard output if left out.")] = None,
) -> None:
    """Write all rows, the oldest first."""
    from finetune30.errors import UsageError

    writers = {"csv": write_csv, "jsonl": write_jsonl}
    if form not in writers:
        raise UsageError(f"--format is {form!r}, expected csv or jsonl")
    access = _open()
    with _target(out) as target:
        writers[form](access.audit.every(), target)


def write_csv(rows: Iterable[AuditRow], target: TextIO) -> None:
    """All rows with a header, one a line; a cell that a spreadsheet would compute begins with an apostrophe."""
    from finetune30.access import AuditRow

    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([one.name for one in fields(AuditRow)])
    for row in rows:
        detail = None if row.detail is None else json.dumps(row.detail, ensure_ascii=True, sort_keys=True)
        writer.writerow(map(_inert, (asdict(row) | {"detail": detail}).values()))


def write_jsonl(rows: Iterable[AuditRow], target: TextIO) -> None:
    """One object a line, in ASCII."""
    for row in rows:
        target.write(json.dumps(asdict(row), allow_nan=False) + "\n")


def _inert(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = _visible(value)
    # Behind spaces, too: some programs trim them first.
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def _visible(text: str) -> str:
    """``text`` on one line, where a character that steers a terminal or turns the direction stands as ``\\x1b``."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


@contextmanager
def _target(out: Path | None) -> Iterator[TextIO]:
    from finetune30.errors import UsageError

    if out is None:
        yield sys.stdout
        return
    try:
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as cause:
        raise UsageError(f"--out {out} cannot be made: {cause.strerror}", hint="choose a new file") from cause
    with open(file, "w", encoding="utf-8", newline="") as target:  # noqa: PTH123 - a descriptor
        yield target


def _id_of(access: Access, user: str) -> str:
    found = access.users.find(user)
    return user if found is None else found.id


def _open() -> Access:
    from finetune30.access import open_access
    from finetune30.settings import get_settings

    return open_access(get_settings(), create=False)
