"""The bell over a real Redis: what it says, what it does when nobody answers, and that it comes back."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from finetune30.errors import SettingsError
from finetune30.jobs import Silent, open_bell
from finetune30.jobs.app import TASK, make_app
from finetune30.settings import Settings
from tests.proxy import Proxy
from tests.servers import RedisServer

AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from finetune30.jobs.app import make_app
from finetune30.settings import Settings
barrier = Barrier(30)
def make(_):
    barrier.wait()
    return make_app(Settings(_env_file=None, broker_url="redis://127.0.0.1:1/0")).main
with ThreadPoolExecutor(30) as pool:
    assert set(pool.map(make, range(30))) == {"finetune30"}
"""


@pytest.fixture
def wire(redis_server: RedisServer) -> Iterator[Proxy]:
    redis_server.flush()
    proxy = Proxy(redis_server.port)
    yield proxy
    proxy.close()


def settings(port: int, queues: str = "train") -> Settings:
    return Settings(_env_file=None, broker_url=f"redis://127.0.0.1:{port}/0", queues=queues)  # type: ignore[arg-type]


def heard(server: RedisServer, queue: str = "train") -> int:
    """Messages that wait in a queue."""
    with server.client() as client:
        return int(client.llen(f"finetune30:{queue}"))


def test_a_message_names_the_task_and_holds_the_id(redis_server: RedisServer, wire: Proxy) -> None:
    assert open_bell(settings(wire.port)).ring("job_1", "train")

    with redis_server.client() as client:
        message = json.loads(client.lindex("finetune30:train", 0))
    assert (message["headers"]["task"], message["content-type"]) == (TASK, "application/json")
    assert message["headers"]["argsrepr"] == "['job_1']"


def test_many_who_ring_at_once_are_all_heard(redis_server: RedisServer, wire: Proxy) -> None:
    bell = open_bell(settings(wire.port))

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(lambda number: bell.ring(f"job_{number}", "train"), range(60)))

    assert heard(redis_server) == 60


@pytest.mark.parametrize("fault", ["blackhole", "mute", "reset"])
def test_g17_a_bell_that_failed_rings_when_the_broker_is_back(
    redis_server: RedisServer, wire: Proxy, fault: str
) -> None:
    bell = open_bell(settings(wire.port))
    assert bell.ring("before", "train")

    wire.become(fault)
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(lambda number: bell.ring(f"meanwhile_{number}", "train"), range(8)))
    wire.become("pass")

    assert bell.ring("after", "train")
    assert heard(redis_server) >= 2


def test_g17_a_message_after_a_flush_reaches_its_queue(redis_server: RedisServer, wire: Proxy) -> None:
    """No binding that a flush could take away stands between a message and its queue."""
    bell = open_bell(settings(wire.port))
    bell.ring("before", "train")

    redis_server.flush()

    assert bell.ring("after", "train")
    assert heard(redis_server) == 1


def test_only_queues_that_were_declared_exist(redis_server: RedisServer, wire: Proxy) -> None:
    bell = open_bell(settings(wire.port, "train,large"))

    assert bell.ring("job", "large")
    assert not bell.ring("job", "huge")
    assert (heard(redis_server, "large"), heard(redis_server, "huge")) == (1, 0)


def test_a_broker_behind_a_socket_file_is_rung(redis_server: RedisServer) -> None:
    with tempfile.TemporaryDirectory() as home:  # a short path: the address of a socket has 108 bytes
        words = ["--port", "0", "--unixsocket", f"{home}/redis.sock", "--dir", home, "--save", ""]
        server = subprocess.Popen([redis_server.program, *words], stdout=subprocess.DEVNULL)
        try:
            bell = open_bell(Settings(_env_file=None, broker_url=f"redis+socket://{home}/redis.sock"))
            until = time.monotonic() + 30
            while not (rung := bell.ring("job", "train")) and time.monotonic() < until:
                time.sleep(0.05)
            assert rung
            with redis.Redis(unix_socket_path=f"{home}/redis.sock") as client:
                assert client.llen("finetune30:train") == 1
        finally:
            server.kill()
            server.wait()


def test_without_a_broker_nobody_is_told_and_that_is_well() -> None:
    bell = open_bell(Settings(_env_file=None))
    assert isinstance(bell, Silent)
    assert bell.ring("job", "train")
    with pytest.raises(SettingsError, match="BROKER_URL is not set"):
        make_app(Settings(_env_file=None))


def test_threads_may_be_the_first_to_need_celery_at_once() -> None:
    """In a new process: Celery's import is not safe there by itself."""
    subprocess.run([sys.executable, "-c", AT_ONCE], check=True)


def test_the_broker_carries_hints_and_commands_nobody() -> None:
    conf = make_app(settings(1, "train,large")).conf
    wanted = {
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": False,
        "result_backend": None,
        "task_ignore_result": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_create_missing_queues": False,
        "task_default_queue": "train",
        "broker_connection_max_retries": None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_time_limit": None,
    }
    assert {name: conf[name] for name in wanted} == wanted
    assert [queue.name for queue in conf.task_queues] == ["train", "large"]
    assert conf.broker_transport_options["visibility_timeout"] == conf.visibility_timeout == 600
    assert conf.broker_transport_options["global_keyprefix"] == "finetune30:"
