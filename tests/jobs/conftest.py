"""A plant of each kind for each test of a guarantee."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import started
from tests.jobs.plant import KINDS, Plant, Servers, plant
from tests.servers import PostgresServer, RedisServer


@pytest.fixture
def make_plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """Makes a plant of a kind with settings of its own, and with servers of its own if a test harms them."""

    def make(kind: str, *, own: bool = False, **options: Any) -> Plant:
        servers = Servers()
        if kind in ("R", "P"):
            servers.redis = own_one(RedisServer) if own else request.getfixturevalue("redis_server")
        if kind == "P":
            servers.postgres = own_one(PostgresServer) if own else request.getfixturevalue("postgres_server")
        return stack.enter_context(plant(kind, tmp_path / f"plant{next(numbers)}", servers, **options))

    def own_one(program: type[Any]) -> Any:
        server = started(program)
        stack.callback(server.remove)
        return server

    numbers = count()
    with ExitStack() as stack:
        yield make


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """E: SQLite alone; R: Redis and SQLite; P: Redis and PostgreSQL."""
    return str(request.param)


@pytest.fixture
def site(make_plant: Callable[..., Plant], kind: str) -> Plant:
    """A plant of each kind."""
    return make_plant(kind)
