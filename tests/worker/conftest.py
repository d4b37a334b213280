"""A worker's office over a real database, for attempts that are a few lines of code."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune30.config import from_mapping
from finetune30.experiments import Experiment, Wish, open_both
from finetune30.settings import Settings
from finetune30.worker.office import Office
from finetune30.worker.slots import Seat
from finetune30.worker.supervisor import Supervisor

BEGIN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from finetune30.worker.line import Line
order, hold = Line.from_environment()
"""


class Bench:
    """One worker's office, and jobs whose attempts run ``code``."""

    def __init__(self, home: Path, **changes: Any) -> None:
        values = {
            "results_dir": home / "results",
            "data_dir": home / "data",
            "tz": "UTC",
            "lease_s": 2.0,
            "heartbeat_s": 0.4,
            "retry_delay_s": 0.0,
            "stop_grace_s": 1.0,
            "drain_s": 2.0,
        }
        self.settings = Settings(_env_file=None, **(values | changes))  # type: ignore[call-arg]
        self.store, self.queue = open_both(self.settings)
        self.said: list[str] = []
        self.rung: list[tuple[str, str]] = []
        self.office = Office(
            self.settings,
            self.store,
            self.queue,
            "worker:here:1:abc",
            (),
            self.said.append,
            lambda job, queue: self.rung.append((job, queue)),
        )

    def submit(self, **wish: Any) -> str:
        config = from_mapping(
            {"experiment_name": "x", "model": {"name": "builtin:minilm"}, "data": {"dataset_name": "builtin:reviews"}}
        )
        return self.queue.submit(config, "ana", tz="UTC", wish=Wish(**wish))[0].id

    def begin(self, code: str, begin: str = BEGIN, seat: Seat | None = None) -> threading.Thread:
        """Claim what is next and carry it out, in a thread."""
        claimed = self.queue.claim_next(self.office.name, queues=("train",), free=1, total=1)
        assert claimed is not None
        office = replace(self.office, trainer=(sys.executable, "-c", begin + code))
        thread = threading.Thread(target=Supervisor(office, claimed, seat or Seat(1)).carry_out)
        thread.start()
        return thread

    def run(self, code: str, begin: str = BEGIN, **wish: Any) -> Experiment:
        """Submit, carry out one attempt, and return the row."""
        job = self.submit(**wish)
        self.begin(code, begin).join()
        return self.store.get(job)

    def log(self, job: str) -> str:
        return (self.settings.results_dir / job / "logs.txt").read_text(encoding="utf-8")


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**changes: Any) -> Bench:
        made.append(Bench(tmp_path, **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.store.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()
