"""A running API, a bad wire before it, and clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finetune30.access import Role
from finetune30.client import Client
from finetune30.settings import Settings
from tests.api.service import PASSWORD, Person, Service, serving
from tests.proxy import Proxy
from tests.servers import PostgresServer

Connect = Callable[..., Client]


@pytest.fixture(autouse=True)
def _no_settings_and_no_logins_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))


@pytest.fixture(scope="session", params=("sqlite", "postgresql"))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running API over each database."""
    values = {}
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        values["DATABASE_URL"] = server.database("client")
    with serving(tmp_path_factory.mktemp(f"client-{request.param}"), values) as found:
        yield found


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running API without rate limits."""
    with serving(tmp_path_factory.mktemp("client"), {}) as found:
        yield found


@pytest.fixture
def ana(service: Service) -> Person:
    """A user."""
    return service.person()


@pytest.fixture
def admin(service: Service) -> Person:
    """An admin."""
    return service.person(Role.ADMIN)


@pytest.fixture
def connect(service: Service) -> Iterator[Connect]:
    """Clients of a person who logs in with name and password, closed at the end."""
    made: list[Client] = []

    def logged_in(person: Person, url: str | None = None, **options: object) -> Client:
        client = Client(url or service.url, **options)  # type: ignore[arg-type]
        made.append(client)
        client.login(person.name, PASSWORD)
        return client

    yield logged_in
    for client in made:
        client.close()


@pytest.fixture
def wire(service: Service) -> Iterator[Proxy]:
    """A way to the API that a test can cut."""
    proxy = Proxy(service.port)
    yield proxy
    proxy.close()


def url_of(proxy: Proxy) -> str:
    """Where a client reaches it."""
    return f"http://127.0.0.1:{proxy.port}"
