"""A worker that cannot do what it is for: no folder, no process, a supervisor that fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from finetune30.experiments import Status
from finetune30.worker.shop import Shop
from finetune30.worker.slots import Slots
from tests.worker.conftest import BEGIN, Bench
from tests.worker.test_supervisor import until

WELL = (sys.executable, "-c", BEGIN + "hold.succeeded({})")


def shop_of(bench: Bench, trainer: tuple[str, ...] = WELL) -> Shop:
    return Shop(replace(bench.office, trainer=trainer), Slots(1), ("train",))


def at_rest(shop: Shop) -> None:
    until(lambda: not shop.busy, "nothing runs")


@pytest.mark.parametrize("place", ["results", "data"])
def test_a_worker_without_its_folders_takes_nothing_says_so_once_and_goes_on(
    make_bench: Callable[..., Bench], tmp_path: Path, place: str
) -> None:
    """The database is a server's, so the worker knows of jobs that it cannot run."""
    bench = make_bench(database_url=f"sqlite:///{tmp_path / 'shared.db'}")
    job = bench.submit()
    folder = tmp_path / place
    if folder.is_dir():
        folder.rmdir()
    folder.write_text("no folder")
    shop = shop_of(bench)

    assert [shop.take_one() for _ in range(3)] == [False] * 3
    assert shop.closed
    assert bench.store.get(job).attempt == 0
    (told,) = bench.said
    assert "no job is taken" in told
    assert f"{place.upper()}_DIR" in told
    assert str(folder) in told

    folder.unlink()
    assert shop.take_one()
    at_rest(shop)
    assert bench.store.get(job).status is Status.SUCCESS
    assert sum("jobs are taken again" in line for line in bench.said) == 1


def test_a_worker_that_can_start_no_process_costs_no_job_an_attempt(bench: Bench) -> None:
    jobs = [bench.submit() for _ in range(4)]
    shop = shop_of(bench, ("/no/such/program",))
    ends = time.monotonic() + 1.0
    while time.monotonic() < ends:
        shop.take_one()

    at_rest(shop)
    rows = [bench.store.get(job) for job in jobs]
    assert {(row.status, row.failures) for row in rows} == {(Status.PENDING, 0)}
    assert sum(row.attempt for row in rows) <= 3  # it waits longer each time
    assert any("/no/such/program" in line for line in bench.said)


def test_a_job_whose_supervisor_fails_waits_again_at_once(bench: Bench) -> None:
    job = bench.submit()
    shop = shop_of(bench, ())  # no command at all: nothing that is foreseen

    assert shop.take_one()
    at_rest(shop)
    row = bench.store.get(job)
    assert (row.status, row.failures) == (Status.PENDING, 1)
    assert "its worker failed: IndexError" in ((bench.store.attempts(job)[0].error or {})["message"])
