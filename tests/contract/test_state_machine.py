"""Any order of submitting, claiming, dying, cancelling and reaping: the promises hold (G1 to G7).

A model of a few lines runs beside the real statements on SQLite in memory. The database's clock is
moved by moving every moment in the rows the other way. Messages are a bag that may lose and double.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.errors import LeaseLost, StateError
from finetune30.experiments import LEGAL_MOVES, ExperimentStore, Outcome, Queue, Status, Wish

# No sum of whole seconds is a lease or a delay: the moments between two statements decide nothing.
LEASE_S, MAX_ATTEMPTS = 60.5, 3
CONFIG = ExperimentConfig()
ERROR = {"code": "killed", "message": "killed", "where": None, "hint": None}
TIMES = ("created_at", "started_at", "finished_at", "lease_expires_at", "not_before", "ring_at")
WORKERS = st.sampled_from(["worker:a", "worker:b", "local:c"])

engine = database.open_engine("sqlite://")
database.metadata.create_all(engine)


@dataclass
class Job:
    """What the model knows of a row."""

    id: str
    status: Status = Status.PENDING
    paused: bool = False
    attempt: int = 0
    failures: int = 0
    holder: str | None = None
    left_s: float = 0.0  # of the lease
    wait_s: float = 0.0  # before it may be taken
    cancel: bool = False
    pause: bool = False
    seen: list[Status] = field(default_factory=lambda: [Status.PENDING])

    def become(self, status: Status) -> None:
        self.status, self.holder = status, None
        self.cancel, self.pause = self.cancel and status is not Status.PENDING, False
        self.seen.append(status)

    def come_back(self, *, counts: bool, pauses: bool = False, wait_s: float = 0.0) -> None:
        pauses = pauses or self.pause
        if self.cancel:
            return self.become(Status.REVOKED)
        self.failures += counts
        if counts and self.failures >= MAX_ATTEMPTS:
            return self.become(Status.FAILURE)
        self.paused, self.wait_s = pauses, 0.0 if pauses else wait_s
        return self.become(Status.PENDING)

    @property
    def ready(self) -> bool:
        return self.status is Status.PENDING and not self.paused and not self.cancel and self.wait_s <= 0


Token = tuple[str, int, str]


class Jobs(RuleBasedStateMachine):
    """Two workers and a person's own process; attempts that die keep their tokens and may come back."""

    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        with database.write(engine) as connection:
            for table in ("events", "attempts", "experiments"):
                connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
        self.store, self.queue = ExperimentStore(engine, LEASE_S), Queue(engine, LEASE_S, MAX_ATTEMPTS)
        self.jobs: dict[str, Job] = {}
        self.keys: dict[str, str] = {}
        self.messages: list[str] = []

    def job(self, number: int) -> Job | None:
        ids = sorted(self.jobs)
        return self.jobs[ids[number % len(ids)]] if ids else None

    # The outside

    @rule(key=st.none() | st.sampled_from(["k1", "k2"]))
    def submit(self, key: str | None) -> None:
        made, new = self.queue.submit(CONFIG, "ana", tz="UTC", wish=Wish(idempotency_key=key), ring_in_s=0)
        assert new == (key is None or key not in self.keys)
        if new:
            self.jobs[made.id] = Job(made.id)
        if key:
            assert self.keys.setdefault(key, made.id) == made.id

    @rule(number=st.integers(0, 9))
    def cancel(self, number: int) -> None:
        job = self.job(number)
        if job is None:
            return
        if job.status.is_terminal:
            with pytest.raises(StateError):
                self.store.cancel(job.id)
            return
        idle = job.status is Status.PENDING or job.left_s < 0
        found = self.store.cancel(job.id)
        assert found.status is (Status.REVOKED if idle else Status.STARTED)
        job.cancel, job.paused, job.pause = True, False, False
        if idle:
            job.become(Status.REVOKED)

    @rule(number=st.integers(0, 9), resume=st.booleans())
    def pause(self, number: int, resume: bool) -> None:
        job = self.job(number)
        if job is None:
            return
        act = self.queue.resume if resume else self.queue.pause
        if job.status.is_terminal or job.cancel:
            with pytest.raises(StateError):
                act(job.id)
            return
        act(job.id)
        if job.status is Status.PENDING:
            job.paused, job.wait_s = not resume, 0.0 if resume else job.wait_s
        else:
            job.pause = not resume

    @rule(seconds=st.sampled_from([1, 5, 30, 61, 1000]))
    def advance_clock(self, seconds: int) -> None:
        moved = ", ".join(f"{column} = {column} - {seconds}" for column in TIMES)
        with database.write(engine) as connection:
            connection.execute(text(f"UPDATE experiments SET {moved}"))  # noqa: S608
        for job in self.jobs.values():
            job.left_s, job.wait_s = job.left_s - seconds, max(0.0, job.wait_s - seconds)

    # Bells

    @rule()
    def dispatch(self) -> None:
        rung = [id for id, _ in self.queue.due(100, 60)]
        assert all(self.jobs[id].ready for id in rung)
        self.messages += rung

    @rule(drop=st.booleans())
    def lose_or_double_a_message(self, drop: bool) -> None:
        if self.messages:
            self.messages = self.messages[1:] if drop else [*self.messages, self.messages[0]]

    # Workers

    @rule(target=tokens, worker=WORKERS, by_message=st.booleans())
    def claim(self, worker: str, by_message: bool) -> object:
        if by_message and not self.messages:
            return multiple()
        if by_message:
            self.messages.pop()
        claimed = self.queue.claim_next(worker, queues=["train"], free=1, total=1)
        ready = [job for job in self.jobs.values() if job.ready]
        assert (claimed is None) == (not ready)
        if claimed is None:
            return multiple()
        job = self.jobs[claimed.experiment.id]
        assert job in ready
        job.status, job.holder, job.left_s = Status.STARTED, worker, LEASE_S
        job.attempt += 1
        job.seen.append(Status.STARTED)
        assert (claimed.attempt, claimed.experiment.failures) == (job.attempt, job.failures)
        return (job.id, job.attempt, worker)

    def acts(self, token: Token, act: Callable[[], object]) -> Job | None:
        """Does something as the attempt of the token; None where it rightly was refused."""
        job = self.jobs[token[0]]
        if (job.status, job.attempt, job.holder) == (Status.STARTED, token[1], token[2]):
            act()
            return job
        before = self.store.get(job.id)
        with pytest.raises(LeaseLost):
            act()
        assert self.store.get(job.id) == before
        return None

    @rule(token=tokens)
    def heartbeat(self, token: Token) -> None:
        beats = []
        if job := self.acts(token, lambda: beats.append(self.store.heartbeat(*token, {"step": 1}))):
            job.left_s = LEASE_S
            assert (beats[0].cancel_requested, beats[0].pause_requested) == (job.cancel, job.pause)

    @rule(token=consumes(tokens), status=st.sampled_from([Status.SUCCESS, Status.FAILURE, Status.REVOKED]))
    def finish(self, token: Token, status: Status) -> None:
        if job := self.acts(token, lambda: self.store.finish(*token, status)):
            job.become(Status.REVOKED if job.cancel and status is Status.SUCCESS else status)

    @rule(token=tokens, status=st.sampled_from([Status.SUCCESS, Status.FAILURE]))
    def finish_and_live_on(self, token: Token, status: Status) -> None:
        self.finish(token, status)

    @rule(token=consumes(tokens), delay_s=st.sampled_from([0, 4.5]))
    def fail(self, token: Token, delay_s: float) -> None:
        if job := self.acts(token, lambda: self.queue.release(*token, error=ERROR, delay_s=delay_s)):
            job.come_back(counts=True, wait_s=delay_s)

    @rule(token=consumes(tokens))
    def drain(self, token: Token) -> None:
        if job := self.acts(token, lambda: self.queue.drain(*token)):
            job.come_back(counts=False)

    @rule(token=consumes(tokens))
    def pause_at_a_checkpoint(self, token: Token) -> None:
        if job := self.acts(token, lambda: self.store.pause(*token)):
            job.come_back(counts=False, pauses=True)

    @rule(token=consumes(tokens))
    def crash(self, token: Token) -> None:
        """The process is gone; only the clock will tell."""

    @rule()
    def reap(self) -> None:
        silent = {job.id for job in self.jobs.values() if job.status is Status.STARTED and job.left_s < 0}
        assert {found.id for found in self.queue.reap()} == silent
        for id in silent:
            job = self.jobs[id]
            local = (job.holder or "").startswith("local:")
            job.come_back(counts=not local, pauses=local)

    # Promises

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        rows = {found.id: found for found in self.store.find()}
        assert rows.keys() == self.jobs.keys()  # G1: nothing lost; G2: nothing doubled
        for job in self.jobs.values():
            found = rows[job.id]
            told = (found.status, found.attempt, found.failures, found.paused, found.lease_owner)
            assert told == (job.status, job.attempt, job.failures, job.paused, job.holder)
            assert found.failures <= MAX_ATTEMPTS  # G6
            assert found.lease_live == (job.status is Status.STARTED and job.left_s >= 0)

    def teardown(self) -> None:
        for job in self.jobs.values():
            told = [event.status for event in self.queue.events(job.id) if event.status]
            path = [told[0], *(b for a, b in itertools.pairwise(told) if a is not b)]
            seen = [job.seen[0], *(b for a, b in zip(job.seen, job.seen[1:], strict=False) if a is not b)]
            assert path == seen
            assert all(b in LEGAL_MOVES[a] for a, b in itertools.pairwise(path))  # G5, G7
            lines = self.store.attempts(job.id)
            assert [line.attempt for line in lines] == list(range(1, job.attempt + 1))
            open_lines = [line for line in lines if line.outcome is None]
            assert len(open_lines) == (job.status is Status.STARTED)
            assert sum(line.outcome is Outcome.SUCCESS for line in lines) == (job.status is Status.SUCCESS)


def test_g5_no_order_of_events_breaks_the_promises() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Jobs,
        settings=settings(
            max_examples=2000,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
