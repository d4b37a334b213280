"""A PostgreSQL that was frozen: its kernel takes everything, and nobody answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from finetune30 import database
from finetune30.database.silence import Impatient, however_long
from finetune30.errors import StorageError
from tests.proxy import Proxy
from tests.servers import PostgresServer


@pytest.fixture
def wire(postgres_server: PostgresServer) -> Iterator[Proxy]:
    """What lies between us and the server."""
    proxy = Proxy(postgres_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def engine(wire: Proxy, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine with a connection in its pool, and little patience."""
    monkeypatch.setattr(Impatient, "silence_s", 0.5)
    url = postgres_server.url.replace(f":{postgres_server.port}/", f":{wire.port}/")
    engine = database.open_engine(f"{url}?connect_timeout=2")
    assert one(engine) == 1
    yield engine
    engine.dispose()


def one(engine: Engine) -> int:
    with database.read(engine) as connection:
        return int(connection.scalar(text("SELECT 1")))


def test_who_takes_a_connection_of_a_frozen_server_gets_an_error_and_later_a_new_one(
    engine: Engine, wire: Proxy
) -> None:
    wire.become("mute")
    with pytest.raises(StorageError):
        one(engine)

    wire.become("pass")
    assert one(engine) == 1


def test_a_server_that_freezes_within_a_transaction_is_given_up(engine: Engine, wire: Proxy) -> None:
    def freeze() -> None:
        with database.write(engine) as connection:
            connection.execute(text("CREATE TEMPORARY TABLE kept (id int) ON COMMIT DROP"))
            wire.become("mute")
            connection.execute(text("INSERT INTO kept VALUES (1)"))

    with pytest.raises(StorageError, match="said nothing"):
        freeze()

    wire.become("pass")
    assert one(engine) == 1


def test_patience_ends_with_the_block(engine: Engine) -> None:
    with database.read(engine) as connection, however_long(connection):
        connection.execute(text("SELECT pg_sleep(0.8)"))

    with pytest.raises(StorageError, match="said nothing"), database.read(engine) as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
