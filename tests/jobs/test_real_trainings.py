"""Workers that really train: two share the work, and one whose disk is full says so and spoils nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from finetune30.experiments import Status
from tests import tiny
from tests.jobs import trainings
from tests.jobs.plant import ROOT, Plant

_DISK = 2 * 2**20
_LARGE_DISK = 128 * 2**20


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips where this user may not mount a small file system of his own."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not make a mount namespace")


def test_two_workers_share_real_trainings_over_redis_and_postgresql(make_plant: Callable[..., Plant]) -> None:
    site = make_plant("P", **trainings.UNHURRIED)

    shares = trainings.split(site, 2)

    assert sorted(shares.values()) == [1, 1]


@pytest.mark.usefixtures("namespaces")
def test_g15_a_full_disk_ends_a_training_clearly_and_spoils_nothing(
    make_plant: Callable[..., Plant], tmp_path: Path
) -> None:
    # The rows are elsewhere: they can still say what happened.
    address = f"sqlite:///{tmp_path / 'experiments.db'}"
    site = make_plant("E", DATABASE_URL=address, **trainings.UNHURRIED)
    model = tiny.save_model(tmp_path / "model", "distilbert")
    data = tiny.write_dataset(tmp_path / "dataset")
    results = site.settings.results_dir
    results.mkdir()
    mount = f"mount -t tmpfs -o size={_LARGE_DISK} none '{results}' && exec \"$@\""
    worker = site.worker(real=True, before=["unshare", "-m", "sh", "-c", mount, "sh"])
    first = site.jobs.submit(tiny.experiment(model, data), "ana").id
    done = site.settle([first], 120)[first]
    assert done.status is Status.SUCCESS, done.error
    inside = Path(f"/proc/{worker.process.pid}/root{results}")  # as the worker sees it
    before = _digest(inside / first)
    long = {"training__num_train_epochs": 500}  # a checkpoint after each
    second = site.jobs.submit(tiny.experiment(model, data, seed=4, **long), "ana").id
    site.until(lambda: _checkpoints(site, second), "there is a checkpoint", 120)

    _fill(inside / "ballast")

    row = site.settle([second], 120)[second]

    assert row.status is Status.FAILURE
    assert (row.error or {})["code"] == "disk_full", row.error
    assert row.attempt == 1  # a disk does not empty itself
    assert _digest(inside / first) == before
    assert not list(inside.rglob("*.tmp"))
    assert worker.alive
    assert worker.drain() == 0


@pytest.mark.usefixtures("namespaces")
def test_g15_a_database_on_a_full_disk_refuses_clearly_and_loses_nothing(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size={_DISK} none '{tmp_path}' && exec \"$@\""
    words = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-m", "tests.jobs.fill_disk", str(tmp_path)]
    packages = os.pathsep.join([str(Path(sys.modules["finetune30"].__path__[0]).parent), str(ROOT)])

    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": packages}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "nothing was lost"


def _checkpoints(site: Plant, job: str) -> list[str]:
    return [event.message for event in site.queue.events(job) if event.kind == "checkpoint"]


def _fill(ballast: Path) -> None:
    """Take all the room that is left."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
