"""Real trainings of a tiny model, shared out between worker processes that know only Redis and PostgreSQL."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from finetune30.experiments import Status
from tests import tiny
from tests.jobs.plant import Plant

# A training of two seconds and an import of torch of ten; nothing here waits for a short lease.
UNHURRIED = {"LEASE_S": 60, "HEARTBEAT_S": 5, "DRAIN_S": 60, "STOP_GRACE_S": 30}


def split(plant: Plant, count: int, workers: int = 2, say: Callable[[str], None] = print) -> Counter[str]:
    """Train ``count`` adapters on ``workers`` processes; how many each worker trained.

    Raises: AssertionError naming what is not as it should be.
    """
    model = tiny.save_model(plant.home / "model", "distilbert")
    data = tiny.write_dataset(plant.home / "dataset")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    jobs = [plant.jobs.submit(tiny.experiment(model, data, seed=seed), f"owner {seed % 3}").id for seed in range(count)]
    for _ in range(workers):
        plant.worker(1, real=True)
    rows = plant.settle(jobs, patience_s=60 + 60 * count)
    told = {job: (row.status, row.attempt, row.error) for job, row in rows.items() if row.status is not Status.SUCCESS}
    assert told == {}, f"{told}\n{plant.story()}"
    shares: Counter[str] = Counter()
    for job in jobs:
        (one,) = plant.store.attempts(job)
        shares[one.worker] += 1
        weights = Path(plant.settings.results_dir, job, "artifacts", "final_model", "adapter_model.safetensors")
        assert weights.stat().st_size > 0
    assert len(shares) == workers, f"{workers} workers, the trainings were done by {dict(shares)}"
    say(f"{count} trainings by {workers} workers: {sorted(shares.values())}")
    return shares
