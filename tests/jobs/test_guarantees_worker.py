"""Guarantees that take a worker: real processes over each kind of plant, and attempts that misbehave."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import psutil
import pytest

from finetune30.errors import StateError
from finetune30.experiments import Outcome, Status
from tests.jobs.history import NEXT
from tests.jobs.plant import Plant, Worker


def steps(site: Plant, job: str) -> list[int]:
    """The steps that were done, in order, over all attempts."""
    return [line["step"] for line in site.effects(job) if line["what"] == "step"]


def test_g6_a_poisoned_job_ends_after_three_tries_and_those_behind_it_finish(site: Plant) -> None:
    poison = site.submit("poison kill_at.3")
    crash = site.submit("crash crash_at.2")
    behind = [site.submit("behind steps.3"), site.submit("behind steps.3", owner="bo")]
    site.worker()

    rows = site.settle([poison, crash, *behind])

    assert [rows[job].status for job in behind] == [Status.SUCCESS, Status.SUCCESS]
    for job, code in ((poison, "killed"), (crash, "crashed")):
        row, tries = rows[job], site.store.attempts(job)
        assert (row.status, row.failures, row.attempt) == (Status.FAILURE, 3, 3)
        assert (row.error or {})["code"] == code
        assert len([line for line in site.effects(job) if line["what"] == "start"]) == 3
        assert [one.outcome for one in tries] == [Outcome.FAILURE] * 3


@pytest.mark.parametrize("kind", ["E"])
def test_g6_what_will_not_pass_is_not_tried_again(site: Plant) -> None:
    job = site.submit("bad fail_at.2")
    site.worker()

    row = site.settle([job])[job]

    assert (row.status, row.attempt, row.failures) == (Status.FAILURE, 1, 0)
    assert row.error == {
        "code": "data_invalid",
        "message": "row 3 has no label",
        "where": "train.csv",
        "hint": "add one",
    }


def test_g7_every_sighting_is_a_path_of_the_state_machine(site: Plant) -> None:
    site.worker(2)
    seen: dict[str, list[str]] = {}
    over = threading.Event()

    def poll() -> None:
        ended = False
        while not ended:
            ended = over.wait(0.02)  # a last look after that
            for row in site.store.find():
                states = seen.setdefault(row.id, [])
                states += [str(row.status)] if states[-1:] != [str(row.status)] else []

    poller = threading.Thread(target=poll)
    poller.start()
    jobs = []
    for number in range(6):
        jobs.append(site.submit("short steps.6 ms.20" + " kill_at.3 kills.1" * (number % 2)))
        assert site.get(jobs[-1]).id == jobs[-1]  # never unknown, once it was told
    site.settle(jobs)
    over.set()
    poller.join()

    for job in jobs:
        states = [str(event.status) for event in site.queue.events(job) if event.kind == "state"]
        assert all(after in NEXT[before] for before, after in pairwise(states)), states
        assert (states[0], states[-1], seen[job][-1]) == ("PENDING", "SUCCESS", "SUCCESS")
        assert "SUCCESS" not in seen[job][:-1]


def test_g10_a_running_job_is_stopped_and_its_place_is_free_again(site: Plant) -> None:
    kind = site.submit("kind steps.1000")
    deaf = site.submit("deaf stubborn steps.1000", owner="bo")
    site.worker(2)
    for job in (kind, deaf):
        site.until_step(job)
        assert site.jobs.cancel(job).status is Status.STARTED
    next_one = site.submit("next steps.2", owner="cy")

    rows = site.settle([kind, deaf, next_one])

    assert [rows[job].status for job in (kind, deaf)] == [Status.REVOKED, Status.REVOKED]
    assert rows[next_one].status is Status.SUCCESS
    assert {line["what"] for line in site.effects(kind)} >= {"stopped"}  # it stopped by itself, at a checkpoint
    site.until(lambda: not site.attempts_alive(), "no attempt is left")
    with pytest.raises(StateError):
        site.jobs.cancel(kind)


@pytest.mark.parametrize("kind", ["E", "P"])
def test_g10_a_cancel_while_no_worker_lives_is_kept(site: Plant) -> None:
    job = site.submit("long steps.1000")
    worker = site.worker()
    site.until_step(job)
    worker.kill()
    site.jobs.cancel(job)
    site.worker()

    row = site.settle([job])[job]

    assert row.status is Status.REVOKED
    assert row.attempt == 1


def test_g14_a_crash_costs_one_interval_at_most(site: Plant) -> None:
    # It dies at steps 13 and, in the second attempt, again.
    job = site.submit("crashy steps.20 every.5 kill_at.13 kills.2")
    site.worker()

    row = site.settle([job])[job]

    assert (row.status, row.failures) == (Status.SUCCESS, 2)
    done = steps(site, job)
    assert done == [*range(1, 14), *range(11, 14), *range(11, 21)]
    assert row.progress is not None
    assert row.progress["step"] == 20


def test_g16_no_process_survives_its_worker(make_plant: Callable[..., Plant], kind: str) -> None:
    site = make_plant(kind, LEASE_S=600, HEARTBEAT_S=0.5)  # that the lease runs out would come too late
    jobs = [site.submit("family family steps.1000"), site.submit("family family steps.1000", owner="bo")]
    worker = site.worker(2)
    for job in jobs:
        site.until_step(job)
    assert len(site.attempts_alive()) == 4  # two attempts, and a child of each

    worker.kill()

    site.until(lambda: not site.attempts_alive(), "attempts and their children are gone", 10)
    site.until(lambda: not [p for p in worker.family if _runs(p)], "the worker's own processes are gone", 10)


@pytest.mark.parametrize("kind", ["E"])
def test_g16_an_attempt_that_is_killed_leaves_no_child(site: Plant) -> None:
    job = site.submit("family family steps.40 kill_at.3 kills.1")
    site.worker()

    site.settle([job])

    site.until(lambda: not site.attempts_alive(), "the children of both attempts are gone", 10)


def test_g19_sigterm_lets_attempts_stop_at_a_checkpoint_and_another_worker_goes_on(site: Plant) -> None:
    job = site.submit("long steps.40 ms.40 every.50")
    first = site.worker()
    site.until_step(job, 4)

    assert first.drain() == 0
    row = site.get(job)
    assert (row.status, row.failures, row.paused) == (Status.PENDING, 0, False)
    assert not site.attempts_alive()
    assert [one.outcome for one in site.store.attempts(job)] == [Outcome.DRAINED]
    site.worker()

    row = site.settle([job])[job]
    assert (row.status, row.failures, row.attempt) == (Status.SUCCESS, 0, 2)
    assert Counter(steps(site, job)).most_common(1)[0][1] == 1  # no step was done twice


@pytest.mark.parametrize("kind", ["R"])
def test_g19_an_idle_worker_ends_at_once(site: Plant) -> None:
    worker = site.worker()
    job = site.submit("short steps.1")
    site.settle([job])

    assert worker.drain() == 0


@pytest.mark.parametrize("kind", ["E"])
def test_g19_who_ignores_the_drain_is_ended_and_tried_again(site: Plant) -> None:
    job = site.submit("deaf stubborn steps.30 ms.100")
    first = site.worker(DRAIN_S=0.5, STOP_GRACE_S=0.5)
    site.until_step(job, 6)

    first.drain()
    assert not site.attempts_alive()
    row = site.get(job)
    assert (row.status, row.failures) == (Status.PENDING, 0)
    site.worker()

    assert site.settle([job])[job].status is Status.SUCCESS
    assert min(line["step"] for line in site.effects(job) if line["attempt"] == 2 and line["what"] == "step") >= 6


@pytest.mark.parametrize("kind", ["R"])
def test_g19_an_attempt_that_lingers_is_gone_before_the_next_begins(site: Plant) -> None:
    job = site.submit("slow linger.1500 steps.40 ms.40 every.50")
    first, _second = site.worker(), site.worker()
    line = site.until_step(job, 3)
    _tell_its_worker_to_drain(site, first, _second, line["pid"])

    row = site.settle([job])[job]

    assert (row.status, row.failures, row.attempt) == (Status.SUCCESS, 0, 2)
    (left,) = [one["at"] for one in site.effects(job) if one["what"] == "left"]
    (began,) = [one["at"] for one in site.effects(job) if one["what"] == "start" and one["attempt"] == 2]
    assert left < began


def _tell_its_worker_to_drain(site: Plant, first: Worker, second: Worker, attempt: int) -> None:
    """SIGTERM to the one of two workers that runs the attempt."""
    mine = first if psutil.Process(attempt).ppid() == first.process.pid else second
    mine.process.terminate()


@pytest.mark.parametrize("kind", ["P"])
def test_a_paused_job_waits_and_goes_on_where_it_stopped(site: Plant) -> None:
    job = site.submit("long steps.30 every.50")
    site.worker()
    site.until_step(job, 3)
    site.jobs.pause(job)
    site.until(lambda: site.get(job).paused, "it is paused")
    assert site.get(job).status is Status.PENDING
    time.sleep(0.5)
    assert len(site.store.attempts(job)) == 1  # nobody takes it

    site.jobs.resume(job)

    row = site.settle([job])[job]
    assert (row.status, row.failures) == (Status.SUCCESS, 0)
    assert sorted(steps(site, job)) == list(range(1, 31))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_job_that_runs_too_long_is_ended_even_if_it_is_deaf(make_plant: Callable[..., Plant]) -> None:
    site = make_plant("E", MAX_RUNTIME_S=1)
    job = site.submit("deaf stubborn steps.1000")
    site.worker()

    row = site.settle([job])[job]

    assert (row.status, row.attempt) == (Status.FAILURE, 1)
    assert (row.error or {})["code"] == "timed_out"
