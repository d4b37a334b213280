"""``finetune30 login|submit|tasks|watch|cancel|logout``, as somebody with a server elsewhere sees them."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from finetune30.client import CredentialsFile
from finetune30.client.credentials import folder
from finetune30.experiments import Status
from tests.api.service import PASSWORD, Person, Service
from tests.cli_cases import Cli, run_here
from tests.client.conftest import url_of
from tests.proxy import Proxy


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("TZ", "UTC")
    return run_here(monkeypatch, capsys, tmp_path)


@pytest.fixture
def login(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Logs somebody in; what was printed."""

    def call(service: Service, person: Person, *more: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        ended = cli("login", service.url, "--username", person.name, "--password-stdin", *more)
        assert ended.code == 0, ended.err
        return ended.out + ended.err

    return call


def test_the_whole_way_of_a_task(cli: Cli, login: Callable[..., str], both: Service) -> None:
    ana = both.person()
    said = login(both, ana)
    assert said == f"logged in to {both.url} as {ana.name} (user)\n"
    stored = CredentialsFile(both.url)
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o600

    ended = cli("submit", "--experiment-name", "remote", "--set", "lora.r=4", "--priority", "7", "--json")
    task = ended.json
    assert (task["status"], task["priority"], task["owner"]) == ("PENDING", 7, ana.name)
    assert re.search(r"place \d+ in the queue", cli("submit", "--epochs", "1").out)
    listed = cli("tasks")
    assert task["task_id"] in listed.out
    assert [one["name"] for one in cli("tasks", "--json").json["tasks"]][1] == "remote"
    assert "finetune30 tasks --limit 10" in cli("tasks", "--limit", "1").err
    assert cli("tasks", "--status", "success").err == "no tasks\n"

    begins = task["task_id"][:9]
    assert cli("tasks", "show", begins, "--json").json["config"]["lora"]["r"] == 4
    assert "remote" in cli("tasks", "show", begins).out
    assert cli("tasks", "pause", begins).out == (
        f"{task['task_id']}  paused; go on with: finetune30 tasks resume {task['task_id']}\n"
    )
    assert cli("tasks", "resume", begins, "--json").json["paused"] is False
    assert cli("tasks", "logs", begins).out == ""
    assert cli("cancel", begins).out == f"{task['task_id']}  REVOKED\n"
    assert cli("tasks", "retry", begins, "--fresh", "--json").json["status"] == "PENDING"

    watched = cli("watch", task["task_id"])
    assert watched.code == 1
    assert watched.out.splitlines()[-1] == f"{task['task_id']}  REVOKED"
    assert len(watched.out.splitlines()) == 5  # submitted, paused, resumed, cancelled, and how it ended

    assert cli("logout").out == f"logged out of {both.url}\n"
    assert not stored.path.exists()
    assert cli("logout", "--json").json == {"server": both.url, "was_logged_in": False}
    late = cli("tasks", "--json")
    assert (late.code, late.json["error"]["code"]) == (2, "token_refused")
    assert f"finetune30 login {both.url}" in late.err


def test_no_token_and_no_password_is_ever_printed(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person
) -> None:
    said = login(service, ana, "--json")
    session = CredentialsFile(service.url).read()
    assert session is not None
    for command in (["tasks"], ["submit", "--json"], ["tasks", "show", "nothing"], ["logout"]):
        ended = cli(*command)
        said += ended.out + ended.err
    assert session.token not in said
    assert str(session.refresh_token) not in said
    assert PASSWORD not in said


def test_watching_shows_what_happens_and_ends_with_success(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person
) -> None:
    login(service, ana)

    def run() -> None:
        until = time.monotonic() + 30
        while not (found := service.services.jobs.store.find(owner=ana.name)):
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.5)
        service.ended(found[0].id)

    running = threading.Thread(target=run)
    running.start()
    ended = cli("submit", "--watch", "--json")
    running.join()

    assert (ended.code, ended.json["status"]) == (0, "SUCCESS")
    assert len(ended.out.splitlines()) == 1
    assert len(ended.err.splitlines()) >= 3


def test_a_failed_task_says_why_and_what_to_do(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person
) -> None:
    login(service, ana)
    task_id = cli("submit", "--json").json["task_id"]
    service.ended(task_id, Status.FAILURE)
    ended = cli("watch", task_id)
    assert (ended.code, ended.out.splitlines()[-1]) == (1, f"{task_id}  FAILURE")


def test_ctrl_c_leaves_the_task_running_and_says_how_to_come_back(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person
) -> None:
    login(service, ana)
    task_id = cli("submit", "--json").json["task_id"]
    # A shell starts what it puts in the background with SIGINT ignored, and children inherit that.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from finetune30.cli import main; sys.exit(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "watch", task_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as watching:
        try:
            assert watching.stdout is not None
            watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, err = watching.communicate(timeout=30)
        finally:
            watching.kill()  # a fault here must not leave a process to the tests that follow

    assert watching.returncode == 130
    assert f"finetune30 watch {task_id}" in err
    assert "Traceback" not in err
    assert service.services.jobs.store.get(task_id).status is Status.PENDING


def test_ids_may_be_shortened_and_are_not_guessed(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person
) -> None:
    login(service, ana)
    for _ in range(2):
        cli("submit", "--experiment-name", "twins")
    several = cli("cancel", "twin")
    assert (several.code, "2 tasks begin so" in several.err) == (2, True)
    nothing = cli("cancel", "nobody", "--json")
    assert (nothing.code, nothing.json["error"]["code"]) == (2, "not_found")


def test_a_server_that_is_down_has_an_exit_code_of_its_own(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person, wire: Proxy, free_port: int
) -> None:
    ended = cli("login", f"http://127.0.0.1:{free_port}", "--username", "ana", "--password-stdin", "--json")
    assert (ended.code, ended.json["error"]["code"]) == (3, "unreachable")
    assert "finetune30 api" in ended.err
    keep = CredentialsFile(url_of(wire))
    login(service, ana)
    stored = CredentialsFile(service.url).read()
    with keep.locked():
        keep.write(stored)
    wire.become("reset")
    gone = cli("tasks", "--server", keep.url)
    assert (gone.code, gone.out) == (3, "")
    out = cli("logout", "--server", keep.url)
    assert (out.code, keep.path.exists()) == (3, False)
    assert "its session ends by itself" in out.err


def test_the_server_is_the_one_that_is_said(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(service, ana)
    assert cli("tasks").code == 0
    monkeypatch.setenv("API_URL", "https://api.example.org")
    assert "finetune30 login https://api.example.org" in cli("tasks").err
    assert cli("tasks", "--server", service.url).code == 0
    assert "is not one" in cli("tasks", "--server", "example.org").err
    plain = cli("login", "http://10.1.2.3", "--username", "ana", "--password-stdin")
    assert (plain.code, "--plain-http" in plain.err) == (2, True)


def test_wrong_passwords_and_no_terminal_are_said(
    cli: Cli, service: Service, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("four wrong words here\n"))
    wrong = cli("login", service.url, "--username", ana.name, "--password-stdin", "--json")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "login_refused")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "--password-stdin" in cli("login", service.url, "--username", ana.name).err
    assert "--username" in cli("login", service.url).err
    assert not (folder() / "servers").exists()


def test_a_person_at_a_terminal_is_asked_and_sees_no_password(service: Service, ana: Person) -> None:
    mine, theirs = pty.openpty()
    logging_in = subprocess.Popen(
        [sys.executable, "-m", "finetune30", "login", service.url], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    for question, reply in ((b"User name", ana.name), (b"Password", PASSWORD), (b"logged in to", "")):
        while question not in seen:
            seen += os.read(mine, 4096)
        time.sleep(0.2)
        os.write(mine, f"{reply}\n".encode())
    assert logging_in.wait(30) == 0
    os.close(mine)
    assert PASSWORD.encode() not in seen


def test_a_bad_stored_login_is_told_and_mended_by_the_next_login(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person
) -> None:
    login(service, ana)
    path = CredentialsFile(service.url).path
    path.chmod(0o644)
    told = cli("tasks", "--json")
    assert (told.code, told.json["error"]["code"]) == (2, "settings_invalid")
    login(service, ana)
    assert cli("tasks").code == 0
    path.write_text("{")
    assert "is damaged" in cli("tasks").err
    assert cli("logout").code == 0
    assert not path.exists()


def test_two_commands_at_once_with_an_expired_login_refresh_it_once(
    login: Callable[..., str], service: Service, ana: Person
) -> None:
    login(service, ana)
    keep = CredentialsFile(service.url)
    session = keep.read()
    assert session is not None
    with keep.locked():
        keep.write(replace(session, expires_at=1.0))
    command = [sys.executable, "-m", "finetune30", "tasks", "--json"]
    asked = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"]
    assert [(one.communicate(timeout=60)[1], one.returncode) for one in asked] == [("", 0)] * 2
    assert len([row for row in service.audit(action="token.refresh") if row.actor_id == ana.user.id]) == 1


def test_faults_of_a_configuration_are_told_here_and_by_the_server(
    cli: Cli, login: Callable[..., str], service: Service, ana: Person
) -> None:
    login(service, ana)
    here = cli("submit", "--set", "lora.rr=3", "--json")
    assert (here.code, here.json["error"]["code"]) == (2, "config_invalid")
    there = cli("submit", "--set", "model.name=someone/else", "--json")
    assert (there.code, there.json["error"]["where"]) == (2, "body.model.name")
    assert there.json["error"]["request_id"]
    missing = cli("submit", "--set", "data.dataset_name=./reviews.csv")
    assert (missing.code, "no such file" in missing.err) == (2, True)
    assert service.services.jobs.store.find(owner=ana.name) == []


def test_help_loads_nothing_of_the_client() -> None:
    code = "import sys, finetune30.cli; print([m for m in ('httpx', 'sqlalchemy', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\[('pydantic')?\]\n", done.stdout)


def test_when_a_task_starts_is_no_estimate_of_nothing(service: Service) -> None:
    from finetune30.cli.tasks_shown import standing
    from finetune30.client import Client

    with Client(service.url, token=service.person().token) as client:
        task = client.train({})
    for starts, told in ((0.0, ", starts as soon as a worker looks"), (90.0, ", starts in about 1m 30s"), (None, "")):
        assert standing(task.model_copy(update={"position": 1, "starts_in_s": starts})) == f"next in the queue{told}"
