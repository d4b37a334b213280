"""Guarantees while something is away: a frozen process, a dead broker, a database behind a cut wire."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune30.errors import StorageError
from finetune30.experiments import Status
from finetune30.jobs.app import KEY_PREFIX
from tests.jobs.history import History, violations
from tests.jobs.ordeal import read_jobs
from tests.jobs.plant import LEASE_S, Plant, config

QUEUE = f"{KEY_PREFIX}train"


def overlaps(site: Plant, total: int, interval: int = 5) -> list[str]:
    """What the judge of histories finds, of what concerns attempts."""
    jobs = read_jobs(site)
    history = History(jobs=jobs, acked={job.key: job.id for job in jobs[:1]}, effects=site.effects())
    history.total, history.interval = total, interval
    words = ("overlap", "illegal", "attempts", "tries", "untrue", "progress")
    return [text for text in violations(history) if text.startswith(words)]


def digest(site: Plant, job: str) -> str:
    """The row and every file of the job but the log that workers write."""
    found = hashlib.sha256(json.dumps(site.get(job).to_dict(), sort_keys=True, default=str).encode())
    for path in sorted(Path(site.settings.results_dir, job).rglob("*")):
        if path.is_file() and path.name != "logs.txt":
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


@pytest.mark.parametrize(
    ("kind", "frozen"),
    [("E", "attempt"), ("E", "worker"), ("P", "worker"), ("E", "both"), ("R", "both"), ("P", "both")],
)
def test_g3_g4_who_sleeps_past_the_lease_does_nothing_when_it_wakes(site: Plant, frozen: str) -> None:
    job = site.submit("long steps.90 ms.30")
    sleeper = site.worker()
    line = site.until_step(job, 7)
    attempt = psutil.Process(line["pid"])
    processes = {"attempt": [attempt], "worker": sleeper.own(), "both": [attempt, *sleeper.own()]}[frozen]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    other = site.worker()
    if frozen == "attempt":
        # Its worker lives and holds the lease for it; it must not be run by anybody else meanwhile.
        time.sleep(1.5 * LEASE_S)
        attempt.resume()
        before = None
    else:
        site.until_step(job, 90, attempt=2)
        site.settle([job])
        before = digest(site, job)
        for process in reversed(processes):
            with suppress(psutil.NoSuchProcess):  # its worker woke first, and has ended it
                process.send_signal(signal.SIGCONT)
    row = site.settle([job])[job]
    site.until(lambda: not site.attempts_alive(), "the sleeper's attempt is gone", 10)

    assert row.status is Status.SUCCESS
    assert overlaps(site, 90) == []
    assert before in (None, digest(site, job))
    after = site.submit("after steps.2")  # both workers are of use again
    other.drain()
    assert site.settle([after])[after].status is Status.SUCCESS


def test_g11_a_poisoned_queue_does_not_stop_the_worker(make_plant: Callable[..., Plant]) -> None:
    site = make_plant("R")
    assert site.servers.redis is not None
    first = site.submit("first steps.2")
    with site.servers.redis.client() as client:
        (real,) = client.lrange(QUEUE, 0, -1)
        draw = random.Random(11)
        for _ in range(300):
            client.rpush(QUEUE, *[_junk(draw, json.loads(real)) for _ in range(3)])
    worker = site.worker()
    second = site.submit("second steps.2")

    rows = site.settle([first, second])

    assert {row.status for row in rows.values()} == {Status.SUCCESS}
    with site.servers.redis.client() as client:
        site.until(lambda: client.llen(QUEUE) == 0, "the queue is empty")
    assert worker.alive
    assert {row.id for row in site.store.find()} == {first, second}
    assert len([line for line in site.effects() if line["what"] == "start"]) == 2


def _junk(draw: random.Random, real: dict[str, Any]) -> bytes:
    """Something that resembles a message, more or less."""
    values: list[Any] = [None, 7, -1, "", "x" * 5000, [], {}, [[["nested"]]], True, "e30=", "../../etc", "\0", 1e308]
    kind = draw.randrange(6)
    if kind == 0:
        return draw.randbytes(draw.randrange(60))
    if kind == 1:
        return json.dumps(draw.choice(values)).encode()
    message: dict[str, Any] = json.loads(json.dumps(real))
    if kind == 2:
        message.pop(draw.choice(sorted(message)))
    elif kind == 3:
        message[draw.choice(sorted(message))] = draw.choice(values)
    elif kind == 4:
        message["headers"][draw.choice(sorted(message["headers"]))] = draw.choice(values)
    else:
        message["properties"][draw.choice(sorted(message["properties"]))] = draw.choice(values)
    return json.dumps(message).encode()


@pytest.mark.parametrize("how", ["dead", "silent"])
def test_g17_without_its_broker_the_queue_takes_jobs_and_they_run_later(
    make_plant: Callable[..., Plant], how: str
) -> None:
    site = make_plant("R", own=True, wires=True)
    broker, wire = site.servers.redis, site.wires["BROKER_URL"]
    assert broker is not None
    site.worker(2)
    running = site.submit("long steps.30 ms.50")
    site.until_step(running)
    broker.kill() if how == "dead" else wire.become("blackhole")
    accepted = [site.submit("waits steps.2") for _ in range(4)]
    cancelled = site.submit("never steps.2")
    site.jobs.cancel(cancelled)
    assert site.settle([running])[running].status is Status.SUCCESS  # nobody running needs the broker
    broker.start() if how == "dead" else wire.become("pass")

    rows = site.settle([*accepted, cancelled])

    assert {rows[job].status for job in accepted} == {Status.SUCCESS}
    assert rows[cancelled].status is Status.REVOKED
    assert {row.attempt for row in rows.values()} <= {0, 1}


def test_g17_messages_that_are_lost_or_doubled_change_nothing(make_plant: Callable[..., Plant]) -> None:
    site = make_plant("R")
    assert site.servers.redis is not None
    jobs = [site.submit("short steps.2") for _ in range(6)]
    with site.servers.redis.client() as client:
        messages = client.lrange(QUEUE, 0, -1)
        assert len(messages) == 6
        client.delete(QUEUE)
        client.rpush(QUEUE, *messages[:2] * 3)  # two come three times, four are lost
    site.worker(2)

    rows = site.settle(jobs)

    assert {(row.status, row.attempt) for row in rows.values()} == {(Status.SUCCESS, 1)}


def test_g17_an_idle_worker_hears_of_a_job_whose_message_was_lost(make_plant: Callable[..., Plant]) -> None:
    site = make_plant("R")
    site.worker()
    site.settle([site.submit("first steps.1")])
    time.sleep(1.5)  # by now it has looked for more, found nothing, and only listens
    # Committed, and then the submitter died before it rang.
    made, _ = site.queue.submit(config("unheard steps.1"), "ana", tz="UTC", ring_in_s=0.5)

    assert site.settle([made.id])[made.id].status is Status.SUCCESS


def test_g18_a_running_job_survives_a_short_outage_of_its_database(make_plant: Callable[..., Plant]) -> None:
    site = make_plant("P", own=True, LEASE_S=12, HEARTBEAT_S=0.5)
    assert site.servers.postgres is not None
    site.worker()
    job = site.submit("long steps.60 ms.50")
    site.until_step(job)
    began = time.monotonic()
    site.servers.postgres.kill()
    with pytest.raises(StorageError):
        site.submit()
    site.servers.postgres.start()
    assert time.monotonic() - began < 0.75 * 12, "this machine is too slow to tell"

    row = site.settle([job])[job]

    assert (row.status, row.attempt) == (Status.SUCCESS, 1)


def test_g3_g18_without_its_database_an_attempt_ends_before_another_begins(make_plant: Callable[..., Plant]) -> None:
    site = make_plant("P", wires=True)
    site.worker()
    job = site.submit("long steps.120 ms.50")
    site.until_step(job, 6)
    site.wires["DATABASE_URL"].become("blackhole")  # of this worker; the next one has no proxy
    site.worker_env["DATABASE_URL"] = site.env["DATABASE_URL"]
    site.worker()
    site.until_step(job, 8, attempt=2)

    assert not [process for process in site.attempts_alive() if process.pid in _pids(site, attempt=1)]
    site.wires["DATABASE_URL"].become("pass")
    row = site.settle([job])[job]

    assert row.status is Status.SUCCESS
    assert overlaps(site, 120) == []


def _pids(site: Plant, attempt: int) -> set[int]:
    return {line["pid"] for line in site.effects() if line["attempt"] == attempt}


@pytest.mark.parametrize("skew", ["+1h", "-1h"])
def test_g3_a_worker_whose_clock_is_wrong_takes_no_job_from_another(
    make_plant: Callable[..., Plant], skew: str
) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    site = make_plant("P", QUEUES="train,other")
    site.worker()
    job = site.submit("long steps.100 ms.30")
    site.until_step(job)
    # Its rounds look for silent workers; it takes no job, because faketime breaks sleeping.
    site.worker(1, "other", before=["faketime", "-f", skew], DONT_FAKE_MONOTONIC=1)
    site.until(lambda: len(site.queue.workers()) == 2, "the other worker makes its rounds")

    row = site.settle([job])[job]

    assert (row.status, row.attempt, row.failures) == (Status.SUCCESS, 1, 0)
    assert [event.status for event in site.queue.events(job) if event.kind == "state"].count(Status.STARTED) == 1
