"""The ordeal: submitters submit, workers work, pollers look, and the nemesis strikes.

It ends when faults have ceased and every job has ended, or when patience has; then ``history`` judges.
Nothing here is a test yet: ``test_history`` runs one seed, ``soak`` many.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from finetune30 import database
from finetune30.errors import Finetune30Error, NotFound
from finetune30.experiments import Wish
from finetune30.jobs import Jobs
from tests.jobs.history import TERMINAL, History, Job, timeline, violations
from tests.jobs.nemesis import Nemesis
from tests.jobs.plant import Plant, config

_SUBMITTERS = 3
_WORKERS = 3
_SLOTS = 4
_QUIET_S = 90.0


@dataclass(frozen=True)
class Verdict:
    """How one ordeal went.

    Attributes:
        found: Broken promises.
        counts: Jobs by how they ended.
        story: Seed, schedule and the timelines of the jobs that broke a promise.
    """

    seed: int
    kind: str
    found: list[str]
    counts: Counter[str]
    attempts: int
    faults: int
    seconds: float
    story: str


def run(plant: Plant, seed: int, jobs: int = 150, faults_s: float = 40.0) -> Verdict:
    """One ordeal on a plant without workers."""
    return _Ordeal(plant, seed, jobs, faults_s).run()


class _Ordeal:
    def __init__(self, plant: Plant, seed: int, jobs: int, faults_s: float) -> None:
        self.plant = plant
        self.seed = seed
        self.history = History(max_attempts=int(plant.settings.max_attempts))
        self._count = jobs
        self._faults_s = faults_s
        self._draw = random.Random(seed)
        self._submitted = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._nemesis = Nemesis(plant, random.Random(seed + 1), _SLOTS, self._unfinished)

    def run(self) -> Verdict:
        began = time.monotonic()
        for _ in range(_WORKERS):
            self.plant.worker(_SLOTS)
        shares = [range(number, self._count, _SUBMITTERS) for number in range(_SUBMITTERS)]
        seeds = [self._draw.random() for _ in shares]
        submitters = [
            threading.Thread(target=self._submit, args=(number, share, seeds[number]))
            for number, share in enumerate(shares)
        ]
        pollers = [threading.Thread(target=self._poll, args=(f"poller {number}",)) for number in range(2)]
        for thread in (*submitters, *pollers):
            thread.start()
        try:
            self._torment(began)
            for thread in submitters:
                thread.join()
            self._nemesis.heal()
            self._wait_for_the_end()
        finally:
            self._over.set()
            for thread in pollers:
                thread.join()
        return self._judge(time.monotonic() - began)

    def _torment(self, began: float) -> None:
        rhythm = random.Random(self.seed + 2)
        time.sleep(1.5)
        while time.monotonic() - began < self._faults_s:
            self._nemesis.strike()
            time.sleep(rhythm.uniform(0.1, 0.9))

    def _unfinished(self) -> list[str]:
        """The jobs whose end no poller has seen yet."""
        with self._lock:
            ended = {job for seen in self.history.seen.values() for job, status in list(seen) if status in TERMINAL}
            return [job for job in self.history.acked.values() if job not in ended]

    def _submit(self, number: int, share: range, seed: float) -> None:
        draw, jobs = random.Random(seed), Jobs(self.plant.settings)
        pause_s = self._faults_s / max(1, len(share)) * 0.8
        for index in share:
            key = f"key {index}"
            name = self._name(draw)
            wish = Wish(idempotency_key=key, priority=draw.choice([-1, 0, 0, 0, 1]))
            with self._lock:
                self.history.maybe.add(key)
            while True:  # a client that got no answer asks again with the same key
                with suppress(Finetune30Error):
                    made = jobs.submit(config(name), f"owner {number}", wish)
                    break
                time.sleep(0.1)
            with self._lock:
                self.history.acked[key] = made.id
            self._read_back(jobs, made.id)
            if draw.random() < 0.1:  # a client that got its answer twice
                with suppress(Finetune30Error):
                    jobs.submit(config(name), f"owner {number}", wish)
            time.sleep(draw.uniform(0, 2 * pause_s))
        jobs.close()

    def _name(self, draw: random.Random) -> str:
        """Most jobs are sound; a few die in their first or in each attempt, or have bad data."""
        # Many outlast a lease: only those can be found running twice.
        step_ms = draw.choice([15, 30, 45, 150, 220])
        sound = f"job steps.{self.history.total} every.{self.history.interval} ms.{step_ms}"
        ills = [" kill_at.7", " kill_at.9 kills.1", " kill_at.9 kills.1", " fail_at.4"]
        return sound + (draw.choice(ills) if draw.random() < 0.1 else "")

    def _read_back(self, jobs: Jobs, job: str) -> None:
        try:
            jobs.store.get(job)
        except NotFound:
            self.history.missing.append(job)
        except Finetune30Error:
            pass  # the database is away: no answer is no lie

    def _poll(self, name: str) -> None:
        jobs, seen = Jobs(self.plant.settings), self.history.seen.setdefault(name, [])
        last: dict[str, str] = {}
        while not self._over.wait(0.15):
            with suppress(Finetune30Error):
                for row in jobs.store.find():
                    if last.get(row.id) != str(row.status):
                        last[row.id] = str(row.status)
                        seen.append((row.id, str(row.status)))
        jobs.close()

    def _wait_for_the_end(self) -> None:
        deadline = time.monotonic() + _QUIET_S
        while time.monotonic() < deadline:
            with suppress(Finetune30Error):
                if all(row.status.is_terminal for row in self.plant.store.find()):
                    return
            time.sleep(0.2)

    def _judge(self, seconds: float) -> Verdict:
        time.sleep(0.5)  # the last lines of the last attempts
        for worker in self.plant.workers:
            with suppress(OSError):
                worker.process.terminate()
        self.history.jobs = read_jobs(self.plant)
        self.history.effects = self.plant.effects()
        found = violations(self.history)
        with suppress(AssertionError):
            self.plant.until(lambda: not any(worker.alive for worker in self.plant.workers), "all workers end", 20)
        found += [f"stuck: worker {w.process.pid} ignores SIGTERM" for w in self.plant.workers if w.alive]
        with suppress(AssertionError):
            self.plant.until(lambda: not self.plant.attempts_alive(), "no attempt is left", 5)
        found += [f"orphan: process {process.pid}" for process in self.plant.attempts_alive()]
        counts = Counter(job.status for job in self.history.jobs)
        starts = sum(line["what"] == "start" for line in self.history.effects)
        faults = len([what for _, what in self._nemesis.schedule if "heals" not in what and "thaw" not in what])
        return Verdict(self.seed, self.plant.kind, found, counts, starts, faults, seconds, self._story(found))

    def _story(self, found: list[str]) -> str:
        if not found:
            return ""
        schedule = [f"  {at:6.2f} {what}" for at, what in self._nemesis.schedule]
        guilty = [job for job in self.history.jobs if any(job.id in text.split() or job.id in text for text in found)]
        began = self._nemesis._began
        lines = [timeline(job, self.history.effects) for job in guilty[:8]]
        head = f"seed {self.seed}, kind {self.plant.kind}, clock of the schedule began at {began:.3f}"
        return "\n".join([head, *found, "schedule:", *schedule, *lines, self.plant.story()[-6000:]])


def read_jobs(plant: Plant) -> list[Job]:
    """Every row with its history, and the key it was submitted with."""
    with database.read(plant.store._engine) as connection:
        keys: dict[str, Any] = dict(connection.execute(text("SELECT id, idempotency_key FROM experiments")).all())  # type: ignore[arg-type]
    return [_job(plant, row, str(keys[row.id])) for row in plant.store.find()]


def _job(plant: Plant, row: Any, key: str) -> Job:
    events = plant.queue.events(row.id)
    return Job(
        id=row.id,
        key=key,
        status=str(row.status),
        failures=row.failures,
        attempt=row.attempt,
        error=row.error,
        attempts=tuple((one.attempt, one.outcome and str(one.outcome)) for one in plant.store.attempts(row.id)),
        states=tuple((one.attempt, str(one.status)) for one in events if one.kind == "state"),
        metrics=row.metrics,
    )
