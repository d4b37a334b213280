"""``finetune30 tasks``: one's tasks at a server, and what may be done with one of them.

Neighbours: ``server`` has the verbs one needs most; ``jobs`` is the same straight on the database.
"""

from __future__ import annotations

from typing import Annotated

import typer

from finetune30.cli import wanted
from finetune30.cli.server import AsJson, Server, TaskId, connected, note, say_json, whole_id

_USUAL = 20

app = typer.Typer(help="Your tasks at a server: list, show, pause, resume, retry, logs.")


@app.callback(invoke_without_command=True)
def tasks(
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option(help="PENDING, STARTED, SUCCESS, FAILURE or REVOKED.", case_sensitive=False)
    ] = None,
    owner: Annotated[str | None, typer.Option(help="For admins: only those of this user.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = _USUAL,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """List your tasks at a server, the newest first (an admin's list holds everybody's)."""
    if context.invoked_subcommand is not None:
        return
    from itertools import islice

    from finetune30.cli import shown, tasks_shown
    from finetune30.settings import get_settings

    wanted_status = None if status is None else status.upper()
    with connected(server) as client:
        found = list(islice(client.tasks(status=wanted_status, owner=owner, limit=limit + 1), limit + 1))
    more, found = len(found) > limit, found[:limit]
    if as_json:
        say_json({"tasks": [task.to_dict() for task in found], "has_more": more})
        return
    shown.console().print(tasks_shown.table(found, get_settings().zone))
    if not found:
        note("no tasks")
    if more:
        note(f"there are more; see them with: finetune30 tasks --limit {10 * limit}")


@app.command()
def show(task_id: TaskId, server: Server = None, as_json: AsJson = False) -> None:
    """Show everything about one task."""
    from finetune30.cli import shown, tasks_shown
    from finetune30.settings import get_settings

    with connected(server) as client:
        task = client.task(whole_id(client, task_id))
    if as_json:
        say_json(task.to_dict())
        return
    for part in tasks_shown.details(task, get_settings().zone):
        shown.console().print(part)


@app.command()
def logs(
    task_id: TaskId,
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="So many lines from its end.")] = 200,
    server: Server = None,
) -> None:
    """Print the end of a task's log."""
    from finetune30.cli import tasks_shown

    with connected(server) as client:
        typer.echo(tasks_shown.harmless(client.logs(whole_id(client, task_id), tail)), nl=False)


@app.command()
def pause(task_id: TaskId, server: Server = None, as_json: AsJson = False) -> None:
    """Let a task wait until it is resumed; a running one stops at a checkpoint first."""
    with connected(server) as client:
        _tell(client.pause(whole_id(client, task_id)).to_dict(), as_json)


@app.command()
def resume(task_id: TaskId, server: Server = None, as_json: AsJson = False) -> None:
    """Let a paused task wait for a worker again."""
    with connected(server) as client:
        _tell(client.resume(whole_id(client, task_id)).to_dict(), as_json)


@app.command()
def retry(
    task_id: TaskId,
    fresh: Annotated[bool, typer.Option("--fresh", help="From the beginning, not from its checkpoints.")] = False,
    priority: Annotated[int | None, typer.Option(help="Another priority than before, -100 to 100.")] = None,
    queue: Annotated[str | None, typer.Option(help="Another queue than before.")] = None,
    max_runtime: Annotated[
        str | None, typer.Option("--max-runtime", help="Another longest time of an attempt: 90, 30m, 2h.")
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Run an ended task again as a new one: a failed or cancelled one goes on from its checkpoints."""
    longest_s = wanted.seconds(max_runtime, "--max-runtime")
    with connected(server) as client:
        before = whole_id(client, task_id)
        made = client.retry(before, fresh=fresh, priority=priority, queue=queue, max_runtime_s=longest_s)
        _tell(made.to_dict(), as_json)


def _tell(told: dict[str, object], as_json: bool) -> None:
    from finetune30.cli import tasks_shown
    from finetune30.client import Task

    if as_json:
        say_json(told)
    else:
        task = Task.model_validate(told)
        typer.echo(f"{task.task_id}  {tasks_shown.standing(task)}")
