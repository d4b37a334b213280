"""Promises that only processes can break: G7 over two of them with restarts, G8 at each system call, G15, G17, G18."""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from finetune30.access import Role
from finetune30.experiments import LEGAL_MOVES, Status
from tests.api.processes import PASSWORD, ApiProcess, access_to, api, token_of, train
from tests.api.service import refused
from tests.jobs.plant import Plant

MakePlant = Callable[..., Plant]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def strace() -> None:
    """Skips where there is no strace, or it may not trace."""
    try:
        done = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    if done.returncode:
        pytest.skip("this user may not trace processes")


# G7: what was answered is there, for everybody, whatever restarts -------------------------------------


class Watcher(threading.Thread):
    """Asks one API for every task that was accepted, again and again, and keeps what it was told."""

    def __init__(self, asked: ApiProcess, token: str) -> None:
        super().__init__(daemon=True)
        self.tasks: list[str] = []
        self.seen: dict[str, list[str]] = defaultdict(list)
        self.wrong: list[str] = []
        self.ending = threading.Event()
        self._asked, self._token = asked, token

    def run(self) -> None:
        with self._asked.client(self._token) as client:
            while not self.ending.wait(0.02):
                for task in list(self.tasks):
                    try:
                        answer = client.get(f"/task/{task}")
                    except httpx.TransportError:
                        break  # it is being restarted
                    if answer.status_code != 200:
                        self.wrong.append(f"{task}: {answer.status_code} {answer.text}")
                    elif self.seen[task][-1:] != [answer.json()["status"]]:
                        self.seen[task].append(answer.json()["status"])


@contextmanager
def started(watchers: list[Watcher]) -> Iterator[None]:
    """They run within the block and no longer: a connection left open is blamed on another test."""
    for watcher in watchers:
        watcher.start()
    try:
        yield
    finally:
        for watcher in watchers:
            watcher.ending.set()
        for watcher in watchers:
            watcher.join()


def is_path(states: list[str]) -> bool:
    """Whether the state machine can go through these, not each of its states being seen."""
    return all(Status(after) in reachable(Status(before)) for before, after in itertools.pairwise(states))


def said(answer: httpx.Response, by: ApiProcess) -> str:
    """A refusal and, of a fault, what its process logs about it once it has answered."""
    if answer.status_code == 500:
        time.sleep(1)
    lines = by.log.read_text(errors="replace").splitlines()
    return "\n".join([answer.text, *(line for line in lines if '"level": "INFO"' not in line)])


def reachable(start: Status) -> set[Status]:
    found: set[Status] = set()
    while new := {after for one in (found or {start}) for after in LEGAL_MOVES[one]} - found:
        found |= new
    return found


@pytest.mark.parametrize("kind", ["E", "P"])
def test_g7_two_processes_and_a_restart_never_forget_a_task(make_plant: MakePlant, kind: str) -> None:
    site = make_plant(kind)
    token = token_of(site, "ana")
    site.worker(2)
    with api(site) as one, api(site) as two:
        watchers = [Watcher(asked, token) for asked in (one, two)]
        with one.client(token) as first, two.client(token) as second, started(watchers):
            for number in range(8):
                name = ("short steps.4 ms.30", "fails fail.2 ms.30")[number % 2]
                answer = train((first, second)[number % 2], name)
                assert answer.status_code == 202, said(answer, (one, two)[number % 2])
                for watcher in watchers:
                    watcher.tasks.append(answer.json()["task_id"])
                if number == 4:
                    two.kill()  # whose answers were read
                    two.start().wait()
            site.settle(watchers[0].tasks)
            for watcher in watchers:
                site.until(
                    lambda w=watcher: all(Status(w.seen[t][-1]).is_terminal for t in w.tasks), "both saw the end"
                )

    for watcher in watchers:
        assert watcher.wrong == []
        for task in watcher.tasks:
            assert is_path(watcher.seen[task]), watcher.seen[task]
            assert watcher.seen[task][-1] == site.get(task).status


# G8: 202 only after a durable commit ------------------------------------------------------------------

_CALLS = "trace=fdatasync,fsync,write,pwrite64,sendto,sendmsg,recvfrom,recvmsg"


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("kind", ["E", "P"])
def test_g8_202_is_written_after_the_commit_reached_the_disk(make_plant: MakePlant, kind: str) -> None:
    site = make_plant(kind)
    token, trace = token_of(site, "ana"), site.home / "calls"
    tracer = ["strace", "-f", "-y", "-s", "5000", "-e", _CALLS, "-o", str(trace)]
    with api(site, tracer) as asked, asked.client(token) as client:
        task = train(client, "g8").json()["task_id"]

    lines = trace.read_text(errors="replace").splitlines()
    answered = next(n for n, line in enumerate(lines) if "HTTP/1.1 202" in line)
    before = lines[:answered]
    assert not any(task in line and "HTTP/1.1" in line for line in before)
    if kind == "E":
        written = [n for n, line in enumerate(before) if "pwrite64(" in line and "experiments.db-wal>" in line]
        flushed = [n for n, line in enumerate(before) if "fdatasync(" in line and "experiments.db-wal>" in line]
        assert any(task in before[n] for n in written)
        assert written[-1] < flushed[-1]
        return
    inserted = next(n for n, line in enumerate(before) if task in line and "INSERT INTO experiments" in line)
    asked_for = [n for n, line in enumerate(before) if n > inserted and re.search(r"send(to|msg)\(.*COMMIT", line)]
    replied = [n for n, line in enumerate(before) if re.search(r"recv(from|msg)\(.*COMMIT", line)]
    assert asked_for
    assert any(n > asked_for[0] for n in replied)


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("kind", ["E", "P"])
def test_g8_killed_at_any_system_call_who_saw_202_finds_the_row(make_plant: MakePlant, kind: str) -> None:
    """The process dies at the n-th flush or send after it was ready: before the commit, in it, behind it."""
    site = make_plant(kind)
    token = token_of(site, "ana")
    call, kills = ("fdatasync", range(1, 4)) if kind == "E" else ("sendto", (2, 4, 6, 8, 10))
    for when in kills:
        asked = ApiProcess(site).start().wait()
        assert asked.process is not None
        inject = f"inject={call}:signal=KILL:when={when}"
        command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
        tracer = subprocess.Popen([*command, "-p", str(asked.process.pid)], stderr=subprocess.DEVNULL)
        try:
            traced(asked.process.pid)
            seen = []
            for number in range(4):
                before = {row.id for row in site.store.find()}
                status = first_line(asked.port, token, f"k{when}-{number}")
                new = {row.id for row in site.store.find()} - before
                seen.append(status)
                if status == b"HTTP/1.1 202":
                    assert len(new) == 1
                if not status:
                    break
            assert not seen[-1], f"{call} {when} never came: {seen}"
            asked.process.wait(60)
        finally:
            asked.kill()
            tracer.kill()
            tracer.wait()
    with access_to(site) as access:
        assert access.audit.verify().first_bad is None
        assert sum(row.action == "task.submit" for row in access.audit.every()) == len(site.store.find())


def traced(pid: int) -> None:
    """Wait until somebody traces all threads of a process."""
    until = time.monotonic() + 30
    while True:
        states = [(one / "status").read_text() for one in Path(f"/proc/{pid}/task").iterdir()]
        if not any("TracerPid:\t0\n" in state for state in states):
            return
        assert time.monotonic() < until
        time.sleep(0.02)


def first_line(port: int, token: str, name: str) -> bytes:
    """The first bytes of the answer to a submission, read one after another; empty where none came."""
    body = f'{{"experiment_name": "{name}"}}'.encode()
    head = (
        f"POST /train HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(head.encode() + body)
            return connection.recv(12, socket.MSG_WAITALL)
    except OSError:
        return b""


# G15: a full disk ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips where a small disk cannot be mounted."""
    words = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode:
        pytest.skip("this user may not mount")


@pytest.mark.usefixtures("namespaces")
def test_g15_on_a_full_disk_it_reads_refuses_to_write_and_loses_nothing(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=8m none '{tmp_path}' && exec \"$@\""
    words = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-m", "tests.api.full_disk", str(tmp_path)]
    packages = os.pathsep.join([str(Path(sys.modules["finetune30"].__path__[0]).parent), str(ROOT)])

    env = {**os.environ, "PYTHONPATH": packages}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "nothing was lost"


# G17, G18: what it stands on goes away ----------------------------------------------------------------


def test_g17_while_redis_is_stopped_nothing_is_a_5xx(make_plant: MakePlant) -> None:
    site = make_plant("R", own=True)
    token, admin = token_of(site, "ana"), token_of(site, "root", Role.ADMIN)
    with api(site, READS_PER_MINUTE=100_000, WRITES_PER_MINUTE=10_000) as asked, asked.client() as client:
        bearer, as_admin = {"Authorization": f"Bearer {token}"}, {"Authorization": f"Bearer {admin}"}
        task = client.post("/train", json={}, headers=bearer).json()["task_id"]
        assert client.get("/ready").json()["status"] == "ready"
        assert site.servers.redis is not None
        site.servers.redis.kill()

        paths = client.get("/openapi.json").json()["paths"]
        reads = [path.replace("{task_id}", task) for path, ways in paths.items() if "get" in ways]
        for path in [re.sub(r"\{[^}]*\}", "unknown", path) for path in reads]:
            for headers in ({}, bearer, as_admin):
                if path != "/ready":
                    assert client.get(path, headers=headers).status_code < 500, path
        for password, status in ((PASSWORD, 200), ("not the right words", 401)):
            answer = client.post("/login", json={"username": "ana", "password": password})
            assert answer.status_code == status, answer.text
        kept = client.post("/train", json={}, headers=bearer)
        assert kept.status_code == 202
        assert client.post(f"/task/{task}/cancel", headers=bearer).json()["status"] == "REVOKED"
        time.sleep(1.1)  # it looks once a second
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        site.servers.redis.start()
        site.until(lambda: client.get("/ready").json()["status"] == "ready", "it is whole again")
        site.worker()
        # The keeper rings again for what nobody was told of.
        site.settle([kept.json()["task_id"]])


def test_g18_while_postgresql_is_stopped_all_is_503_and_then_all_is_well(make_plant: MakePlant) -> None:
    site = make_plant("P", own=True)
    token = token_of(site, "ana")
    with api(site) as asked, asked.client(token) as client:
        task = client.post("/train", json={}).json()["task_id"]
        assert site.servers.postgres is not None
        site.servers.postgres.kill()  # pg_ctl stop -m immediate
        for _ in range(2):
            for method, path in (
                ("GET", "/me"),
                ("GET", f"/task/{task}"),
                ("GET", "/experiments?owner=me"),
                ("POST", "/train"),
                ("POST", f"/task/{task}/cancel"),
            ):
                refused(client.request(method, path, json={} if path == "/train" else None), 503)
            login = client.post("/login", json={"username": "ana", "password": PASSWORD})
            refused(login, 503)
            assert client.get("/health").status_code == 200
        site.servers.postgres.start()
        site.until(lambda: client.get("/ready").status_code == 200, "it is whole again")
        assert client.get(f"/task/{task}").json()["status"] == "PENDING"
        assert client.post("/train", json={}).status_code == 202
        assert client.post("/login", json={"username": "ana", "password": PASSWORD}).status_code == 200
    with access_to(site) as access:
        assert access.audit.verify().ok
