"""The API as its clients meet it: uvicorn on a free port, over a real database, asked over real HTTP.

Neighbours: ``conftest`` starts one for each database.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import uvicorn

from finetune30.access import Role, User, passwords
from finetune30.api.app import create_app
from finetune30.api.services import Services, open_services
from finetune30.experiments import Status
from finetune30.settings import Settings
from finetune30.web.gate import Gate
from finetune30.web.listening import config_of, listen

PASSWORD = "four words in a row"
UNLIMITED = {"READS_PER_MINUTE": 0, "WRITES_PER_MINUTE": 0}
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Person:
    """A user who is logged in."""

    user: User
    token: str
    refresh_token: str
    client: httpx.Client

    @property
    def name(self) -> str:
        """As the user logs in."""
        return self.user.name

    @property
    def bearer(self) -> dict[str, str]:
        """The header that says who it is."""
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET as this user."""
        return self.client.get(path, headers=self.bearer | dict(options.pop("headers", {})), **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST as this user, JSON if there is a body."""
        headers = self.bearer | dict(options.pop("headers", {}))
        sent = {} if body is None else {"json": body}
        return self.client.post(path, headers=headers, **sent, **options)

    def delete(self, path: str) -> httpx.Response:
        """DELETE as this user."""
        return self.client.delete(path, headers=self.bearer)


class Service:
    """One running API.

    Args:
        values: Settings by their variables' names.
        change: Told the app before it is served, to add what tests need.
    """

    def __init__(
        self, home: Path, values: Mapping[str, Any], change: Callable[[Gate, Services], Any] | None = None
    ) -> None:
        self.home = home
        given = {"RESULTS_DIR": home / "results", "DATA_DIR": home / "data", "TZ": "UTC", **UNLIMITED, **values}
        self.settings = Settings(_env_file=None, **{name.lower(): value for name, value in given.items()})
        self.services = open_services(self.settings)
        app = create_app(self.settings, self.services)
        served = change(app, self.services) if change else app
        self.listener = listen("127.0.0.1", 0)
        self.port = int(self.listener.getsockname()[1])
        self._server = uvicorn.Server(config_of(served, self.settings))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.client = httpx.Client(base_url=self.url, timeout=_PATIENCE_S, trust_env=False)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, from a thread."""
        self._thread.start()
        until = time.monotonic() + _PATIENCE_S
        while not self._server.started:
            assert time.monotonic() < until, "the service does not start"
            time.sleep(0.01)

    def stop(self) -> None:
        """End it and give the database back."""
        self.client.close()
        self.services.ending.set()
        self._server.should_exit = True
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive()
        self.listener.close()

    def person(self, role: Role = Role.USER, name: str | None = None) -> Person:
        """A new user, logged in."""
        with mock.patch.object(passwords, "hash_password", _hash_once):
            user = self.services.access.users.add(name or f"user-{secrets.token_hex(4)}", role, _Known(PASSWORD))
        pair = self.services.access.tokens.issue(user)
        return Person(user, pair.token, pair.refresh_token, self.client)

    def count(self) -> int:
        """Experiments there are."""
        return int(self.services.jobs.store.statistics()["total"])

    def audit(self, **filters: Any) -> list[Any]:
        """Rows of the audit log, the newest first."""
        return self.services.access.audit.find(**filters)

    def raw(self, request: bytes) -> bytes:
        """What comes back for these bytes, until the connection ends or nothing more comes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_S) as connection:
            connection.sendall(request)
            return _received(connection)

    def ended(self, task_id: str, status: Status = Status.SUCCESS, **figures: Any) -> None:
        """Let a task have run and ended so, without a worker."""
        store = self.services.jobs.store
        attempt = store.claim(task_id, "test")
        store.finish(task_id, attempt, "test", status, metrics=figures or None)


class _Known(str):
    """The password of the tests' people: thousands of them share its hash, which costs what a login costs."""

    __slots__ = ()


_hash_password = passwords.hash_password


def _hash_once(password: str) -> str:
    # What the service hashes meanwhile is no concern of ours.
    return _hash_of_known(str(password)) if isinstance(password, _Known) else _hash_password(password)


@cache
def _hash_of_known(password: str) -> str:
    return _hash_password(password)


@contextmanager
def serving(
    home: Path, values: Mapping[str, Any], change: Callable[[Gate, Services], Any] | None = None
) -> Iterator[Service]:
    """A service while the block runs."""
    service = Service(home, values, change)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def refused(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem that was answered, after a look that it is one of this status."""
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = json.loads(answer.text, parse_constant=lambda _: 1 / 0)
    if answer.request.url.path.startswith("/v1/"):  # as OpenAI words errors
        assert answer.headers["content-type"] == "application/json"
        problem = problem["error"]
        assert set(problem) == {"message", "type", "param", "code"}
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert problem["request_id"] == answer.headers["x-request-id"]
    assert code is None or problem["code"] == code, problem
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
    return problem


def _received(connection: socket.socket) -> bytes:
    parts = []
    while True:
        try:
            part = connection.recv(65_536)
        except (ConnectionResetError, TimeoutError):
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)
