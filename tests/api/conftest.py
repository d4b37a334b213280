"""The API over each database: SQLite, and a real PostgreSQL; one process of it for a whole run of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune30.access import Role
from tests.api.openai_client import Client, Clients
from tests.api.service import Person, Service, serving
from tests.jobs.conftest import make_plant as make_plant  # the same plants, with processes of the API beside them
from tests.servers import PostgresServer

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session", params=DATABASES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running API without rate limits."""
    values = {"WEBHOOK_HOSTS": "127.0.0.1"}
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        values["DATABASE_URL"] = server.database("api")
    with serving(tmp_path_factory.mktemp(f"api-{request.param}"), values) as found:
        yield found


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Address of an empty database, None for SQLite; for services a test starts itself."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.database("apiown")


@pytest.fixture
def ana(service: Service) -> Person:
    """A user."""
    return service.person()


@pytest.fixture
def bo(service: Service) -> Person:
    """Another user."""
    return service.person()


@pytest.fixture
def admin(service: Service) -> Person:
    """An admin."""
    return service.person(Role.ADMIN)


@pytest.fixture
def clients(service: Service) -> Iterator[Clients]:
    """Makes clients, closed behind the test."""
    made: list[Client] = []

    def make(person: Person | None, **options: Any) -> Client:
        made.append(Client(service, person, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def mine(clients: Clients, ana: Person) -> Client:
    """Ana's client."""
    return clients(ana)
