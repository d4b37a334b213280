"""A small plant for one test: a database, maybe a broker, worker processes, and the log of effects.

Three kinds, and the same tests run over all of them: E (SQLite alone, workers ask the database),
R (Redis and SQLite), P (Redis and PostgreSQL). Leases are short, everything else is as in earnest.
Neighbours: ``fake_trainer`` is what the workers start, ``history`` reads what became of it all.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import finetune30
from finetune30.experiments import Experiment, ExperimentStore, Queue, Status, Wish
from finetune30.jobs import Jobs
from finetune30.settings import Settings
from tests.proxy import Proxy
from tests.servers import PostgresServer, RedisServer

KINDS = ("E", "R", "P")
LEASE_S = 2.0
SHORT = {
    "LEASE_S": LEASE_S,
    "HEARTBEAT_S": 0.4,
    "POLL_S": 0.05,
    "RING_AGAIN_S": 1,
    "RETRY_DELAY_S": 0.1,
    "STOP_GRACE_S": 1,
    "DRAIN_S": 5,
    "MAX_ATTEMPTS": 3,
    "MAX_JOBS_PER_USER": 0,
    "API_PORT": 0,  # any that is free
    "SERVING_PORT": 0,
    "UI_PORT": 0,
}
# A test of a seeded bug need not be patient.
PATIENCE_S = float(os.environ.get("FINETUNE30_PATIENCE_S", "40"))
ROOT = Path(__file__).parents[2]


@dataclass
class Servers:
    """What a plant may stand on; a kind uses what it needs."""

    redis: RedisServer | None = None
    postgres: PostgresServer | None = None


@dataclass
class Worker:
    """One worker process and what it printed."""

    process: subprocess.Popen[bytes]
    log: Path
    marker: str
    family: list[psutil.Process] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """It runs, or is frozen."""
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal the worker and those of its processes that are no attempts."""
        for process in self.own():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def own(self) -> list[psutil.Process]:
        """The worker's own processes: itself, and a pool if it has one; attempts are in other sessions."""
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *(p for p in parent.children(recursive=True) if not _is_attempt(p, self.marker))]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """kill -9 of the process that was started; what it started must notice by itself."""
        self.family = self.own()
        self.process.kill()
        self.process.wait()

    def drain(self, timeout: float = PATIENCE_S) -> int:
        """SIGTERM, as an operator or a cluster sends it; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout)

    def remove(self) -> None:
        """End it and whatever is left of it."""
        left = [*self.family, *self.own()]
        if self.alive:
            self.process.kill()
        self.process.wait()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()


class Plant:
    """One test's database, broker, workers and effects.

    Args:
        wires: Put a proxy before each server, for the workers only.
        changes: Settings that differ from ``SHORT``.
    """

    def __init__(self, kind: str, home: Path, servers: Servers, *, wires: bool = False, **changes: object) -> None:
        self.kind = kind
        self.home = home
        self.servers = servers
        self.effects_file = home / "effects.jsonl"
        home.mkdir(parents=True, exist_ok=True)
        self.effects_file.touch()
        self.workers: list[Worker] = []
        self.wires: dict[str, Proxy] = {}
        self.env = {"RESULTS_DIR": home / "results", "DATA_DIR": home / "data", "TZ": "UTC", **SHORT, **changes}
        if kind in ("R", "P"):
            assert servers.redis is not None
            servers.redis.flush()
            self.env["BROKER_URL"] = servers.redis.url
        if kind == "P":
            assert servers.postgres is not None
            self.env["DATABASE_URL"] = servers.postgres.database(f"plant{time.monotonic_ns()}")
        self.worker_env = dict(self.env)
        if wires:
            self._put_wires()
        self.settings = self.make_settings()
        self.jobs = Jobs(self.settings)
        self.store: ExperimentStore = self.jobs.store
        self.queue: Queue = self.jobs.queue

    def make_settings(self, **changes: object) -> Settings:
        """The settings of somebody who is no worker."""
        values = {name.lower(): value for name, value in (self.env | changes).items()}
        return Settings(_env_file=None, **values)  # type: ignore[call-arg]

    def worker(
        self,
        concurrency: int = 1,
        *queues: str,
        real: bool = False,
        before: Sequence[str] = (),
        **changes: object,
    ) -> Worker:
        """Start one more worker; it is not waited for.

        Args:
            real: Its attempts train.
            before: Words before its command, of a program that becomes it.
        """
        log = self.home / f"worker-{len(self.workers)}.log"
        effects = "-" if real else str(self.effects_file)
        words = ["-m", "tests.jobs.run_worker", effects, str(concurrency), *queues]
        worker = Worker(self.run(words, log, before, **changes), log, str(self.effects_file))
        self.workers.append(worker)
        return worker

    def run(
        self, words: Sequence[str], log: Path, before: Sequence[str] = (), **changes: object
    ) -> subprocess.Popen[bytes]:
        """A Python process with a worker's environment."""
        clean = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "BROKER_URL")}
        # Whichever copy of the package runs here, the processes run the same one.
        packages = os.pathsep.join([str(Path(finetune30.__file__).parents[1]), str(ROOT)])
        env = {**clean, **{name: str(value) for name, value in (self.worker_env | changes).items()}}
        with log.open("ab") as output:
            return subprocess.Popen(
                [*before, sys.executable, *words],
                env={**env, "PYTHONPATH": packages, "PYTHONUNBUFFERED": "1"},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def submit(self, name: str = "plain", owner: str = "ana", **wish: Any) -> str:
        """Submit a job that behaves as its name says (``fake_trainer``); its id."""
        return self.jobs.submit(config(name), owner, Wish(**wish)).id

    def get(self, experiment_id: str) -> Experiment:
        """The row, as it is now."""
        return self.store.get(experiment_id)

    def settle(self, ids: Iterable[str], patience_s: float = PATIENCE_S) -> dict[str, Experiment]:
        """Wait until all have ended; the rows."""
        wanted = set(ids)
        self.until(lambda: all(row.status.is_terminal for row in self.rows(wanted)), "all jobs end", patience_s)
        return {row.id: row for row in self.rows(wanted)}

    def rows(self, ids: set[str]) -> list[Experiment]:
        """The rows of these jobs."""
        return [row for row in self.store.find() if row.id in ids]

    def until(self, holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until it holds; far longer than it takes, so that only a hang is an error."""
        deadline = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {patience_s:g} s in vain until {what}\n{self.story()}")
            time.sleep(0.02)

    def until_step(self, experiment_id: str, step: int = 2, attempt: int | None = None) -> dict[str, Any]:
        """Wait until an attempt of the job has done the step; its line in the log of effects."""

        def done() -> list[dict[str, Any]]:
            return [
                line
                for line in self.effects(experiment_id)
                if line["what"] == "step" and line["step"] >= step and attempt in (None, line["attempt"])
            ]

        self.until(done, f"{experiment_id} does step {step} of attempt {attempt or 'any'}")
        return done()[-1]

    def effects(self, experiment_id: str | None = None) -> list[dict[str, Any]]:
        """What attempts did, in the order it was written."""
        lines = self.effects_file.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        return [line for line in found if experiment_id in (None, line["task"])]

    def attempts_alive(self, experiment_id: str | None = None) -> list[psutil.Process]:
        """The attempt processes that exist, and the children they started."""
        pids = {line.get("child", line["pid"]) for line in self.effects(experiment_id)}
        pids |= {line["pid"] for line in self.effects(experiment_id)}
        return [process for pid in pids if (process := _living(pid, str(self.effects_file))) is not None]

    def story(self) -> str:
        """Rows, effects and logs, for whoever reads a failure."""
        rows = [f"{row.id} {row.status} attempt {row.attempt} failures {row.failures}" for row in self.store.find()]
        logs = [f"--- {w.log.name}\n{w.log.read_text(errors='replace')[-3000:]}" for w in self.workers]
        return "\n".join([*rows[:20], *map(str, self.effects()[-20:]), *logs])

    def close(self) -> None:
        """End every process of the plant, whatever state it is in."""
        for worker in self.workers:
            worker.remove()
        for process in self.attempts_alive():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for wire in self.wires.values():
            wire.close()
        self.jobs.close()

    def _put_wires(self) -> None:
        for name, server in (("BROKER_URL", self.servers.redis), ("DATABASE_URL", self.servers.postgres)):
            if name in self.worker_env and server is not None:
                wire = Proxy(server.port)
                self.wires[name] = wire
                self.worker_env[name] = str(self.worker_env[name]).replace(f":{server.port}/", f":{wire.port}/")


@contextmanager
def plant(kind: str, home: Path, servers: Servers, **options: Any) -> Iterator[Plant]:
    """A plant that leaves nothing behind."""
    made = Plant(kind, home, servers, **options)
    try:
        yield made
    finally:
        made.close()


def config(name: str) -> Any:
    """A configuration no attempt of these tests trains; its name says how the attempt behaves."""
    from finetune30.config import from_mapping

    values = {"experiment_name": name, "model": {"name": "builtin:minilm"}, "data": {"dataset_name": "builtin:reviews"}}
    return from_mapping(values)


def ended_as(rows: Iterable[Experiment]) -> list[Status]:
    """Their states, for a short comparison."""
    return [row.status for row in rows]


def _living(pid: int, marker: str) -> psutil.Process | None:
    """The process with this number if it is ours (numbers are used again) and no zombie."""
    try:
        process = psutil.Process(pid)
        ours = _is_attempt(process, marker) or "time.sleep(600)" in " ".join(process.cmdline())
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _is_attempt(process: psutil.Process, marker: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        words = process.cmdline()
        return marker in words and any(word.endswith("fake_trainer.py") for word in words)
    return False
