"""A lease: the run hears of its loss and of a cancel, and the dead are told from the living."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.experiments import ExperimentStore, Lease, Status, open_store, owner_is_dead, this_worker
from finetune30.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExperimentStore]:
    store = open_store(Settings(results_dir=tmp_path / "results", lease_s=2, heartbeat_s=0.1))
    yield store
    store.close()


@pytest.fixture
def id(store: ExperimentStore) -> str:
    return store.create(ExperimentConfig(), owner="ana", tz="UTC").id


def eventually(holds: Callable[[], object]) -> None:
    """Wait for what another thread does; far longer than it takes."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def hold(store: ExperimentStore, id: str, heartbeat_s: float = 0.1) -> Lease:
    return Lease(store, id, store.claim(id, "w1"), "w1", heartbeat_s)


def test_a_held_lease_outlives_its_length(store: ExperimentStore, id: str) -> None:
    with hold(store, id) as lease:
        first = store.get(id).lease_expires_at or 0
        eventually(lambda: (store.get(id).lease_expires_at or 0) > first + store.lease_s)

        assert store.get(id).lease_live
        assert lease.loss is None


def test_after_the_block_no_heartbeat_follows(store: ExperimentStore, id: str) -> None:
    with hold(store, id):
        pass
    end = store.get(id).lease_expires_at

    time.sleep(0.4)
    assert store.get(id).lease_expires_at == end
    assert not [thread for thread in threading.enumerate() if thread.name == f"lease of {id}"]


def test_a_second_owner_is_noticed(store: ExperimentStore, id: str) -> None:
    with hold(store, id) as lease:
        store.claim(id, "w2", dead_owner="w1")
        eventually(lambda: lease.loss is not None)

        assert "attempt 2 on w2 has it" in str(lease.loss)
    assert store.get(id).lease_owner == "w2"


def test_g4_who_wakes_up_late_asks_before_it_does_anything(store: ExperimentStore, id: str) -> None:
    """Stopped with Ctrl+Z, or suspended: no heartbeat was sent meanwhile, and none is due yet."""
    with hold(store, id, heartbeat_s=300) as lease:
        store.claim(id, "w2", dead_owner="w1")
        assert lease.loss is None
        time.sleep(0.8 * store.lease_s)

        assert "attempt 2 on w2 has it" in str(lease.loss)


def test_who_wakes_up_late_and_finds_all_well_goes_on(store: ExperimentStore, id: str) -> None:
    with hold(store, id, heartbeat_s=300) as lease:
        time.sleep(1.2 * store.lease_s)

        assert lease.loss is None
        assert store.get(id).lease_live


def test_a_wish_to_cancel_is_noticed(store: ExperimentStore, id: str) -> None:
    with hold(store, id) as lease:
        assert lease.stop_reason is None
        store.cancel(id)
        eventually(lambda: lease.stop_reason == "cancelled")

        assert lease.loss is None
        assert store.finish(id, lease.attempt, "w1", Status.REVOKED).status is Status.REVOKED


def test_progress_reaches_the_row_long_before_the_next_heartbeat(store: ExperimentStore, id: str) -> None:
    with hold(store, id, heartbeat_s=300) as lease:
        lease.update({"step": 1, "total": 2, "loss": float("nan"), "eta_s": 1.0})
        eventually(lambda: store.get(id).progress)

    assert store.get(id).progress == {"step": 1, "total": 2, "loss": None, "eta_s": 1.0}


def test_a_short_outage_of_the_database_is_survived(store: ExperimentStore, id: str) -> None:
    with hold(store, id) as lease:
        _rename(store, "experiments", "hidden")
        time.sleep(0.5)
        assert lease.loss is None
        _rename(store, "hidden", "experiments")
        first = store.get(id).lease_expires_at or 0
        eventually(lambda: (store.get(id).lease_expires_at or 0) > first)
        assert lease.loss is None


def test_a_long_outage_of_the_database_loses_the_lease(store: ExperimentStore, id: str) -> None:
    with hold(store, id) as lease:
        _rename(store, "experiments", "hidden")
        eventually(lambda: lease.loss is not None)

        assert "no heartbeat could be written" in str(lease.loss)


def test_a_heartbeat_that_hangs_loses_the_lease_too(store: ExperimentStore, id: str) -> None:
    with hold(store, id) as lease, database.write(store._engine):  # the database stays locked
        eventually(lambda: lease.loss is not None)


def _rename(store: ExperimentStore, old: str, new: str) -> None:
    with database.write(store._engine) as connection:
        connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


# Who is dead -------------------------------------------------------------------------------------

SLEEPER = (
    "import sys, time; from finetune30.experiments import this_worker\n"
    "print(this_worker(), flush=True); time.sleep(600)\n"
)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True)
    with process:
        yield process
        process.kill()


def name_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()


def test_a_worker_names_host_process_and_its_creation() -> None:
    kind, host, pid, creation = this_worker().split(":")

    assert (kind, host, pid) == ("local", socket.gethostname(), str(os.getpid()))
    assert creation
    assert this_worker() == this_worker()


def test_a_living_owner_is_not_dead(child: subprocess.Popen[str]) -> None:
    assert owner_is_dead(this_worker()) is False
    assert owner_is_dead(name_of(child)) is False


def test_a_stopped_owner_is_not_dead(child: subprocess.Popen[str]) -> None:
    name = name_of(child)

    child.send_signal(signal.SIGSTOP)

    assert owner_is_dead(name) is False


def test_a_killed_owner_is_dead_even_before_its_parent_noticed(child: subprocess.Popen[str]) -> None:
    name = name_of(child)
    child.kill()

    eventually(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert owner_is_dead(name) is True
    child.wait()
    assert owner_is_dead(name) is True


def test_a_process_number_given_to_somebody_else_is_a_dead_owner() -> None:
    kind, host, pid, creation = this_worker().split(":")
    started, at, boot = creation.partition("@")
    if not at:
        pytest.skip("this system tells no ticks since boot")

    assert owner_is_dead(f"{kind}:{host}:{pid}:{int(started) - 1}@{boot}") is True


@pytest.mark.parametrize(
    "owner",
    [
        None,
        "",
        "worker-7",
        "local:other-machine:1:5@x",
        f"local:{socket.gethostname()}:99999999:5@another-boot",
        f"local:{socket.gethostname()}:x:5",
        f"local:{socket.gethostname()}:99999999:5",
    ],
)
def test_of_strangers_nothing_can_be_told(owner: str | None) -> None:
    assert owner_is_dead(owner) is None
