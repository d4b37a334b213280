"""``finetune30 login|logout|submit|watch|cancel``: a server elsewhere, through its API.

Which server: ``--server``, else ``API_URL``, else the one logged in to last, else the one on this machine.
Neighbours: ``client`` asks, ``tasks`` has the verbs below ``tasks``, ``tasks_shown`` the words.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune30.cli import wanted

if TYPE_CHECKING:
    from finetune30.client import Client, Task

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="API_URL, or the server of the last login, if left out."),
]
TaskId = Annotated[str, typer.Argument(metavar="ID", help="Id of the task, or how it begins.")]


def login(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Of the server; API_URL if left out.")] = None,
    server: Annotated[str | None, typer.Option("--server", metavar="URL", help="The same as URL.")] = None,
    username: Annotated[str | None, typer.Option("--username", "-u", help="It is asked for if left out.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="The password is the first line of standard input.")
    ] = False,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Send the password over plain HTTP to another machine.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Log in to a server; the login is stored for the other verbs, readable for you only."""
    from finetune30.client import Client, CredentialsFile
    from finetune30.settings import get_settings

    keep = CredentialsFile(_address(url or server), plain_http=plain_http or get_settings().plain_http)
    with Client(keep.url, plain_http=keep.plain_http) as client:
        client.health()  # before anybody types a password for a server that is not there
        name = username if username is not None else _asked("User name")
        session = client.login(name, _password(password_stdin))
    with keep.locked():
        keep.write(session)
    keep.make_last()
    if as_json:
        say_json({"server": keep.url, "username": name, "user_id": session.user_id, "role": session.role})
    else:
        typer.echo(f"logged in to {keep.url} as {name} ({session.role})")


def logout(server: Server = None, as_json: AsJson = False) -> None:
    """Log out of a server and forget the stored login."""
    from finetune30.client import Client, CredentialsFile
    from finetune30.errors import RemoteError, SettingsError

    keep = CredentialsFile(_address(server))
    try:
        there = keep.read() is not None
    except SettingsError:
        with keep.locked():
            keep.write(None)
        note("the stored login was not readable as one; it is removed, and its session ends by itself")
        there = False
    told = "logged out of" if there else "nobody was logged in to"
    if there:
        try:
            with Client(keep.url, keep=keep, plain_http=keep.plain_http, tries=2) as client:
                client.logout()
        except RemoteError as fault:
            fault.hint = "the login is forgotten here; at the server its session ends by itself"
            raise
    if as_json:
        say_json({"server": keep.url, "was_logged_in": there})
    else:
        typer.echo(f"{told} {keep.url}")


def submit(
    config: wanted.ConfigArgument = None,
    config_option: wanted.ConfigOption = None,
    overrides: wanted.Overrides = None,
    experiment_name: wanted.ExperimentName = None,
    learning_rate: wanted.LearningRate = None,
    epochs: wanted.Epochs = None,
    train_samples: wanted.TrainSamples = None,
    priority: Annotated[int, typer.Option(help="-100 to 100; among your tasks the highest starts first.")] = 0,
    queue: Annotated[str | None, typer.Option(help="One of the server's queues; its first if left out.")] = None,
    max_runtime: Annotated[
        str | None, typer.Option("--max-runtime", help="End an attempt after so long: 90, 30m, 2h.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="Submitting again with this key makes no second task.")
    ] = None,
    wait: Annotated[bool, typer.Option("--watch", "--wait", help="Show what happens until it has ended.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Submit a training to a server; a data file of this machine is sent there first."""
    path = wanted.one_file(config, config_option)
    given = wanted.all_overrides(
        overrides,
        experiment_name=experiment_name,
        learning_rate=learning_rate,
        epochs=epochs,
        train_samples=train_samples,
        device=None,
    )
    longest_s = wanted.seconds(max_runtime, "--max-runtime")
    from finetune30.cli import sending, tasks_shown
    from finetune30.config import load

    checked = load(path, given)
    for remark in checked.notes:
        note(remark)
    with connected(server) as client:
        values = sending.with_data_sent(client, checked.to_dict(), note)
        task = client.train(
            values, queue=queue, priority=priority, max_runtime_s=longest_s, idempotency_key=idempotency_key
        )
        if not wait:
            _tell(task, as_json)
            return
        note(f"{task.task_id}  {tasks_shown.standing(task)}")
        follow(client, task.task_id, as_json)


def watch(task_id: TaskId, server: Server = None, as_json: AsJson = False) -> None:
    """Show what happens to a task until it has ended; Ctrl+C leaves it running."""
    with connected(server) as client:
        follow(client, whole_id(client, task_id), as_json)


def cancel(task_id: TaskId, server: Server = None, as_json: AsJson = False) -> None:
    """Stop a task: at once if nobody runs it, else at its next heartbeat."""
    with connected(server) as client:
        _tell(client.cancel(whole_id(client, task_id)), as_json)


def connected(server: str | None) -> Client:
    """A client with the stored login of the server that is meant.

    Raises: LoginNeeded, SettingsError.
    """
    from finetune30.client import Client

    return Client.logged_in(_address(server))


def whole_id(client: Client, begins: str) -> str:
    """The id of the task that is meant.

    Raises: UsageError where several begin so, NotFound.
    """
    from finetune30.errors import NotFound, Refused, UsageError

    try:
        return client.task(begins).task_id
    except NotFound as cause:
        missing: Refused | NotFound = cause
    found = [task.task_id for task in client.tasks(limit=1000) if task.task_id.startswith(begins)]
    if len(found) > 1:
        raise UsageError(f"{len(found)} tasks begin so: {', '.join(found[:5])}", where=begins, hint="give more of it")
    if not found:
        raise NotFound("there is no such task", where=begins, hint="see: finetune30 tasks") from missing
    return found[0]


def follow(client: Client, task_id: str, as_json: bool) -> None:
    """Show a task's events until its end, and how it ended; the exit code is 1 unless that is SUCCESS.

    Raises: Interrupted, which says how to come back.
    """
    from finetune30.cli import heard, tasks_shown
    from finetune30.errors import Interrupted

    screen = tasks_shown.Screen(quiet=as_json)
    try:
        for news in heard.interruptible(client.watch(task_id)):
            screen.show(news)
        screen.close()
        task = client.task(task_id)
    except KeyboardInterrupt:
        screen.close()
        again = f"finetune30 watch {task_id}"
        raise Interrupted(
            "no longer watched, the task goes on",
            where=task_id,
            hint=f"come back with: {again}; stop it with: finetune30 cancel {task_id}",
        ) from None
    _tell(task, as_json)
    if task.status != "SUCCESS":
        raise typer.Exit(1)


def say_json(value: Any) -> None:
    """One object, on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def note(text: str) -> None:
    """Something beside the answer."""
    typer.echo(text, err=True)


def _tell(task: Task, as_json: bool) -> None:
    from finetune30.cli import tasks_shown

    if as_json:
        say_json(task.to_dict())
        return
    for remark in task.notes:
        note(remark)
    typer.echo(f"{task.task_id}  {tasks_shown.standing(task)}")


def _address(chosen: str | None) -> str:
    from finetune30.client import last_server
    from finetune30.client.address import HERE, server_url
    from finetune30.settings import get_settings

    return server_url(chosen or get_settings().api_url or last_server() or HERE, "--server" if chosen else "API_URL")


def _asked(what: str) -> str:
    from finetune30.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the user name at", hint="give it with --username")
    return str(typer.prompt(what, err=True))


def _password(from_stdin: bool) -> str:
    from finetune30.errors import UsageError

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password at", hint="--password-stdin reads it")
    return str(typer.prompt("Password", hide_input=True, err=True))
