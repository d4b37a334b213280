"""``GET /workers``: who takes jobs, told to admins; on SQLite and PostgreSQL."""

from __future__ import annotations

from finetune30.client import Client
from tests.api.service import Person, Service, refused


def test_admins_see_workers_and_what_they_run(service: Service, admin: Person, ana: Person) -> None:
    store, queue = service.services.jobs.store, service.services.jobs.queue
    body = {"experiment_name": "runs"}
    task = ana.post("/train", json=body).json()["task_id"]
    queue.seen("host-1:7", host="host-1", slots=2, busy=1, queues=["cpu"])
    store.claim(task, "host-1:7")

    told = {one["name"]: one for one in admin.get("/workers").json()["workers"]}["host-1:7"]

    assert (told["host"], told["slots"], told["busy"], told["queues"], told["alive"]) == ("host-1", 2, 1, ["cpu"], True)
    assert told["tasks"] == [task]
    assert told["seen_at"] >= told["started_at"]
    with Client(service.url, token=admin.token) as client:
        assert task in next(one for one in client.workers() if one.name == "host-1:7").tasks
    queue.gone("host-1:7")
    assert "host-1:7" not in {one["name"] for one in admin.get("/workers").json()["workers"]}


def test_users_do_not_see_workers(ana: Person) -> None:
    refused(ana.get("/workers"), 403)
    refused(ana.get("/workers?limit=1"), 403)
