"""The history test: many jobs, several submitters and workers, a nemesis, and nothing lost or doubled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.jobs import ordeal
from tests.jobs.plant import Plant


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("on", "jobs", "faults_s"),
    [("P", 150, 45.0), ("R", 40, 12.0), ("E", 40, 12.0)],
    ids=["redis-and-postgresql", "redis-and-sqlite", "sqlite"],
)
def test_whatever_happens_no_job_is_lost_or_doubled(
    make_plant: Callable[..., Plant], on: str, jobs: int, faults_s: float
) -> None:
    site = make_plant(on, wires=True, own=True)

    verdict = ordeal.run(site, seed=5, jobs=jobs, faults_s=faults_s)

    assert verdict.found == [], verdict.story
    assert verdict.counts.total() == jobs
    assert verdict.attempts > jobs  # the nemesis did strike
