"""Datasets over HTTP: sent, checked, shown, trained on, deleted; whose they are."""

from __future__ import annotations

from typing import Any

import httpx

from finetune30.experiments import Status
from tests.api.datasets import CSV, ROWS, WAIT, kept, on_disk
from tests.api.service import Person, Service, refused

NOBODYS = "ds-0123456789abcdef"


def train_on(person: Person, name: str, **data: Any) -> httpx.Response:
    return person.post("/train", {"experiment_name": "mine", "data": {"dataset_name": name, **data}})


def test_a_file_is_kept_checked_and_has_a_version(service: Service, ana: Person) -> None:
    found = kept(ana, kind="text/csv")

    assert (found["state"], found["error"], found["owner"]) == ("ready", None, ana.name)
    assert found["report"]["total_samples"] == ROWS
    assert found["report"]["label_counts"] == {"bad": ROWS // 2, "good": ROWS // 2}
    assert found["dataset_name"] == f"upload:{found['dataset_id']}"
    assert ana.get(f"/datasets/{found['dataset_id']}").json() == found
    version = ana.get(f"/datasets/versions/{found['version']}").json()
    assert version["rows"] == ROWS
    assert version["source"] == "an upload"


def test_columns_nobody_finds_are_told_and_checked_again(ana: Person) -> None:
    found = kept(ana, CSV.replace(b"text,label", b"was_ist_das,sorte"))
    assert (found["state"], found["error"]["code"], found["version"]) == ("refused", "data_invalid", None)
    assert "sorte" in found["error"]["message"] + found["error"]["hint"]

    path = f"/datasets/{found['dataset_id']}/check"
    again = ana.post(path, params={**WAIT, "text_column": "was_ist_das", "label_column": "sorte"}).json()

    assert (again["state"], again["error"]) == ("ready", None)
    assert again["options"] == {"text_column": "was_ist_das", "label_column": "sorte"}
    task = train_on(ana, again["dataset_name"])
    config = ana.get(f"/task/{task.json()['task_id']}").json()["config"]
    assert (config["data"]["text_column"], config["data"]["label_column"]) == ("was_ist_das", "sorte")


def test_s26_anothers_dataset_is_403_an_unknown_one_404_for_every_route(ana: Person, bo: Person, admin: Person) -> None:
    dataset = kept(ana)["dataset_id"]

    for path in ("", "/report", "/analysis", "/preview", "/file", "/check", "DELETE"):
        for person, one, status in (
            (bo, dataset, 403), (bo, NOBODYS, 404), (admin, NOBODYS, 404), (ana, "DS-1", 422), (ana, "x" * 81, 422),
        ):  # fmt: skip
            refused(ask(person, one, path), status)
    for path in ("", "/report", "/analysis", "/preview", "/file", "/check", "DELETE"):
        assert ask(admin, dataset, path).status_code in (200, 202, 204), path


def ask(person: Person, dataset_id: str, path: str) -> httpx.Response:
    if path == "DELETE":
        return person.delete(f"/datasets/{dataset_id}")
    return (person.post if path == "/check" else person.get)(f"/datasets/{dataset_id}{path}")


def test_its_owner_trains_on_it_and_nobody_else_does(ana: Person, bo: Person, admin: Person) -> None:
    found = kept(ana)
    name = found["dataset_name"]

    assert train_on(ana, name).status_code == 202
    assert train_on(ana, f"version:{found['version']}").status_code == 202
    assert train_on(admin, name).status_code == 202
    theirs, nobodys = train_on(bo, name), train_on(bo, f"upload:{NOBODYS}")
    assert refused(theirs, 422, "config_invalid")["errors"] == refused(nobodys, 422, "config_invalid")["errors"]
    refused(train_on(bo, f"version:{found['version']}"), 422, "config_invalid")


def test_what_a_task_waits_for_is_not_deleted(service: Service, ana: Person) -> None:
    found = kept(ana)
    path = f"/datasets/{found['dataset_id']}"
    task = train_on(ana, found["dataset_name"]).json()["task_id"]

    refused(ana.delete(path), 409, "state_conflict")
    service.services.jobs.store.claim(task, "test")
    refused(ana.delete(path), 409, "state_conflict")
    assert ana.get(path).json() == found

    service.services.jobs.store.finish(task, 1, "test", Status.FAILURE)
    assert ana.delete(path).status_code == 204
    refused(ana.get(path), 404)
    assert found["dataset_id"] not in on_disk(service)


def test_what_a_task_waits_for_is_not_read_otherwise(service: Service, ana: Person) -> None:
    found = kept(ana)
    path, otherwise = f"/datasets/{found['dataset_id']}", {**WAIT, "text_column": "label", "label_column": "text"}
    task = train_on(ana, found["dataset_name"]).json()["task_id"]

    refused(ana.post(f"{path}/check", params=otherwise), 409, "state_conflict")
    service.services.jobs.store.claim(task, "test")
    refused(ana.post(f"{path}/check", params=otherwise), 409, "state_conflict")
    assert ana.get(path).json() == found
    again = ana.post(f"{path}/check", params=WAIT)
    assert (again.status_code, again.json()["version"]) == (202, found["version"])

    service.services.jobs.store.finish(task, 1, "test", Status.FAILURE)
    assert ana.post(f"{path}/check", params=otherwise).json()["options"]["text_column"] == "label"


def test_versions_are_seen_by_who_sent_or_used_them(ana: Person, bo: Person, admin: Person) -> None:
    one, other = kept(ana), kept(ana, CSV + b"another fine film,good\n")
    before, after = one["version"], other["version"]

    listed = [version["version"] for version in ana.get("/datasets/versions").json()["versions"]]
    assert {before, after} == set(listed)
    assert bo.get("/datasets/versions").json()["versions"] == []
    assert before in [version["version"] for version in admin.get("/datasets/versions?limit=1000").json()["versions"]]
    refused(bo.get(f"/datasets/versions/{before}"), 403)
    refused(bo.get(f"/datasets/versions/{before}/diff/{after}"), 403)
    refused(ana.get(f"/datasets/versions/{'0' * 64}"), 404)


def test_g27_each_change_has_its_row(service: Service, ana: Person) -> None:
    found = kept(ana)
    path = f"/datasets/{found['dataset_id']}"
    ana.post(f"{path}/check", params=WAIT)
    ana.delete(path)

    rows = [row for row in service.audit() if row.target == found["dataset_id"]]
    assert [row.action for row in rows] == ["dataset.delete", "dataset.check", "dataset.upload"]
    assert {row.actor_name for row in rows} == {ana.name}
    assert rows[-1].detail["sha256"] == found["sha256"]
