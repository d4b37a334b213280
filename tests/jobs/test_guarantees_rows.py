"""Guarantees of the rows themselves, on both databases: nobody but the holder changes a running job."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from finetune30 import database
from finetune30.errors import LeaseLost, StateError
from finetune30.experiments import Queue, Status, Wish
from tests.jobs.plant import Plant, config

ERROR = {"code": "killed", "message": "it was killed", "where": None, "hint": None}


@pytest.fixture(params=["E", "P"])
def rows(make_plant: Callable[..., Plant], request: pytest.FixtureRequest) -> Plant:
    """A plant on each database; no worker is started."""
    return make_plant(request.param, LEASE_S=0.3, HEARTBEAT_S=0.1)


def claim(plant: Plant, worker: str = "w1", **changes: Any) -> int | None:
    """The attempt of the next job, as a worker takes it; None where nothing waits."""
    taken = plant.queue.claim_next(worker, **{"queues": ("train",), "free": 1, "total": 1, **changes})
    return taken and taken.attempt


def reap_after_the_lease(plant: Plant, job: str) -> None:
    """Somebody finds that the worker fell silent."""
    plant.until(lambda: plant.queue.reap() or plant.get(job).status is not Status.STARTED, "the reaper finds the job")


STALE: list[tuple[str, Callable[[Plant, str, int], object]]] = [
    ("heartbeat", lambda p, job, n: p.store.heartbeat(job, n, "w1", {"step": 1}, [("warning", "stale", 1)])),
    ("success", lambda p, job, n: p.store.finish(job, n, "w1", Status.SUCCESS, metrics={"train": {"runtime_s": 1}})),
    ("failure", lambda p, job, n: p.store.finish(job, n, "w1", Status.FAILURE, error=ERROR)),
    ("pause", lambda p, job, n: p.store.pause(job, n, "w1")),
    ("release", lambda p, job, n: p.queue.release(job, n, "w1", error=ERROR, delay_s=0)),
    ("drain", lambda p, job, n: p.queue.drain(job, n, "w1")),
    ("plan", lambda p, job, n: p.store.record_plan(job, n, "w1", config={}, fingerprint="f", dataset_hash="d")),
]


def test_g4_who_lost_the_lease_changes_nothing(rows: Plant) -> None:
    job = rows.submit()
    first = claim(rows)
    reap_after_the_lease(rows, job)
    assert (first, claim(rows, "w1"), rows.get(job).failures) == (1, 2, 1)  # the same worker, a later attempt

    def state() -> object:
        return rows.store.attempts(job), rows.queue.events(job), {**rows.get(job).to_dict(), "lease_live": None}

    before = state()
    for what, write in STALE:
        with pytest.raises(LeaseLost):
            write(rows, job, 1)
        assert state() == before, what


@pytest.mark.parametrize("ending", [Status.SUCCESS, Status.FAILURE, Status.REVOKED])
def test_g4_an_ended_job_is_changed_by_nobody(rows: Plant, ending: Status) -> None:
    job = rows.submit()
    assert claim(rows) == 1
    rows.store.finish(job, 1, "w1", ending)
    before = rows.get(job)

    for what, write in STALE:
        with pytest.raises(LeaseLost):
            write(rows, job, 1)
        assert rows.get(job) == before, what
    for ask in (rows.jobs.cancel, rows.jobs.pause, rows.jobs.resume):
        with pytest.raises(StateError):
            ask(job)
    assert rows.queue.reap() == []
    assert claim(rows) is None
    assert rows.get(job) == before


def test_g3_a_claimed_job_is_not_claimed_again(rows: Plant) -> None:
    jobs = {rows.submit(owner=f"owner {number % 7}") for number in range(40)}

    def take_all(worker: int) -> list[str]:
        queue, taken = Queue(rows.queue._engine, 60, 3), []
        while len(taken) < 40:
            found = queue.claim_next(f"w{worker}", queues=("train",), free=1, total=1)
            if found is None and all(row.status is Status.STARTED for row in rows.store.find()):
                break
            taken += [found.experiment.id] if found else []
        return taken

    with ThreadPoolExecutor(8) as pool:
        shares = list(pool.map(take_all, range(8)))

    assert sorted(job for share in shares for job in share) == sorted(jobs)
    assert {row.attempt for row in rows.store.find()} == {1}


def test_g3_two_reapers_find_a_silent_job_once(rows: Plant) -> None:
    job = rows.submit()
    claim(rows)
    rows.until(lambda: not rows.get(job).lease_live, "the lease is over")

    with ThreadPoolExecutor(4) as pool:
        found = [row.id for rows_ in pool.map(lambda _: rows.queue.reap(), range(4)) for row in rows_]

    assert found == [job]
    assert rows.get(job).failures == 1


@pytest.mark.parametrize("on", ["E", "P"])
def test_g3_a_living_lease_is_not_reaped(make_plant: Callable[..., Plant], on: str) -> None:
    rows = make_plant(on, LEASE_S=1.5, HEARTBEAT_S=0.1)
    job = rows.submit()
    claim(rows)
    for _ in range(5):  # longer than a lease, in heartbeats
        sent = time.monotonic()
        rows.store.heartbeat(job, 1, "w1")
        time.sleep(0.4)
        found = [*rows.queue.reap(), claim(rows, "w2")]
        if time.monotonic() - sent > 1.5:
            pytest.skip("this machine stood still for longer than the lease")
        assert found == [None]
    assert rows.get(job).failures == 0


def test_g6_the_last_try_is_the_last(rows: Plant) -> None:
    silent, killed = rows.submit("silent"), rows.submit("killed")
    for attempt in (1, 2, 3):
        assert (claim(rows), claim(rows)) == (attempt, attempt)
        rows.queue.release(killed, attempt, "w1", error=ERROR)
        reap_after_the_lease(rows, silent)

    assert claim(rows) is None
    for job, code in ((silent, "lost"), (killed, "killed")):
        row = rows.get(job)
        assert (row.status, row.failures, (row.error or {})["code"]) == (Status.FAILURE, 3, code)


def test_g6_what_a_worker_gives_back_calmly_does_not_count(rows: Plant) -> None:
    job = rows.submit()
    for attempt in range(1, 8):
        assert claim(rows) == attempt
        rows.queue.drain(job, attempt, "w1")

    row = rows.get(job)
    assert (row.status, row.failures, row.attempt) == (Status.PENDING, 0, 7)


def test_g10_a_job_that_waits_is_cancelled_at_once(rows: Plant) -> None:
    job, paused = rows.submit(), rows.submit()
    rows.jobs.pause(paused)

    for one in (job, paused):
        assert rows.jobs.cancel(one).status is Status.REVOKED
    assert claim(rows) is None
    with pytest.raises(StateError):
        rows.jobs.cancel(job)


@pytest.mark.parametrize("how", ["reaped", "released", "drained", "paused"])
def test_g10_a_job_to_be_cancelled_never_waits_again(rows: Plant, how: str) -> None:
    job = rows.submit()
    claim(rows)
    rows.store.heartbeat(job, 1, "w1")
    assert rows.jobs.cancel(job).status is Status.STARTED
    assert rows.store.heartbeat(job, 1, "w1").cancel_requested

    if how == "reaped":
        reap_after_the_lease(rows, job)
    elif how == "released":
        rows.queue.release(job, 1, "w1", error=ERROR)
    elif how == "drained":
        rows.queue.drain(job, 1, "w1")
    else:
        rows.store.pause(job, 1, "w1")

    row = rows.get(job)
    assert (row.status, row.failures, row.paused) == (Status.REVOKED, 0, False)
    assert claim(rows) is None


def test_g10_a_silent_job_is_cancelled_at_once_and_stays_so(rows: Plant) -> None:
    job = rows.submit()
    claim(rows)
    rows.until(lambda: not rows.get(job).lease_live, "the lease is over")

    assert rows.jobs.cancel(job).status is Status.REVOKED
    with pytest.raises(LeaseLost):
        rows.store.finish(job, 1, "w1", Status.SUCCESS)
    assert rows.queue.reap() == []
    assert rows.get(job).status is Status.REVOKED


def test_g7_what_was_submitted_is_read_by_everybody(rows: Plant) -> None:
    from finetune30.experiments import open_store

    made = rows.jobs.submit(config("plain"), "ana", Wish(idempotency_key="k"))
    other = open_store(rows.make_settings())

    assert other.get(made.id).status is Status.PENDING
    assert [(one.kind, one.status) for one in rows.queue.events(made.id)] == [("state", Status.PENDING)]
    other.close()


def test_g17_a_bell_that_nobody_heard_is_rung_again(rows: Plant) -> None:
    job = rows.submit()
    assert rows.queue.due(10, 60) == []  # it was rung when it was submitted

    rows.queue.unrung(job)

    assert rows.queue.due(10, 60) == [(job, "train")]
    assert rows.queue.due(10, 60) == []


def test_g16_a_started_job_without_a_lease_is_found(rows: Plant) -> None:
    job = rows.submit()
    claim(rows)
    with database.write(rows.queue._engine) as connection:
        connection.execute(text("UPDATE experiments SET lease_expires_at = NULL"))  # as if it died before its lease

    reap_after_the_lease(rows, job)

    assert (rows.get(job).status, rows.get(job).failures) == (Status.PENDING, 1)
