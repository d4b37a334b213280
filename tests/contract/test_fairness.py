"""Whose turn it is: what is found by looking at a few jobs is what looking at all of them finds, on both databases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.experiments import ExperimentStore, Queue, Status, fairness, standing
from finetune30.experiments.record import portable
from finetune30.experiments.tables import experiments, row, waiting

CONFIG = portable(ExperimentConfig().model_dump(mode="json"))
ALIKE = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True)
class Job:
    """A row as far as its turn depends on it."""

    owner: str
    queue: str
    status: str
    priority: int
    age: int
    devices: int
    started: int | None
    paused: bool
    cancelled: bool
    later: int | None

    def values(self, number: int, now: float) -> dict[str, Any]:
        """Of the row."""
        return {
            "id": f"job{number}",
            **dict.fromkeys(("name", "name_key", "fingerprint", "base_model", "dataset"), "x"),
            "config": CONFIG,
            "owner": self.owner,
            "queue": self.queue,
            "status": self.status,
            "priority": self.priority,
            "created_at": 1000.0 + self.age,
            "devices": self.devices,
            "started_at": None if self.started is None else 2000.0 + self.started,
            "paused": self.paused,
            "cancel_requested": self.cancelled,
            "attempt": 1,
            "not_before": None if self.later is None else now + self.later,
        }


rarely = st.sampled_from([False] * 9 + [True])
jobs = st.builds(
    Job,
    owner=st.sampled_from(["ana", "bo", "Zoe", "ünal"]),
    queue=st.sampled_from(["train", "train", "large"]),
    status=st.sampled_from([Status.PENDING] * 4 + list(Status)).map(str),
    priority=st.integers(-1, 1),
    age=st.integers(0, 3),
    devices=st.sampled_from([1, 1, 1, 2]),
    started=st.sampled_from([None, 0, 1, 2]),
    paused=rarely,
    cancelled=rarely,
    later=st.sampled_from([None] * 6 + [-500, 500]),
)


@pytest.fixture
def queue(store: ExperimentStore) -> Queue:
    return Queue(store.engine, store.lease_s, max_attempts=3)


def put(connection: Connection, made: list[Job]) -> None:
    connection.execute(delete(experiments))
    now = connection.scalar(select(database.now()))
    connection.execute(insert(experiments), [job.values(number, now) for number, job in enumerate(made)])


def first_of(made: list[Job], queues: list[str], total: int, most: int | None) -> str | None:
    """The rule, in plain Python."""
    turns = []
    for number, job in enumerate(made):
        theirs = [other for other in made if other.owner == job.owner]
        running = sum(other.status == "STARTED" for other in theirs)
        last_start = max((2000.0 + other.started for other in theirs if other.started is not None), default=0.0)
        ready = job.status == "PENDING" and not job.paused and not job.cancelled and (job.later or -1) < 0
        if ready and job.queue in queues and job.devices <= total and (most is None or running < most):
            turns.append((running, last_start, -job.priority, job.age, f"job{number}"))
    return min(turns)[-1] if turns else None


@ALIKE
@given(
    st.lists(jobs, min_size=1, max_size=14),
    st.sampled_from([["train"], ["large", "train"], ["none"]]),
    st.integers(1, 2),
    st.sampled_from([None, 1, 2]),
)
def test_g20_the_next_one_of_a_few_is_the_next_one_of_all(
    queue: Queue, made: list[Job], queues: list[str], total: int, most: int | None
) -> None:
    with database.write(queue._engine) as connection:
        put(connection, made)
        wish = (queues, total, most)

        wanted = connection.execute(fairness.select_next_of_all(*wish)).first()

        assert (wanted and wanted.id) == first_of(made, *wish)
        assert connection.execute(fairness.select_next(*wish)).first() == wanted
        found = fairness.next_of(connection, *wish)
        assert (found and found.id) == (wanted and wanted.id)
        if connection.dialect.name == "postgresql":
            found = connection.execute(fairness.select_next_of_some(*wish)).first()
            assert (found and found.id) == (wanted and wanted.id)


@ALIKE
@given(st.lists(jobs, min_size=1, max_size=14))
def test_g20_where_one_stands_is_where_it_is_in_the_line(queue: Queue, made: list[Job]) -> None:
    with database.write(queue._engine) as connection:
        put(connection, made)
        in_line = {one.id: one for one in standing.line(connection)}
        waits = set(connection.scalars(select(row.id).where(waiting)))

        assert set(in_line) == waits
        for number in range(len(made)):
            one, wanted = standing.standing(connection, f"job{number}"), in_line.get(f"job{number}")
            assert (one and (one.id, one.queue, one.ahead)) == (wanted and (wanted.id, wanted.queue, wanted.ahead))


def test_g20_a_claim_passes_over_what_others_are_just_taking(queue: Queue) -> None:
    """More of them than are looked at: then all are."""
    one = Job("ana", "train", "PENDING", 0, 0, 1, None, False, False, None)
    with database.write(queue._engine) as connection:
        put(connection, [one] * (fairness._SOME + 3))
    if queue._engine.dialect.name == "sqlite":
        return  # has one writer at a time

    with queue._engine.connect() as other, other.begin():
        first = select(row.id).order_by(*fairness.IN_ORDER).limit(fairness._SOME + 1)
        taken = set(other.scalars(first.with_for_update()))
        claimed = queue.claim_next("w", queues=["train"], free=1, total=1)

    assert claimed is not None
    assert claimed.experiment.id not in taken
