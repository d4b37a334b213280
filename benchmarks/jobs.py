"""What the certainty of a job costs: from submission to start, claims a second, and the whole trip of a training.

Peers: the embedded queue and Redis with Celery side by side; a supervised attempt against the same
``finetune30 train`` by itself, in turn. Servers are real ones, started for the measurement.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import PostgresServer, RedisServer

from finetune30.config import ExperimentConfig, load
from finetune30.experiments import Queue, Wish, open_both
from finetune30.jobs import Jobs
from finetune30.settings import Settings

CONFIG = Path(__file__).parents[1] / "config" / "default.yaml"
SUBMISSIONS, CLAIMS, CLAIMERS, ROUNDS = 30, 2000, 8, 4
_WORKER = """
import sys
from finetune30.settings import get_settings
from finetune30.worker.serve import serve
serve(get_settings(), concurrency=1, **({"trainer": sys.argv[1:]} if sys.argv[1:] else {}))
"""
_CLAIMER = """
import sys
from finetune30.errors import LeaseLost
from finetune30.experiments import Status, open_both
from finetune30.settings import get_settings
store, queue = open_both(get_settings())
print("ready", flush=True)
sys.stdin.readline()
count, misses, me = 0, 0, "worker:" + sys.argv[1]
while misses < 20:
    claimed = queue.claim_next(me, queues=["train"], free=1, total=1)
    misses = 0 if claimed else misses + 1
    if claimed:
        store.finish(claimed.experiment.id, claimed.attempt, me, Status.SUCCESS)
        count += 1
print(count, flush=True)
"""


def measure() -> dict[str, Any]:
    """Every figure, with a table on the screen."""
    redis, postgres = RedisServer(), PostgresServer()
    try:
        stores = {"SQLite": None, "PostgreSQL": postgres.database("bench")}
        found: dict[str, Any] = {}
        print("| submission to start | median ms | p95 ms |\n|---|---|---|")
        for bell, broker in (("embedded", None), ("Redis", redis.url)):
            for name, url in stores.items():
                waits = _waits_ms(broker, url)
                found[f"start_{bell}_{name}_ms"] = median = statistics.median(waits)
                print(f"| {bell}, {name} | {median:.0f} | {sorted(waits)[int(len(waits) * 0.95)]:.0f} |")
        print(f"\n| {CLAIMERS} workers claim and finish {CLAIMS} jobs | jobs/s |\n|---|---|")
        for name, url in {"SQLite": None, "PostgreSQL": postgres.database("claims")}.items():
            found[f"claims_{name}_per_s"] = rate = _claims_per_s(url)
            print(f"| {name} | {rate:.0f} |")
        return {**found, **_overhead()}
    finally:
        redis.remove()
        postgres.remove()


@contextmanager
def _place(**settings: object) -> Iterator[dict[str, str]]:
    """The environment of a results folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        own = {"RESULTS_DIR": f"{folder}/results", "DATA_DIR": f"{folder}/data", "TZ": "UTC"}
        yield {**os.environ, **own, **{key: str(value) for key, value in settings.items() if value is not None}}


def _settings(env: dict[str, str]) -> Settings:
    names = {name.upper() for name in Settings.model_fields}
    return Settings(**{key.lower(): value for key, value in env.items() if key in names})  # type: ignore[arg-type]


@contextmanager
def _worker(env: dict[str, str], *trainer: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", _WORKER, *trainer], env=env, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _waits_ms(broker: str | None, database: str | None) -> list[float]:
    """Of jobs submitted one by one to a worker that waits: from the row's creation to its claim."""
    with _place(BROKER_URL=broker, DATABASE_URL=database) as env:
        jobs = Jobs(_settings(env))
        with _worker(env, sys.executable, "-P", str(Path(__file__).with_name("do_nothing.py"))):
            ids = []
            for number in range(SUBMISSIONS + 5):
                ids.append(jobs.submit(ExperimentConfig(seed=number), "bench", Wish()).id)
                _until_terminal(jobs, ids[-1])
                time.sleep(0.37)  # out of step with the worker's looks
        rows = [jobs.store.get(id) for id in ids[5:]]
        return [1000 * ((row.started_at or 0) - row.created_at) for row in rows]


def _until_terminal(jobs: Jobs, id: str) -> None:
    while not jobs.store.get(id).status.is_terminal:
        time.sleep(0.05)


def _claims_per_s(database: str | None) -> float:
    with _place(DATABASE_URL=database) as env:
        _, queue = open_both(_settings(env))
        _fill(queue)
        command = [sys.executable, "-c", _CLAIMER]
        claimers = [
            subprocess.Popen([*command, str(n)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for n in range(CLAIMERS)
        ]
        for one in claimers:
            assert one.stdout
            assert one.stdout.readline() == "ready\n"
        began = time.perf_counter()
        for one in claimers:
            assert one.stdin
            one.stdin.write("go\n")
            one.stdin.flush()
        done = sum(int(one.communicate()[0]) for one in claimers)
        seconds = time.perf_counter() - began
        assert done == CLAIMS
        return CLAIMS / seconds


def _fill(queue: Queue) -> None:
    for number in range(CLAIMS):
        queue.submit(ExperimentConfig(experiment_name=f"n{number}"), f"user{number % 5}", tz="UTC")


def _overhead() -> dict[str, float]:
    """The same training by itself and as a job of a worker that waits; the first round warms the disk."""
    program = str(Path(sys.executable).with_name("finetune30"))
    bare, supervised = [], []
    for _ in range(ROUNDS):
        with _place() as env:
            began = time.perf_counter()
            subprocess.run([program, "train", str(CONFIG)], env=env, check=True, capture_output=True)
            bare.append(time.perf_counter() - began)
        with _place() as env:
            jobs = Jobs(_settings(env))
            with _worker(env):
                while not jobs.queue.workers():
                    time.sleep(0.1)
                began = time.perf_counter()
                id = jobs.submit(load(CONFIG), "bench", Wish()).id
                _until_terminal(jobs, id)
                supervised.append(time.perf_counter() - began)
            assert jobs.store.get(id).status == "SUCCESS", jobs.store.get(id).error
    extra = [b - a for a, b in zip(bare[1:], supervised[1:], strict=True)]
    goal = 2 + 0.02 * statistics.median(bare[1:])
    print("\n| training by itself s | as a job s | overhead s | goal s |\n|---|---|---|---|")
    found = (statistics.median(bare[1:]), statistics.median(supervised[1:]), statistics.median(extra), goal)
    print("| " + " | ".join(f"{value:.1f}" for value in found) + " |")
    return {"train_s": found[0], "job_s": found[1], "overhead_s": found[2], "overhead_goal_s": goal}
