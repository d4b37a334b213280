"""One transaction around several rooms: all of it, or none of it, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from finetune30 import database
from finetune30.access import Audit, Role, Users
from finetune30.config import ExperimentConfig
from finetune30.errors import StateError
from finetune30.experiments import ExperimentStore, Queue, Status, Wish

PASSWORD = "correct horse battery"


def names(users: Users) -> list[str]:
    return [user.name for user in users.all()]


def test_what_rooms_write_within_a_transaction_is_committed_with_it(engine: Engine, users: Users) -> None:
    with database.write(engine):
        users.add("ana", Role.USER, PASSWORD)
        users.add("ben", Role.USER, PASSWORD)
        assert names(users) == ["ana", "ben"]  # it sees what it wrote

    assert names(users) == ["ana", "ben"]


def test_what_rooms_write_within_a_transaction_is_rolled_back_with_it(engine: Engine, users: Users) -> None:
    def add_then_fail() -> None:
        with database.write(engine):
            users.add("ana", Role.USER, PASSWORD)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_then_fail()

    assert names(users) == []


def test_an_inner_error_takes_back_the_inner_part_alone(engine: Engine, users: Users) -> None:
    admin = users.add("ana", Role.ADMIN, PASSWORD)

    with database.write(engine):
        users.add("ben", Role.USER, PASSWORD)
        with pytest.raises(StateError, match="ana is the last admin"):
            users.disable(admin.id)  # its UPDATE was done when it saw that

    assert [(user.name, user.disabled, user.token_version) for user in users.all()] == [
        ("ana", False, 0),
        ("ben", False, 0),
    ]


def test_work_for_after_the_commit_is_done_then_and_not_after_a_roll_back(engine: Engine, users: Users) -> None:
    done: list[str] = []

    def inner(name: str, fails: bool) -> None:
        with database.write(engine) as connection:
            database.after_commit(connection, lambda: done.append(name))
            if fails:
                raise ZeroDivisionError

    def outer_and_inner(fails: bool) -> None:
        with database.write(engine) as connection:
            database.after_commit(connection, lambda: done.append("outer"))
            with pytest.raises(ZeroDivisionError):
                inner("inner, rolled back", fails=True)
            inner("inner", fails=False)
            assert done == []
            if fails:
                raise LookupError

    with pytest.raises(LookupError):
        outer_and_inner(fails=True)
    assert done == []

    outer_and_inner(fails=False)
    assert done == ["outer", "inner"]
    assert not database.in_transaction(engine)


def test_a_job_and_its_audit_row_are_made_and_cancelled_together_or_not_at_all(engine: Engine, tmp_path: Path) -> None:
    """As the API does it: one transaction around two rooms that do not know each other."""
    queue, store = Queue(engine, 60, 3), ExperimentStore(engine, 60)
    audit = Audit(engine, b"Qp7sYv2nTd8gBk4mXc1wZr6hJf9aLe3u", tmp_path / "anchor")
    config = ExperimentConfig(experiment_name="reviews")

    def note(connection: Connection, action: str, target: str) -> None:
        audit.record(
            connection,
            actor_id=None,
            actor_name="ana",
            role="user",
            action=action,
            target=target,
            outcome="ok",
            address="",
            request_id="",
        )

    def submit(fails: bool) -> str:
        with database.write(engine) as connection:
            job, made = queue.submit(config, "ana", tz="UTC", wish=Wish(idempotency_key="k"))
            note(connection, "train", job.id)
            if fails:
                raise ZeroDivisionError
        assert made
        return job.id

    with pytest.raises(ZeroDivisionError):
        submit(fails=True)
    assert (store.find(), audit.find()) == ([], [])

    job = submit(fails=False)
    with database.write(engine) as connection:
        store.cancel(job)
        note(connection, "cancel", job)

    assert store.get(job).status is Status.REVOKED
    assert [(row.action, row.target) for row in audit.find()] == [("cancel", job), ("train", job)]
    assert audit.verify().ok


def test_a_foreign_connection_has_no_after(engine: Engine) -> None:
    with (
        database.read(engine) as connection,
        pytest.raises(RuntimeError, match="does not come from"),
    ):
        database.after_commit(connection, lambda: None)
