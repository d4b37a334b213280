"""The queue: the same promises on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import event, text

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.errors import IdempotencyConflict, LeaseLost, NotFound, QuotaExceeded, StateError
from finetune30.experiments import Claimed, Experiment, ExperimentStore, Outcome, Queue, Status, Wish

W1, W2 = "worker:a", "worker:b"
ERROR = {"code": "killed", "message": "ended by signal 9", "where": None, "hint": "look"}


@pytest.fixture
def queue(store: ExperimentStore) -> Queue:
    return Queue(store._engine, store.lease_s, max_attempts=3)


def submit(jobs: Queue, owner: str = "ana", name: str = "job", **wish: object) -> str:
    made, new = jobs.submit(ExperimentConfig(experiment_name=name), owner, tz="UTC", wish=Wish(**wish))  # type: ignore[arg-type]
    assert new
    return made.id


def take(queue: Queue, worker: str = W1, **rest: object) -> Claimed:
    claimed = queue.claim_next(worker, **{"queues": ["train"], "free": 1, "total": 1, **rest})  # type: ignore[arg-type]
    assert claimed is not None
    return claimed


def nothing_for(queue: Queue, worker: str = W1, **rest: object) -> bool:
    return queue.claim_next(worker, **{"queues": ["train"], "free": 1, "total": 1, **rest}) is None  # type: ignore[arg-type]


def _set(queue: Queue, assignment: str, id: str) -> None:
    with database.write(queue._engine) as connection:
        connection.execute(text(f"UPDATE experiments SET {assignment} WHERE id = :id"), {"id": id})  # noqa: S608


def expire(queue: Queue, id: str) -> None:
    _set(queue, "lease_expires_at = lease_expires_at - 1000", id)


def states(queue: Queue, id: str) -> list[str]:
    return [event.status for event in queue.events(id) if event.status]


def outcomes(store: ExperimentStore, id: str) -> list[Outcome | None]:
    return [line.outcome for line in store.attempts(id)]


# Submitting --------------------------------------------------------------------------------------


def test_a_job_waits_with_all_that_was_wished(queue: Queue, store: ExperimentStore) -> None:
    id = submit(queue, queue="large", priority=4, devices=2, max_runtime_s=60.0)

    row = store.get(id)
    assert (row.status, row.queue, row.priority, row.devices) == (Status.PENDING, "large", 4, 2)
    assert (row.max_runtime_s, row.failures, row.attempt, row.paused) == (60.0, 0, 0, False)
    assert states(queue, id) == ["PENDING"]


def test_g9_one_key_makes_one_job_however_many_ask_at_once(queue: Queue, store: ExperimentStore) -> None:
    wish = Wish(idempotency_key="k1")
    start = Barrier(10)

    def ask(_: int) -> tuple[Experiment, bool]:
        start.wait()
        return queue.submit(ExperimentConfig(), "ana", tz="UTC", wish=wish)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))

    assert len({made.id for made, _ in answers}) == 1 == len(store.find())
    assert Counter(new for _, new in answers) == {True: 1, False: 9}


def test_g9_a_key_is_its_owners_and_for_one_body(queue: Queue) -> None:
    wish = Wish(idempotency_key="k1")
    first, _ = queue.submit(ExperimentConfig(), "ana", tz="UTC", wish=wish)
    other, new = queue.submit(ExperimentConfig(), "ben", tz="UTC", wish=wish)
    assert new
    assert other.id != first.id

    with pytest.raises(IdempotencyConflict, match=f"has made {first.id}"):
        queue.submit(ExperimentConfig(seed=5), "ana", tz="UTC", wish=wish)
    with pytest.raises(IdempotencyConflict):
        queue.submit(ExperimentConfig(), "ana", tz="UTC", wish=Wish(idempotency_key="k1", priority=1))


def test_g20_a_quota_counts_what_is_unfinished_and_a_repeated_key_is_no_new_job(queue: Queue) -> None:
    wish = Wish(idempotency_key="k1")
    again = {"tz": "UTC", "quota": 2}
    first, _ = queue.submit(ExperimentConfig(), "ana", wish=wish, **again)  # type: ignore[arg-type]
    submit(queue)

    with pytest.raises(QuotaExceeded, match="ana has 2 unfinished jobs, expected fewer than 2"):
        queue.submit(ExperimentConfig(), "ana", **again)  # type: ignore[arg-type]
    assert queue.submit(ExperimentConfig(), "ana", wish=wish, **again)[0].id == first.id  # type: ignore[arg-type]
    assert queue.submit(ExperimentConfig(), "ben", **again)[1]  # type: ignore[arg-type]


def test_g20_a_quota_holds_against_submissions_at_once(queue: Queue, store: ExperimentStore) -> None:
    start = Barrier(8)

    def ask(_: int) -> bool:
        start.wait()
        try:
            return queue.submit(ExperimentConfig(), "ana", tz="UTC", quota=3)[1]
        except QuotaExceeded:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 3
    assert len(store.find()) == 3


def test_who_goes_on_from_another_is_held_to_its_data(queue: Queue, store: ExperimentStore) -> None:
    origin = {"resumed_from": submit(queue), "dataset_hash": "f" * 64}

    assert store.get(submit(queue, continues=True, **origin)).dataset_hash == "f" * 64
    assert store.get(submit(queue, continues=False, **origin)).dataset_hash is None
    wish = Wish(idempotency_key="k1", continues=True, **origin)  # type: ignore[arg-type]
    first, _ = queue.submit(ExperimentConfig(), "ana", tz="UTC", wish=wish)
    again = Wish(idempotency_key="k1", continues=True, resumed_from=origin["resumed_from"])
    assert queue.submit(ExperimentConfig(), "ana", tz="UTC", wish=again) == (first, False)  # no part of what is said


# Whose turn --------------------------------------------------------------------------------------


def test_an_empty_queue_gives_nothing(queue: Queue) -> None:
    assert nothing_for(queue)


def test_g20_the_first_job_of_another_waits_for_one_slot_at_most(queue: Queue) -> None:
    many = [submit(queue, "ana") for _ in range(20)]
    assert take(queue).experiment.id == many[0]
    one = submit(queue, "ben")

    assert queue.line()[0].id == one
    assert take(queue, W2).experiment.id == one
    assert take(queue, "worker:c").experiment.id == many[1]


def test_g20_owners_take_turns_and_the_told_order_is_the_order_of_starts(queue: Queue, store: ExperimentStore) -> None:
    for owner, count in (("ana", 5), ("ben", 2), ("cid", 3)):
        for number in range(count):
            submit(queue, owner, priority=number % 2)
    told, order = [one.id for one in queue.line()], []
    for _ in range(10):
        claimed = take(queue)
        order.append(claimed.experiment.id)

    owners = [store.get(id).owner for id in order]
    assert sorted(owners[:3]) == sorted(owners[3:6]) == ["ana", "ben", "cid"]
    assert [store.get(id).owner for id in told] == owners
    assert told == order
    assert nothing_for(queue)


def test_of_one_owner_the_highest_priority_then_the_oldest_is_next(queue: Queue) -> None:
    low, old, new = submit(queue, priority=-1), submit(queue), submit(queue)
    high = submit(queue, priority=9)

    assert [take(queue).experiment.id for _ in range(4)] == [high, old, new, low]


def test_a_worker_takes_from_its_queues_and_what_fits_into_it(queue: Queue) -> None:
    submit(queue, queue="large", devices=4)
    assert nothing_for(queue)
    assert nothing_for(queue, queues=["train", "large"])
    small = submit(queue, queue="large")
    assert take(queue, queues=["large"]).experiment.id == small


def test_a_job_that_needs_more_than_is_free_is_not_overtaken(queue: Queue) -> None:
    big, small = submit(queue, devices=2, priority=1), submit(queue)

    assert nothing_for(queue, free=1, total=2)
    assert take(queue, free=2, total=2).experiment.id == big
    assert take(queue, free=1, total=2).experiment.id == small


def test_one_owner_runs_no_more_at_once_than_allowed(queue: Queue) -> None:
    submit(queue), submit(queue)
    take(queue, max_running=1)
    assert nothing_for(queue, max_running=1)
    ben = submit(queue, "ben")
    assert take(queue, max_running=1).experiment.id == ben


def test_eight_workers_claim_a_hundred_jobs_and_none_twice(queue: Queue, store: ExperimentStore) -> None:
    ids = [submit(queue, f"user{number % 5}") for number in range(100)]
    start = Barrier(8)

    def claim_all(number: int) -> list[str]:
        start.wait()
        won: list[str] = []
        misses = 0
        while misses < 3:  # others may hold the only candidates for an instant
            found = queue.claim_next(f"worker:{number}", queues=["train"], free=1, total=1)
            misses = 0 if found else misses + 1
            won += [found.experiment.id] if found else []
        return won

    with ThreadPoolExecutor(8) as pool:
        won = [id for claimed in pool.map(claim_all, range(8)) for id in claimed]

    assert Counter(won) == Counter(ids)
    assert all(store.get(id).attempt == 1 for id in ids)


# Giving back -------------------------------------------------------------------------------------


def test_g6_a_job_that_fails_three_times_ends_with_the_reason(queue: Queue, store: ExperimentStore) -> None:
    id = submit(queue)
    for failures in (1, 2):
        claimed = take(queue)
        row = queue.release(id, claimed.attempt, W1, error=ERROR)
        assert (row.status, row.failures, row.error) == (Status.PENDING, failures, None)
    row = queue.release(id, take(queue).attempt, W1, error=ERROR)

    assert (row.status, row.failures, row.attempt, row.error) == (Status.FAILURE, 3, 3, ERROR)
    assert row.finished_at is not None
    assert nothing_for(queue)
    assert outcomes(store, id) == [Outcome.FAILURE] * 3
    assert all(line.error == ERROR for line in store.attempts(id))
    assert states(queue, id) == ["PENDING", "STARTED", "PENDING", "STARTED", "PENDING", "STARTED", "FAILURE"]


def test_a_retry_waits_a_little_and_others_go_first(queue: Queue) -> None:
    id = submit(queue)
    row = queue.release(id, take(queue).attempt, W1, error=ERROR, delay_s=1000)

    assert row.not_before is not None
    assert nothing_for(queue)
    other = submit(queue)
    assert [(one.id, one.delay_s > 900) for one in queue.line()] == [(other, False), (id, True)]
    assert take(queue).experiment.id == other
    _set(queue, "not_before = not_before - 2000", id)
    assert [(one.id, one.delay_s) for one in queue.line()] == [(id, 0.0)]
    again = take(queue, W2)
    assert (again.experiment.id, again.attempt, again.experiment.not_before) == (id, 2, None)


def test_g6_drained_attempts_do_not_count(queue: Queue, store: ExperimentStore) -> None:
    id = submit(queue)
    for _ in range(5):
        row = queue.drain(id, take(queue).attempt, W1)
        assert (row.status, row.failures, row.paused) == (Status.PENDING, 0, False)
    assert outcomes(store, id) == [Outcome.DRAINED] * 5


def test_what_a_sick_machine_gives_back_waits_and_its_history_says_why(queue: Queue, store: ExperimentStore) -> None:
    id = submit(queue)
    row = queue.drain(id, take(queue).attempt, W1, why="no such program", delay_s=1000)

    assert (row.status, row.failures, row.not_before is not None) == (Status.PENDING, 0, True)
    assert nothing_for(queue)
    assert queue.events(id)[-1].message == "attempt 1 drained: no such program"


@pytest.mark.parametrize("give_back", ["release", "drain", "reap"])
def test_g10_what_was_to_be_cancelled_is_revoked_when_it_comes_back(
    queue: Queue, store: ExperimentStore, give_back: str
) -> None:
    id = submit(queue)
    claimed = take(queue)
    assert store.cancel(id).status is Status.STARTED

    if give_back == "release":
        queue.release(id, claimed.attempt, W1, error=ERROR)
    elif give_back == "drain":
        queue.drain(id, claimed.attempt, W1)
    else:
        expire(queue, id)
        queue.reap()

    row = store.get(id)
    assert (row.status, row.failures, row.error, row.lease_owner) == (Status.REVOKED, 0, None, None)
    assert states(queue, id)[-1] == "REVOKED"


@pytest.mark.parametrize("give_back", ["release", "drain", "reap"])
def test_what_was_to_be_paused_comes_back_paused(queue: Queue, store: ExperimentStore, give_back: str) -> None:
    id = submit(queue)
    claimed = take(queue)
    assert queue.pause(id).pause_requested
    assert store.heartbeat(id, claimed.attempt, W1).pause_requested

    if give_back == "release":
        queue.release(id, claimed.attempt, W1, error=ERROR, delay_s=5)
    elif give_back == "drain":
        queue.drain(id, claimed.attempt, W1)
    else:
        expire(queue, id)
        queue.reap()

    row = store.get(id)
    assert (row.status, row.paused, row.pause_requested) == (Status.PENDING, True, False)
    assert nothing_for(queue)
    queue.resume(id)
    assert take(queue).experiment.id == id


@pytest.mark.parametrize("verb", ["release", "drain"])
def test_g4_who_lost_the_job_cannot_give_it_back(queue: Queue, store: ExperimentStore, verb: str) -> None:
    id = submit(queue)
    stale = take(queue)
    expire(queue, id)
    queue.reap()
    take(queue, W2)
    before, lines = store.get(id), store.attempts(id)

    acts = {
        "release": lambda: queue.release(id, stale.attempt, W1, error=ERROR),
        "drain": lambda: queue.drain(id, stale.attempt, W1),
    }
    with pytest.raises(LeaseLost, match="attempt 2 on worker:b has it"):
        acts[verb]()
    assert (store.get(id), store.attempts(id)) == (before, lines)


# Reaping -----------------------------------------------------------------------------------------


def test_g1_a_silent_workers_job_waits_again_and_a_living_ones_does_not(queue: Queue, store: ExperimentStore) -> None:
    silent, living = submit(queue), submit(queue)
    take(queue), take(queue, W2)
    expire(queue, silent)

    assert [row.id for row in queue.reap()] == [silent]
    assert queue.reap() == []
    row = store.get(silent)
    assert (row.status, row.failures, row.attempt, row.lease_owner) == (Status.PENDING, 1, 1, None)
    assert store.get(living).status is Status.STARTED
    assert outcomes(store, silent) == [Outcome.LOST]
    assert states(queue, silent) == ["PENDING", "STARTED", "PENDING"]


def test_g1_a_job_whose_claim_left_no_lease_is_reaped(queue: Queue) -> None:
    id = submit(queue)
    take(queue)
    _set(queue, "lease_expires_at = NULL, started_at = started_at - 1000", id)
    assert [row.id for row in queue.reap()] == [id]


def test_g6_a_job_whose_workers_fall_silent_three_times_ends_as_lost(queue: Queue, store: ExperimentStore) -> None:
    id = submit(queue)
    for _ in range(3):
        take(queue)
        expire(queue, id)
        queue.reap()

    row = store.get(id)
    assert (row.status, (row.error or {})["code"]) == (Status.FAILURE, "lost")
    assert nothing_for(queue)


def test_two_reapers_count_a_silent_attempt_once(queue: Queue, store: ExperimentStore) -> None:
    ids = [submit(queue) for _ in range(10)]
    for id in ids:
        take(queue)
        expire(queue, id)
    with ThreadPoolExecutor(4) as pool:
        reaped = [row.id for found in pool.map(lambda _: queue.reap(), range(4)) for row in found]

    assert sorted(reaped) == sorted(ids)
    assert {store.get(id).failures for id in ids} == {1}


def test_what_a_person_began_here_goes_back_to_that_person(queue: Queue, store: ExperimentStore) -> None:
    made = store.create(ExperimentConfig(), "ana", tz="UTC", claimed_by="local:host:1:2")
    assert (made.status, made.attempt, made.lease_live) == (Status.STARTED, 1, True)
    assert nothing_for(queue)
    expire(queue, made.id)
    queue.reap()

    row = store.get(made.id)
    assert (row.status, row.paused, row.failures) == (Status.PENDING, True, 0)
    assert nothing_for(queue)
    assert store.claim(made.id, "local:host:3:4") == 2


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE, Status.REVOKED])
def test_g5_nothing_moves_a_terminal_job(queue: Queue, store: ExperimentStore, status: Status) -> None:
    id = submit(queue)
    attempt = take(queue).attempt
    before = store.finish(id, attempt, W1, status)
    _set(queue, "lease_expires_at = 1, lease_owner = 'worker:a'", id)  # as if an end had left them

    assert queue.reap() == []
    assert nothing_for(queue)
    for act in (queue.pause, queue.resume):
        with pytest.raises(StateError, match=f"is {status}"):
            act(id)
    with pytest.raises(LeaseLost):
        queue.release(id, attempt, W1, error=ERROR)
    with pytest.raises(LeaseLost):
        queue.drain(id, attempt, W1)
    assert store.get(id).status is before.status


# Pausing -----------------------------------------------------------------------------------------


def test_a_paused_job_is_passed_over_until_it_is_resumed(queue: Queue) -> None:
    id, other = submit(queue), submit(queue)
    assert queue.pause(id).paused
    assert queue.standing(id) is None
    assert take(queue).experiment.id == other
    assert nothing_for(queue)
    assert not queue.resume(id).paused
    assert take(queue).experiment.id == id


def test_a_pause_can_be_taken_back_while_it_still_runs(queue: Queue, store: ExperimentStore) -> None:
    id = submit(queue)
    attempt = take(queue).attempt
    queue.pause(id)
    queue.resume(id)
    assert not store.heartbeat(id, attempt, W1).pause_requested


def test_what_is_being_cancelled_is_not_paused(queue: Queue, store: ExperimentStore) -> None:
    id = submit(queue)
    take(queue)
    store.cancel(id)
    with pytest.raises(StateError, match="is being cancelled"):
        queue.pause(id)
    with pytest.raises(NotFound):
        queue.pause("nothing")


# Bells, events, workers --------------------------------------------------------------------------


def test_a_waiting_jobs_bell_is_rung_again_ever_more_seldom(queue: Queue) -> None:
    id = submit(queue, queue="large")
    assert queue.due(10, 60) == []
    queue.unrung(id)
    assert queue.due(10, 60) == [(id, "large")]
    assert queue.due(10, 60) == []
    _set(queue, "ring_at = ring_at - 61", id)
    assert queue.due(10, 60) == [(id, "large")]
    _set(queue, "ring_at = ring_at - 61", id)
    assert queue.due(10, 60) == []  # twice as long now
    _set(queue, "ring_at = ring_at - 61", id)
    assert queue.due(10, 60) == [(id, "large")]


def test_no_bell_for_what_no_worker_may_take(queue: Queue, store: ExperimentStore) -> None:
    running, paused, gone = submit(queue), submit(queue), submit(queue)
    queue.unrung(running), queue.unrung(paused), queue.unrung(gone)
    take(queue)
    queue.pause(paused)
    store.cancel(gone)
    assert queue.due(10, 60) == []


def test_what_comes_back_rings_at_once(queue: Queue) -> None:
    id = submit(queue)
    queue.drain(id, take(queue).attempt, W1)
    assert queue.due(10, 60) == [(id, "train")]


def test_two_dispatchers_ring_each_bell_once(queue: Queue) -> None:
    ids = [submit(queue) for _ in range(20)]
    for id in ids:
        queue.unrung(id)
    with ThreadPoolExecutor(4) as pool:
        rung = [id for found in pool.map(lambda _: queue.due(50, 60), range(4)) for id, _ in found]
    assert sorted(rung) == sorted(ids)


def test_events_come_in_order_and_from_where_one_left_off(queue: Queue, store: ExperimentStore) -> None:
    id = submit(queue)
    attempt = take(queue).attempt
    store.heartbeat(id, attempt, W1, {"step": 5}, [("checkpoint", "checkpoint-5 saved", 5), ("warning", "a\0b", None)])

    events = queue.events(id)
    assert [(one.kind, one.status, one.step) for one in events] == [
        ("state", Status.PENDING, None),
        ("state", Status.STARTED, None),
        ("checkpoint", None, 5),
        ("warning", None, None),
    ]
    assert queue.events(id, after=events[1].number) == events[2:]
    assert queue.events(id, limit=1) == events[:1]
    store.finish(id, attempt, W1, Status.SUCCESS)
    store.delete(id)
    assert queue.events(id) == []


def test_workers_are_known_while_they_give_signs_of_life(queue: Queue) -> None:
    queue.seen(W1, host="box", slots=2, busy=0, queues=["train"])
    queue.seen(W1, host="box", slots=2, busy=1, queues=["train"])
    queue.seen(W2, host="box", slots=1, busy=1, queues=["train", "large"])

    first, second = queue.workers()
    assert (first.name, first.slots, first.busy, first.alive) == (W1, 2, 1, True)
    assert second.queues == ["train", "large"]
    with database.write(queue._engine) as connection:
        connection.execute(text("UPDATE workers SET seen_at = seen_at - 61 WHERE name = 'worker:b'"))
    assert [worker.alive for worker in queue.workers()] == [True, False]
    queue.gone(W1)
    assert [worker.name for worker in queue.workers()] == [W2]


@pytest.mark.parametrize("ask", ["standing", "line"])
def test_where_a_job_stands_is_told_while_a_worker_takes_it(queue: Queue, ask: str) -> None:
    id, taken = submit(queue), []

    def take_it(*call: object) -> None:  # between the first statement of who asks and its second
        if not taken and str(call[2]).startswith("SELECT"):
            taken.append(None)
            taken[0] = take(queue).experiment.id

    event.listen(queue._engine, "after_cursor_execute", take_it)
    try:
        found = queue.standing(id) if ask == "standing" else queue.line()[0]
    finally:
        event.remove(queue._engine, "after_cursor_execute", take_it)

    assert taken == [id]
    assert found is not None
    assert (found.id, found.ahead) == (id, 0)
    assert queue.standing(id) is None
