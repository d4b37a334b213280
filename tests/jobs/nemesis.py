"""What is done to the plant while it works: faults drawn from a seeded generator, each healed soon after.

Every fault is one method; which ones a plant can suffer depends on what it stands on. The schedule says
what was done when, so that a failure can be read. Neighbours: ``ordeal`` lets it loose.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import redis

from finetune30.errors import Finetune30Error
from finetune30.jobs.app import KEY_PREFIX
from tests.jobs.plant import LEASE_S, Plant, Worker
from tests.proxy import Mode

QUEUE = f"{KEY_PREFIX}train"
# Long enough that the reaper has given the job to somebody else.
PAST_THE_LEASE_S = 1.6 * LEASE_S


class Nemesis:
    """Faults for one plant.

    Args:
        slots: Attempts at once of each worker it starts in the place of a dead one.
        jobs: Tells which jobs there are, to cancel one of them.
    """

    def __init__(self, plant: Plant, draw: random.Random, slots: int, jobs: Callable[[], list[str]]) -> None:
        self.schedule: list[tuple[float, str]] = []
        self._plant = plant
        self._draw = draw
        self._slots = slots
        self._jobs = jobs
        self._began = time.monotonic()
        self._healing: list[threading.Thread] = []
        self._busy = {"redis": threading.Lock(), "postgres": threading.Lock()}
        self._spare = threading.Lock()  # one worker at least stays untouched by the fault at hand
        self.faults: list[Callable[[], None]] = [
            self.kill_worker,
            self.kill_attempt,
            self.kill_attempt,
            self.freeze_attempt,
            self.freeze_worker,
            self.freeze_worker,
            self.freeze_both,
            self.freeze_both,
            self.drain_worker,
            self.cancel,
            self.cancel,
        ]
        if plant.kind in ("R", "P"):
            self.faults += [self.redis_kill, self.redis_flush, self.redis_restart, self.redis_cut]
            self.faults += [self.drop_message, self.double_message, self.garbage]
        if plant.kind == "P":
            self.faults += [self.postgres_restart, self.postgres_restart, self.database_cut, self.database_cut]

    def strike(self) -> None:
        """One fault."""
        self._draw.choice(self.faults)()

    def heal(self) -> None:
        """Wait until everything done has been undone, and have enough workers."""
        for thread in self._healing:
            thread.join(30)
        self._replace()

    def kill_worker(self) -> None:
        """kill -9 of a worker; another one is started a moment later."""
        if worker := self._worker():
            self._note(f"kill -9 worker {worker.process.pid}")
            worker.kill()
            self._later(self._draw.uniform(0, 1.5), self._replace)

    def kill_attempt(self) -> None:
        """kill -9 of an attempt, as the kernel does when memory is short."""
        if attempt := self._attempt():
            self._note(f"kill -9 attempt {attempt.pid}")
            _send(attempt, signal.SIGKILL)

    def freeze_attempt(self) -> None:
        """SIGSTOP of an attempt alone."""
        if attempt := self._attempt():
            self._freeze([attempt], "attempt")

    def freeze_worker(self) -> None:
        """SIGSTOP of a worker past its lease; its attempts go on, as far as they know."""
        if worker := self._worker():
            self._freeze(worker.own(), "worker")

    def freeze_both(self) -> None:
        """SIGSTOP of a worker and of all its attempts: a machine that was suspended."""
        if worker := self._worker():
            with suppress(psutil.NoSuchProcess):
                self._freeze(psutil.Process(worker.process.pid).children(recursive=True) + worker.own(), "both")

    def drain_worker(self) -> None:
        """SIGTERM of a worker, and a new one beside it: a rolling deploy."""
        if worker := self._worker():
            self._note(f"drain worker {worker.process.pid}")
            worker.process.terminate()
            self._later(0.2, self._replace)

    def cancel(self) -> None:
        """Cancel any job, whatever it is doing."""
        if jobs := self._jobs():
            job = self._draw.choice(jobs)
            self._note(f"cancel {job}")
            with suppress(Finetune30Error):  # it has ended, or the database is away
                self._plant.jobs.cancel(job)

    def redis_kill(self) -> None:
        """Redis is dead for a while."""
        self._outage("redis", "kill", lambda: self._redis.kill(), lambda: self._redis.start())

    def redis_restart(self) -> None:
        """Redis comes back at once."""
        self._outage("redis", "restart", lambda: self._redis.restart(), lambda: None)

    def redis_cut(self) -> None:
        """Nothing comes through to Redis for a while, and nobody is told."""
        if wire := self._plant.wires.get("BROKER_URL"):
            self._outage("redis", "blackhole", lambda: wire.become("blackhole"), lambda: wire.become("pass"))

    def database_cut(self) -> None:
        """No worker reaches the database for a while, or it hears no answer: was that committed?"""
        if wire := self._plant.wires.get("DATABASE_URL"):
            mode: Mode = self._draw.choice(["blackhole", "mute", "reset"])
            self._outage("postgres", mode, lambda: wire.become(mode), lambda: wire.become("pass"))

    def redis_flush(self) -> None:
        """Redis forgets every message."""
        self._on_redis("flush", lambda client: client.flushall())

    def drop_message(self) -> None:
        """A message gets lost on its way."""
        self._on_redis("drop a message", lambda client: client.lpop(QUEUE))

    def double_message(self) -> None:
        """A message arrives twice."""

        def double(client: Any) -> None:
            for message in client.lrange(QUEUE, 0, 0):
                client.rpush(QUEUE, message, message)

        self._on_redis("double a message", double)

    def garbage(self) -> None:
        """Something arrives that is no message."""
        junk = self._draw.choice([b"{", b"null", b'{"body": 7}', b"\xff\xfe", b'{"body": "e30=", "headers": {}}'])
        self._on_redis(f"garbage {junk!r}", lambda client: client.rpush(QUEUE, junk))

    def postgres_restart(self) -> None:
        """PostgreSQL crashes and recovers."""
        server = self._plant.servers.postgres
        assert server is not None
        self._outage("postgres", "restart", server.kill, server.start)

    @property
    def _redis(self) -> Any:
        assert self._plant.servers.redis is not None
        return self._plant.servers.redis

    def _outage(self, name: str, what: str, begin: Callable[[], object], end: Callable[[], object]) -> None:
        if not self._busy[name].acquire(blocking=False):
            return
        pause_s = self._draw.uniform(0.1, PAST_THE_LEASE_S)
        self._note(f"{name} {what} for {pause_s:.1f} s")
        begin()

        def heal() -> None:
            try:
                end()
                self._note(f"{name} heals")
            finally:
                self._busy[name].release()

        self._later(pause_s, heal)

    def _on_redis(self, what: str, act: Callable[[Any], object]) -> None:
        self._note(f"redis {what}")
        with suppress(redis.RedisError), self._redis.client() as client:
            act(client)

    def _freeze(self, processes: list[psutil.Process], what: str) -> None:
        pause_s = self._draw.choice([0.4 * LEASE_S, PAST_THE_LEASE_S])
        self._note(f"freeze {what} {[p.pid for p in processes]} for {pause_s:.1f} s")
        self._draw.shuffle(processes)  # who wakes first
        for process in processes:
            _send(process, signal.SIGSTOP)

        def thaw() -> None:
            for process in processes:
                _send(process, signal.SIGCONT)
            self._note(f"thaw {what} {[p.pid for p in processes]}")

        self._later(pause_s, thaw)

    def _worker(self) -> Worker | None:
        alive = [worker for worker in self._plant.workers if worker.alive]
        return self._draw.choice(alive) if len(alive) > 1 else None

    def _attempt(self) -> psutil.Process | None:
        alive = self._plant.attempts_alive()
        return self._draw.choice(sorted(alive, key=lambda process: process.pid)) if alive else None

    def _replace(self) -> None:
        with self._spare:
            while sum(worker.alive for worker in self._plant.workers) < 3:
                self._note(f"start worker {self._plant.worker(self._slots).process.pid}")

    def _later(self, pause_s: float, act: Callable[[], None]) -> None:
        def wait() -> None:
            time.sleep(pause_s)
            act()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        self._healing.append(thread)

    def _note(self, what: str) -> None:
        self.schedule.append((time.monotonic() - self._began, what))


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):  # psutil looks whether the number has gone to another process
        process.send_signal(number)
