"""A store on each database: SQLite, and a real PostgreSQL started for the session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from finetune30 import database
from finetune30.access import Keys, Tokens, Users
from finetune30.experiments import ExperimentStore
from tests.servers import PostgresServer

LEASE_S = 60.0
SECRET = b"Wm3xVtq7hJ0cRk5nY8bZs2LdPf9gAe1u"


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of database."""
    return str(request.param)


@pytest.fixture
def url(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> str:
    """Address of an empty database, on each backend."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'experiments.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.database("contract")


@pytest.fixture(scope="session")
def sqlite_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema and no row; tests get copies of it."""
    file = tmp_path_factory.mktemp("schema") / "experiments.db"
    _upgrade(f"sqlite:///{file}")
    assert [other.name for other in file.parent.iterdir()] == [file.name]  # no log of it that a copy would lack
    return file


@pytest.fixture(scope="session")
def postgres_made(postgres_server: PostgresServer) -> str:
    """Name of a database with the schema and no row; tests get copies of it."""
    _upgrade(postgres_server.database("contract_made"))
    return "contract_made"


@pytest.fixture
def made(request: pytest.FixtureRequest, backend: str, tmp_path: Path) -> str:
    """Address of a database with the schema and no row, on each backend; not for tests that ask for ``url``."""
    if backend == "sqlite":
        file = tmp_path / "experiments.db"
        shutil.copyfile(request.getfixturevalue("sqlite_made"), file)
        return f"sqlite:///{file}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.database("contract", like=request.getfixturevalue("postgres_made"))


def _upgrade(url: str) -> None:
    engine = database.open_engine(url)
    database.upgrade(engine)
    engine.dispose()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """Address of a running PostgreSQL."""
    return postgres_server.url


@pytest.fixture
def engine(made: str) -> Iterator[Engine]:
    """An empty database with its schema, on each backend."""
    engine = database.open_engine(made)
    yield engine
    engine.dispose()


@pytest.fixture
def users(engine: Engine) -> Users:
    """Nobody yet."""
    return Users(engine)


@pytest.fixture
def keys(engine: Engine) -> Keys:
    """No key yet."""
    return Keys(engine)


@pytest.fixture
def tokens(engine: Engine) -> Tokens:
    """No session yet."""
    return Tokens(engine, SECRET)


@pytest.fixture
def store(made: str) -> Iterator[ExperimentStore]:
    """An empty store, on each backend."""
    engine = database.open_engine(made)
    store = ExperimentStore(engine, LEASE_S)
    yield store
    store.close()
