"""Every method against the real API, over both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune30 import errors
from finetune30.access import Role
from finetune30.client import Client
from finetune30.experiments import Status
from tests.api.service import PASSWORD, Service

CONFIG = {"experiment_name": "ours", "training": {"num_train_epochs": 1}}


def test_a_user_logs_in_trains_looks_and_logs_out(both: Service) -> None:
    person = both.person()
    with Client(both.url) as client:
        assert client.health()
        assert client.ready().status == "ready"
        with pytest.raises(errors.LoginNeeded, match="nobody is logged in"):
            client.me()
        session = client.login(person.name, PASSWORD)
        assert (session.role, client.me().name) == ("user", person.name)
        assert session.token not in repr(session)
        assert str(session.refresh_token) not in repr(client.session)

        task = client.train(CONFIG, priority=3)
        assert (task.status, task.priority, task.owner) == ("PENDING", 3, person.name)
        assert task.position is not None
        assert client.task(task.task_id).config["experiment_name"] == "ours"
        assert [event.status for event in client.events(task.task_id)] == ["PENDING"]
        assert client.logs(task.task_id) == ""
        assert client.pause(task.task_id).paused
        assert not client.resume(task.task_id).paused
        assert client.cancel(task.task_id).status == "REVOKED"
        assert client.retry(task.task_id, priority=5).priority == 5

        client.logout()
        assert client.session is None
        client.logout()
    assert both.client.get("/me", headers={"Authorization": f"Bearer {session.token}"}).status_code == 401


def test_a_wrong_password_is_said_as_one(both: Service) -> None:
    person = both.person()
    with Client(both.url) as client, pytest.raises(errors.LoginNeeded, match="do not belong together") as refusal:
        client.login(person.name, "four other words here")
    assert (refusal.value.code, refusal.value.status, refusal.value.exit_code) == ("login_refused", 401, 2)
    assert refusal.value.request_id


def test_a_new_password_ends_the_session(both: Service) -> None:
    person = both.person()
    with Client(both.url) as client:
        client.login(person.name, PASSWORD)
        client.change_password(PASSWORD, "five other words than these")
        assert client.session is None
        client.login(person.name, "five other words than these")


def test_lists_are_read_page_by_page_and_filtered(both: Service) -> None:
    person = both.person()
    with Client(both.url) as client:
        client.login(person.name, PASSWORD)
        made = [client.train({"experiment_name": f"number {n}"}).task_id for n in range(5)]
        both.ended(made[0], accuracy=0.5)
        assert [one.task_id for one in client.tasks()] == made[::-1]
        first = client.tasks_page(limit=2)
        assert (first.has_more, len(first.items)) == (True, 2)
        assert [one.task_id for one in client.tasks(limit=3)] == made[:1:-1]
        assert [one.task_id for one in client.tasks(status="SUCCESS")] == made[:1]
        assert [one.task_id for one in client.tasks(q="status != SUCCESS")] == made[:0:-1]
        assert list(client.tasks(limit=0)) == []
        assert [one.name for one in client.experiments(sort_by="name", desc=False)] == [f"number {n}" for n in range(5)]
        assert [one.id for one in client.experiments(name="number 3")] == [made[3]]
        assert client.stats().by_status == {"PENDING": 4, "SUCCESS": 1} | {
            name: count for name, count in client.stats().by_status.items() if not count
        }
        assert client.experiment(made[1]).name == "number 1"
        client.delete(made[0])
        with pytest.raises(errors.NotFound):
            client.experiment(made[0])
        with pytest.raises(errors.Missing, match="no such task"):
            client.delete(made[0])


def test_an_admin_manages_users_and_reads_the_audit_log(both: Service) -> None:
    admin = both.person(Role.ADMIN)
    with Client(both.url) as client:
        client.login(admin.name, PASSWORD)
        name = f"bo-{admin.user.id[-6:]}"
        bo = client.add_user(name, "four words for bo")
        assert client.user(bo.user_id) in client.users()
        assert client.disable_user(bo.user_id).disabled
        assert not client.enable_user(bo.user_id).disabled
        assert client.set_role(bo.user_id, "admin").role == "admin"
        client.set_password(bo.user_id, "four other words for bo")
        actions = [row.action for row in client.audit_logs(user_id=admin.user.id, limit=6)]
        assert actions == ["user.password", "user.role", "user.enable", "user.disable", "user.add", "login"]
        older = client.audit_page(limit=1, before=client.audit_page(limit=1).next)
        assert older.items[0].action == "user.role"
        assert client.config_schema()["properties"]["lora"]
        assert client.config_defaults()["training"]["num_train_epochs"]


def test_a_file_means_what_it_means_to_train(both: Service, tmp_path: Path) -> None:
    person = both.person()
    file = tmp_path / "mine.yaml"
    file.write_text("extends: default.yaml\nexperiment_name: from a file\nlora: {r: 4}\n")
    with Client(both.url) as client:
        client.login(person.name, PASSWORD)
        task = client.train(file, overrides=["training.num_train_epochs=2"])
        config = client.task(task.task_id).config
        assert (config["experiment_name"], config["lora"]["r"]) == ("from a file", 4)
        assert config["training"]["num_train_epochs"] == 2
        with pytest.raises(errors.ConfigError, match="did you mean"):
            client.train(file, overrides=["lora.rr=3"])
        with pytest.raises(errors.UsageError, match="overrides"):
            client.train({}, overrides=["lora.r=3"])


def test_the_same_key_makes_one_task(both: Service) -> None:
    person = both.person()
    with Client(both.url) as client:
        client.login(person.name, PASSWORD)
        first = client.train(CONFIG, idempotency_key="nightly")
        assert client.train(CONFIG, idempotency_key="nightly").task_id == first.task_id
        assert client.train(CONFIG).task_id != first.task_id
        with pytest.raises(errors.Refused) as refusal:
            client.train({"experiment_name": "another"}, idempotency_key="nightly")
        assert (refusal.value.code, refusal.value.where) == ("idempotency_conflict", "Idempotency-Key")


def test_refusals_carry_every_fault_and_are_of_the_family(both: Service) -> None:
    ana, bo = both.person(), both.person()
    with Client(both.url) as mine, Client(both.url) as others:
        mine.login(ana.name, PASSWORD)
        others.login(bo.name, PASSWORD)
        with pytest.raises(errors.Refused) as refusal:
            mine.train({"lora": {"r": 0}, "training": {"num_train_epoch": 3}})
        assert {where for where, _ in refusal.value.faults} == {"body.lora.r", "body.training.num_train_epoch"}
        assert "did you mean" in str(refusal.value)
        assert "2 things are refused" in str(refusal.value)
        task = mine.train(CONFIG)
        with pytest.raises(errors.Forbidden, match="another user's"):
            others.task(task.task_id)
        with pytest.raises(errors.NotFound):
            mine.task("nothing_of_this_name")
        both.ended(task.task_id, Status.FAILURE)
        with pytest.raises(errors.StateError, match="FAILURE"):
            mine.cancel(task.task_id)
        with pytest.raises(errors.Denied):
            mine.users()
        for bad in ("..", "", "x" * 400):
            with pytest.raises(errors.UsageError, match="is no id"):
                mine.task(bad)
        with pytest.raises(errors.Refused):
            mine.task("a/../b")
        with pytest.raises(errors.UsageError, match="JSON"):
            mine.train({"lora": {"r": float("nan")}})
