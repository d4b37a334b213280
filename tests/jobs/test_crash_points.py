"""A worker that dies, or is told to end, in the very moment it writes to the database; and noisy attempts.

strace counts the flushes of each thread: the first ones are the claim and the sign of life, later ones
heartbeats and the last word. What was written is there (only the process dies, not the machine).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from finetune30.experiments import Status
from tests.jobs.ordeal import read_jobs
from tests.jobs.plant import Plant


@pytest.fixture(scope="session")
def strace() -> None:
    """Skips where there is no strace, or it may not trace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not trace processes")


def traced(signal: str, flush: int) -> list[str]:
    """Words before a worker that gets a signal at the n-th flush of one of its threads."""
    inject = f"inject=fdatasync:signal={signal}:when={flush}"
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject]


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("flush", [2, 3, 4])
def test_g1_a_worker_killed_while_it_commits_loses_nothing(make_plant: Callable[..., Plant], flush: int) -> None:
    site = make_plant("E")
    jobs = [site.submit("short steps.6 every.2 ms.20") for _ in range(2)]
    first = site.worker(before=traced("KILL", flush))
    site.until(lambda: not first.alive, "it is killed by its own flush")
    site.worker()

    rows = site.settle(jobs)

    assert {row.status for row in rows.values()} == {Status.SUCCESS}
    assert all(row.failures <= 1 for row in rows.values())
    for job in read_jobs(site):
        assert job.status == "SUCCESS"
        assert sum(outcome == "SUCCESS" for _, outcome in job.attempts) == 1
        ends = [line for line in site.effects(job.id) if line["what"] == "end"]
        assert len(ends) <= 1  # the row may say SUCCESS although the attempt died before it was told


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("flush", [1, 2])
def test_g19_a_worker_told_to_end_while_it_commits_leaves_no_row_behind(
    make_plant: Callable[..., Plant], flush: int
) -> None:
    site = make_plant("E", LEASE_S=600, HEARTBEAT_S=0.5)  # the reaper would come far too late
    job = site.submit("short steps.200 ms.20")
    worker = site.worker(before=traced("TERM", flush))
    site.until(lambda: not worker.alive, "it drains")

    row = site.get(job)

    assert (row.status, row.failures, row.lease_owner) == (Status.PENDING, 0, None)
    assert not site.attempts_alive()


def test_what_an_attempt_prints_fills_no_disk_and_what_it_garbles_is_a_crash(make_plant: Callable[..., Plant]) -> None:
    site = make_plant("E")
    loud, garbled = site.submit("loud flood.64 steps.3"), site.submit("garbled garble.2", owner="bo")
    site.worker(2)

    rows = site.settle([loud, garbled])

    assert rows[loud].status is Status.SUCCESS
    log = site.settings.results_dir / loud / "logs.txt"
    assert log.stat().st_size < 16 * 2**20
    assert "output are not kept" in log.read_text(encoding="utf-8", errors="replace")
    assert (rows[garbled].status, rows[garbled].failures) == (Status.FAILURE, 3)
    assert (rows[garbled].error or {})["code"] == "crashed"
