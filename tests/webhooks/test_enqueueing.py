"""Each end of a run gives one delivery to each webhook of its owner: never none, never two, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune30 import database
from finetune30.access import Role, Users
from finetune30.config import ExperimentConfig
from finetune30.experiments import Queue, Status
from finetune30.webhooks import Kind
from tests.webhooks.conftest import House
from tests.webhooks.receiver import Receiver

URL = "http://127.0.0.1:9/hook"
# SQLite has one transaction that writes at a time.
ONLY_POSTGRESQL = pytest.mark.parametrize("url", ["postgresql"], indirect=True)
CHILD = Path(__file__).parent / "dying.py"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(Status.SUCCESS, "run.succeeded"), (Status.FAILURE, "run.failed"), (Status.REVOKED, "run.cancelled")],
)
def test_g18_each_end_of_a_run_gives_one_delivery(house: House, status: Status, kind: str) -> None:
    hook, _ = house.webhooks.add("ana", URL)
    task_id = house.run()
    assert house.rows() == []

    house.end(task_id, status)

    assert house.rows("webhook_id, kind, experiment_id, state") == [(hook.id, kind, task_id, "waiting")]


def test_g18_ends_that_nobody_trained_are_told_too(house: House) -> None:
    house.webhooks.add("ana", URL)
    queue = Queue(house.engine, lease_s=60, max_attempts=1)
    cancelled, silent, failing = (queue.submit(ExperimentConfig(), "ana", tz="UTC")[0].id for _ in range(3))
    house.store.cancel(cancelled)
    house.store.claim(silent, "w1")
    house.change("UPDATE experiments SET lease_expires_at = 0")
    queue.reap()
    house.store.claim(failing, "w1")
    queue.release(failing, 1, "w1", error={"code": "killed", "message": "m"})

    told = house.rows("experiment_id, kind, error_code")

    assert told == [
        (cancelled, "run.cancelled", None),
        (silent, "run.failed", "lost"),
        (failing, "run.failed", "killed"),
    ]


def test_only_the_owners_webhooks_that_ask_for_the_kind_are_told(house: House) -> None:
    users = Users(house.engine)
    for name in ("ana", "bo", "eve"):
        users.add(name, Role.USER, "four words in a row")
    first, _ = house.webhooks.add("ana", URL)
    second, _ = house.webhooks.add("ana", URL, [Kind.SUCCEEDED])
    house.webhooks.add("ana", URL, [Kind.FAILED])
    off, _ = house.webhooks.add("ana", URL)
    house.webhooks.disable(off.id)
    house.webhooks.add("bo", URL)
    house.webhooks.add("eve", URL)
    users.disable(users.get("eve").id)

    house.ended("ana")
    house.ended("eve")

    assert sorted(house.rows("webhook_id")) == sorted([(first.id,), (second.id,)])


def test_starts_and_pauses_are_told_to_who_asks(house: House) -> None:
    house.webhooks.add("ana", URL, [Kind.STARTED, Kind.PAUSED])
    queue = Queue(house.engine, lease_s=60, max_attempts=3)
    task_id = house.run()
    queue.pause(task_id)  # asked for: not yet paused
    queue.resume(task_id)  # thought better of: not started once more
    queue.pause(task_id)
    house.store.pause(task_id, 1, "local:1")
    house.store.claim(task_id, "local:2")
    house.store.finish(task_id, 2, "local:2", Status.SUCCESS)

    assert house.rows("kind, attempt") == [("run.started", 1), ("run.paused", 1), ("run.started", 2)]


def test_what_is_told_is_what_was_then(house: House, receiver: Receiver) -> None:
    house.webhooks.add("ana", receiver.url())
    metrics = {"train": {"runtime_s": 12.5}, "eval": {"accuracy": 0.875}}
    task_id = house.ended(metrics=metrics)

    house.store.delete(task_id)

    assert house.send_due() == 1
    assert b'"eval_accuracy":0.875,"train_runtime":12.5' in receiver.got[0].body
    assert task_id.encode() in receiver.got[0].body


def test_a_change_that_is_taken_back_tells_nothing(house: House) -> None:
    house.webhooks.add("ana", URL)
    task_id = house.run()

    def end_and_fail() -> None:
        with database.write(house.engine):
            house.end(task_id)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        end_and_fail()

    assert house.rows() == []
    house.end(task_id)
    assert len(house.rows()) == 1


@ONLY_POSTGRESQL
def test_a_number_that_is_committed_late_is_not_passed_by(
    house: House, another: Callable[..., House], receiver: Receiver
) -> None:
    """PostgreSQL gives numbers when rows are written, not when they are committed."""
    house.webhooks.add("ana", receiver.url())
    slow, fast = house.run(), house.run()
    other = another()

    with database.write(house.engine):
        house.end(slow)
        other.end(fast)  # a later number, committed earlier
        assert other.send_due() == 1
        assert other.send_due() == 0
        assert [fast.encode() in one.body for one in receiver.got] == [True]

    assert other.send_due() == 1
    assert slow.encode() in receiver.got[1].body
    events = other.rows("experiment_id, event_number")
    assert sorted(events, key=lambda one: one[1])[0][0] == slow
    assert len(set(receiver.ids)) == 2


@ONLY_POSTGRESQL
def test_a_run_ends_while_its_webhook_is_being_deleted_and_waits_for_nothing(
    house: House, another: Callable[..., House], receiver: Receiver
) -> None:
    hook, _ = house.webhooks.add("ana", receiver.url())
    task_id = house.run()
    other = another()

    with database.write(house.engine):
        house.webhooks.delete(hook.id)
        other.end(task_id)
        assert other.store.get(task_id).status is Status.SUCCESS

    assert other.send_due() == 0
    assert len(other.rows()) == 1
    other.postman.outbox.sweep()
    assert other.rows() == []
    assert receiver.got == []


def test_many_ends_at_once_are_each_told_once(house: House, another: Callable[..., House]) -> None:
    house.webhooks.add("ana", URL)
    house.webhooks.add("ana", URL)
    tasks = [house.run() for _ in range(12)]
    houses = [another() for _ in range(4)]

    def end(one: House, mine: list[str]) -> None:
        for task_id in mine:
            one.end(task_id)

    threads = [threading.Thread(target=end, args=(one, tasks[at::4])) for at, one in enumerate(houses)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(house.rows("experiment_id")) == sorted((task_id,) for task_id in tasks * 2)


@pytest.mark.parametrize(
    ("at", "ended", "sent_before"),
    [("before the commit", False, 0), ("after the commit", True, 0), ("claimed", True, 0), ("sent", True, 1)],
)
def test_g18_kill_9_at_any_step_loses_nothing_and_queues_nothing_twice(
    house: House, receiver: Receiver, at: str, ended: bool, sent_before: int
) -> None:
    house.webhooks.add("ana", receiver.url())
    task_id = house.run()

    died = subprocess.run(
        [sys.executable, CHILD, at, task_id],
        env={**os.environ, **_environment(house)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(house.rows()) == (1 if ended else 0)
    assert len(receiver.got) == sent_before
    if not ended:
        house.end(task_id)
    assert house.send_due() == (0 if at in ("claimed", "sent") else 1)  # a minute is the dead one's
    house.change("UPDATE deliveries SET claimed_until = 1 WHERE state = 'waiting'")
    house.send_due()
    assert house.send_due() == 0
    assert house.rows("experiment_id, state") == [(task_id, "delivered")]
    assert len(receiver.got) == 1 + sent_before
    assert len(set(receiver.ids)) == 1
    assert len({one.body for one in receiver.got}) == 1


def _environment(house: House) -> dict[str, Any]:
    return {
        "DATABASE_URL": house.settings.resolved_database_url,
        "RESULTS_DIR": str(house.settings.results_dir),
        "WEBHOOK_HOSTS": "127.0.0.1",
    }
