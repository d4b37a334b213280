"""A store on each database: SQLite, and a real PostgreSQL started for the session."""

from __future__ import annotations

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
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, on each backend."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'experiments.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.database("contract")


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """Address of a running PostgreSQL."""
    return postgres_server.url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An empty database with its schema, on each backend."""
    engine = database.open_engine(url)
    database.upgrade(engine)
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
def store(url: str) -> Iterator[ExperimentStore]:
    """An empty store, on each backend."""
    engine = database.open_engine(url)
    database.upgrade(engine)
    store = ExperimentStore(engine, LEASE_S)
    yield store
    store.close()
