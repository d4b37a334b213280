"""The keeper: what fell silent, whose message was lost, and outages that are said once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from finetune30.errors import StorageError
from finetune30.experiments import Status
from finetune30.jobs import Keeper
from tests.jobs.plant import Plant


class Bells:
    """A bell that notes who was rung for, and is deaf when told so."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []
        self.deaf = False

    def ring(self, experiment_id: str, queue_name: str) -> bool:
        self.rung.append((experiment_id, queue_name))
        return not self.deaf


@pytest.fixture
def site(make_plant: Callable[..., Plant]) -> Plant:
    """Settings name a broker, which only the bell of a test stands for."""
    plant = make_plant("E", LEASE_S=0.6, HEARTBEAT_S=0.2)
    plant.env["BROKER_URL"] = "redis://127.0.0.1:1/0"
    plant.settings = plant.make_settings()
    return plant


def test_a_job_whose_message_was_lost_is_rung_for_until_somebody_takes_it(site: Plant) -> None:
    bell, job = Bells(), site.submit()
    site.queue.unrung(job)
    keeping = Keeper(site.queue, bell, site.settings, print)

    keeping.round()
    keeping.round()
    assert bell.rung == [(job, "train")]  # the next one only after RING_AGAIN_S

    site.queue.unrung(job)
    site.queue.claim_next("w1", queues=("train",), free=1, total=1)
    keeping.round()
    assert bell.rung == [(job, "train")]


def test_a_silent_broker_is_said_once_and_tried_once_a_round(site: Plant) -> None:
    said: list[str] = []
    bell = Bells()
    keeping = Keeper(site.queue, bell, site.settings, said.append)
    jobs = [site.submit(), site.submit()]
    for job in jobs:
        site.queue.unrung(job)
    bell.deaf = True

    keeping.round()
    keeping.round()
    assert len(bell.rung) == 2
    assert len(said) == 1
    assert "the broker cannot be reached" in said[0]

    bell.deaf = False
    keeping.round()
    assert {job for job, _ in bell.rung[2:]} == set(jobs)
    assert said[1:] == ["the broker is back"]


def test_what_fell_silent_waits_again_and_is_rung_for_in_the_same_round(site: Plant) -> None:
    bell, job = Bells(), site.submit()
    site.queue.claim_next("w1", queues=("train",), free=1, total=1)
    site.until(lambda: not site.get(job).lease_live, "the lease is over")

    Keeper(site.queue, bell, site.settings, print).round()

    assert site.get(job).status is Status.PENDING
    assert bell.rung == [(job, "train")]


def test_after_this_machine_slept_its_processes_may_prove_first_that_they_live(site: Plant) -> None:
    asleep_s = 0.0
    keeping = Keeper(site.queue, None, site.settings, print, clock=lambda: time.monotonic() + asleep_s)
    job = site.submit()
    site.queue.claim_next("w1", queues=("train",), free=1, total=1)
    keeping.round()
    site.until(lambda: not site.get(job).lease_live, "the lease is over")
    asleep_s = 3600.0

    keeping.round()
    assert site.get(job).status is Status.STARTED
    site.store.heartbeat(job, 1, "w1")  # it lives
    keeping.round()
    assert site.get(job).status is Status.STARTED

    site.until(lambda: not site.get(job).lease_live, "the lease is over")
    asleep_s *= 2
    keeping.round()
    asleep_s *= 2  # late again: on a machine that is always late somebody must reap all the same
    keeping.round()
    assert site.get(job).status is Status.PENDING


def test_a_worker_that_keeps_is_seen_and_survives_an_outage_of_the_database(site: Plant) -> None:
    said: list[str] = []
    away = True

    def sign() -> None:
        if away:
            raise StorageError("the database cannot be used: no answer")
        site.queue.seen("w1", host="here", slots=2, busy=0, queues=["train"])

    with Keeper(site.queue, None, site.settings, said.append, sign):
        site.until(lambda: said, "the outage is said")
        away = False
        site.until(site.queue.workers, "the worker is seen")
        site.until(lambda: len(said) > 1, "the end of the outage is said")

    assert said == ["the database cannot be used: no answer; going on when it is back", "the database is back"]
    assert site.jobs.slots("train") == 2


def test_g18_a_round_without_a_database_raises_nothing(make_plant: Callable[..., Plant]) -> None:
    plant, said = make_plant("E"), list[str]()
    keeping = Keeper(plant.queue, None, plant.settings, said.append)
    plant.store.find()  # the database is there, then it is not
    plant.jobs.close()
    hidden = plant.home / "hidden"
    (plant.home / "results").rename(hidden)

    keeping.round()
    keeping.round()
    hidden.rename(plant.home / "results")
    keeping.round()

    assert len(said) == 2
    assert "the database cannot be used" in said[0]
    assert said[1] == "the database is back"
