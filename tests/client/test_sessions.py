"""Tokens that expire under many at once: one refresh, one family; and the file a login is stored in."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from finetune30 import errors
from finetune30.client import Client, CredentialsFile, Session, last_server
from tests.api.service import PASSWORD, Person, Service
from tests.client.canned import Canned, problem
from tests.client.conftest import Connect, url_of
from tests.proxy import Proxy


def _refreshes(service: Service, person: Person) -> int:
    return len([row for row in service.audit(action="token.refresh") if row.actor_id == person.user.id])


def _expired(session: Session | None) -> Session:
    assert session is not None
    return replace(session, token="an.expired.token", expires_at=None)


@pytest.mark.parametrize("known", [False, True])
def test_eight_threads_with_an_expired_token_refresh_it_once(
    service: Service, ana: Person, connect: Connect, known: bool
) -> None:
    told: list[Session | None] = []
    before = _expired(connect(ana).session)
    before = replace(before, expires_at=1.0) if known else before
    with Client(service.url, session=before, on_session=told.append) as client, ThreadPoolExecutor(8) as threads:
        start = threading.Barrier(8)

        def ask(_: int) -> str:
            start.wait(20)
            return client.me().name

        assert set(threads.map(ask, range(8))) == {ana.name}
        assert _refreshes(service, ana) == 1
        assert told == [client.session]
        client.me()
        assert _refreshes(service, ana) == 1


def test_a_refresh_whose_answer_was_lost_goes_on(service: Service, ana: Person, connect: Connect, wire: Proxy) -> None:
    before = _expired(connect(ana).session)
    with Client(url_of(wire), session=before) as client:
        wire.become("mute")

        def mend() -> None:
            until = time.monotonic() + 20
            while not _refreshes(service, ana):
                assert time.monotonic() < until
                time.sleep(0.01)
            wire.become("pass")

        mending = threading.Thread(target=mend)
        # The expired token is known to be so: the refresh is the first thing that is sent.
        client._login.become(replace(before, expires_at=1.0))
        mending.start()
        assert client.me().name == ana.name
        mending.join()


def test_a_session_that_was_ended_says_log_in(service: Service, ana: Person, connect: Connect) -> None:
    client = connect(ana)
    service.services.access.users.disable(ana.user.id)
    with pytest.raises(errors.LoginNeeded, match=r"the session has ended\n.*finetune30 login"):
        client.me()
    assert client.session is None


def test_a_token_alone_is_not_refreshed(service: Service, ana: Person) -> None:
    with Client(service.url, token=ana.token) as client:
        assert client.me().name == ana.name
    with Client(service.url, token="a.b.c") as client, pytest.raises(errors.LoginNeeded, match="not valid"):
        client.me()


def test_a_busy_server_ends_no_session(service: Service, ana: Person) -> None:
    with Canned(problem(503, "storage_unusable")) as server:
        session = Session("t", "r", expires_at=1.0)
        with Client(server.url, session=session, tries=2) as client:
            with pytest.raises(errors.ServerFault):
                client.me()
            assert client.session is session


def test_a_login_is_stored_for_its_user_only_and_goes_on_elsewhere(service: Service, ana: Person) -> None:
    keep = CredentialsFile(service.url)
    with Client(service.url, keep=keep) as client:
        client.login(ana.name, PASSWORD)
    assert stat.S_IMODE(keep.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keep.path.parent.stat().st_mode) == 0o700
    with Client.logged_in(service.url + "/") as client:
        assert client.me().name == ana.name
        client.logout()
    assert not keep.path.exists()
    with pytest.raises(errors.LoginNeeded, match="finetune30 login http"):
        Client.logged_in(service.url)


def test_the_last_server_is_remembered(service: Service) -> None:
    assert last_server() is None
    CredentialsFile(service.url).make_last()
    assert last_server() == service.url


def _stored(url: str) -> Path:
    keep = CredentialsFile(url)
    with keep.locked():
        keep.write(Session("the-token", "the-refresh-token", 1.0, "u_1", "user"))
    return keep.path


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_stored_login_that_others_may_read_is_refused(mode: int) -> None:
    path = _stored("https://api.example.org")
    path.chmod(mode)
    with pytest.raises(errors.SettingsError, match=f"mode {mode:o}.*expected mode 600") as fault:
        Client.logged_in("https://api.example.org")
    assert "the-token" not in str(fault.value)
    assert str(path) in str(fault.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"url": "https://api.example.org"}', '{"url": "https://evil.example.org"}', "\0" * 99]
)
def test_a_stored_login_that_is_damaged_is_said_to_be(content: str) -> None:
    path = _stored("https://api.example.org")
    path.write_text(content)
    with pytest.raises(errors.SettingsError, match=r"is damaged\n.*log in again"):
        Client.logged_in("https://api.example.org")


def test_the_login_of_another_server_is_not_sent_to_this_one() -> None:
    path = _stored("https://api.example.org")
    other = CredentialsFile("https://evil.example.org")
    other.path.write_text(path.read_text())
    other.path.chmod(0o600)
    with pytest.raises(errors.SettingsError, match="is damaged"):
        other.read()


def test_links_and_devices_are_no_stored_logins(tmp_path: Path) -> None:
    path = _stored("https://api.example.org")
    elsewhere = tmp_path / "elsewhere.json"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(errors.SettingsError, match="cannot be read"):
        Client.logged_in("https://api.example.org")
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(errors.SettingsError, match="not a file of yours"):
        Client.logged_in("https://api.example.org")


def test_a_program_goes_on_as_who_it_was_and_leaves_the_login_of_another_alone(service: Service, ana: Person) -> None:
    keep, bo = CredentialsFile(service.url), service.person()
    with Client(service.url, keep=keep) as client:
        client.login(ana.name, PASSWORD)
        with Client(service.url, keep=CredentialsFile(service.url)) as other:
            other.login(bo.name, PASSWORD)
        stored = keep.path.read_text()
        client._login._session = _expired(client.session)
        assert client.me().name == ana.name
        assert keep.path.read_text() == stored

        with keep.locked():
            keep.write(None)
        client._login._session = _expired(client.session)
        assert client.me().name == ana.name
        assert not keep.path.exists()


def test_two_processes_with_one_expired_login_refresh_it_once(service: Service, ana: Person) -> None:
    keep = CredentialsFile(service.url)
    with Client(service.url, keep=keep) as client:
        client.login(ana.name, PASSWORD)
        session = client.session
    assert session is not None
    with keep.locked():
        keep.write(replace(session, expires_at=1.0))
    code = "from finetune30.client import Client\nwith Client.logged_in() as client:\n"
    code += "    print('ready', flush=True); input(); print(client.me().name)"
    env = {**os.environ, "API_URL": service.url}
    asked = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in "abcd"
    ]
    for one in asked:  # each has read the expired one before any asks
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in asked:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()

    assert {one.communicate(timeout=60)[0].strip() for one in asked} == {ana.name}
    assert _refreshes(service, ana) == 1
    assert json.loads(keep.path.read_text())["session"]["token"] != session.token
