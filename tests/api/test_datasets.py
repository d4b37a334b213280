"""Datasets over HTTP: sent, checked, shown, trained on, deleted; whose they are."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from finetune30.experiments import Status
from tests.api.datasets import CSV, ROWS, WAIT, kept, on_disk, send
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


def test_a_form_is_taken_as_curl_sends_it(ana: Person) -> None:
    files = {"file": ("train.csv", CSV, "text/csv")}
    answer = ana.client.post("/datasets", params=WAIT, files=files, headers=ana.bearer)

    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert answer.headers["location"] == f"/datasets/{found['dataset_id']}"
    assert (found["name"], found["bytes"], found["state"]) == ("train.csv", len(CSV), "ready")
    assert ana.get(f"/datasets/{found['dataset_id']}/file").content == CSV


def test_without_waiting_the_answer_says_checking_and_the_state_is_asked_for(ana: Person) -> None:
    answer = send(ana, CSV)

    assert answer.json()["state"] == "checking"
    again = ana.post(f"/datasets/{answer.json()['dataset_id']}/check", params=WAIT)
    assert (again.status_code, again.json()["state"]) == (202, "ready")


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


def test_options_are_checked_as_a_configuration_is(ana: Person) -> None:
    problem = refused(send(ana, CSV, label_column="label", label_columns="a,b"), 422, "query_invalid")

    assert problem["where"].startswith("query.label")
    refused(send(ana, CSV, encoding="no-such-encoding"), 422, "query_invalid")
    refused(send(ana, CSV, nonsense="1"), 422, "query_invalid")


def test_the_report_names_every_row_and_is_a_page_where_one_is_wanted(ana: Person) -> None:
    found = kept(ana, CSV + b"fine film of number 1,good\n" * 30)
    path = f"/datasets/{found['dataset_id']}/report"

    report = ana.get(path).json()
    page = ana.get(path, headers={"Accept": "text/html"})

    copies = next(one for one in report["checks"] if one["name"] == "duplicate")
    assert len(copies["rows"]) == copies["count"] == 30
    short = next(one for one in found["report"]["checks"] if one["name"] == "duplicate")
    assert (len(short["rows"]), short["count"]) == (20, 30)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert page.text.lstrip().lower().startswith("<!doctype html>")


def test_a_preview_shows_rows_of_each_split(ana: Person) -> None:
    found = kept(ana)

    rows = ana.get(f"/datasets/{found['dataset_id']}/preview", params={"rows": 2}).json()["rows"]

    assert [row["split"] for row in rows] == ["train", "train", "validation", "validation"]
    assert all(f"film of number {row['row']}" in row["text"] for row in rows)
    refused(ana.get(f"/datasets/{found['dataset_id']}/preview", params={"rows": 1000}), 422)


def test_a_list_has_pages_and_holds_ones_own(ana: Person, bo: Person, admin: Person) -> None:
    mine = [send(ana, CSV, f"{number}.csv").json()["dataset_id"] for number in range(3)]
    send(bo, CSV)

    first = ana.get("/datasets", params={"limit": 2}).json()
    rest = ana.get("/datasets", params={"limit": 2, "after": first["next"]}).json()

    assert [one["dataset_id"] for one in first["datasets"] + rest["datasets"]] == mine[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    refused(ana.get("/datasets", params={"owner": bo.name}), 403)
    refused(ana.get("/datasets", params={"after": NOBODYS}), 404)
    listed = admin.get("/datasets", params={"owner": ana.name}).json()["datasets"]
    assert [one["dataset_id"] for one in listed] == mine[::-1]


@pytest.mark.parametrize("path", ["", "/report", "/preview", "/file", "/check", "DELETE"])
def test_s26_anothers_dataset_is_403_an_unknown_one_404_for_every_route(
    ana: Person, bo: Person, admin: Person, path: str
) -> None:
    dataset = send(ana, CSV).json()["dataset_id"]

    def ask(person: Person, dataset_id: str) -> httpx.Response:
        if path == "DELETE":
            return person.delete(f"/datasets/{dataset_id}")
        method = person.post if path == "/check" else person.get
        return method(f"/datasets/{dataset_id}{path}")

    refused(ask(bo, dataset), 403, "forbidden")
    refused(ask(bo, NOBODYS), 404, "not_found")
    refused(ask(ana, "..%2f..%2fetc"), 404) if path != "DELETE" else None
    refused(ask(ana, "DS-1"), 422)
    assert ask(admin, dataset).status_code in (200, 202, 204, 409)  # 409: it is being checked


def test_its_owner_trains_on_it_and_nobody_else_does(ana: Person, bo: Person, admin: Person) -> None:
    found = kept(ana)
    name = found["dataset_name"]

    assert train_on(ana, name).status_code == 202
    assert train_on(ana, f"version:{found['version']}").status_code == 202
    assert train_on(admin, name).status_code == 202
    theirs, nobodys = train_on(bo, name), train_on(bo, f"upload:{NOBODYS}")
    assert refused(theirs, 422, "config_invalid")["errors"] == refused(nobodys, 422, "config_invalid")["errors"]
    refused(train_on(bo, f"version:{found['version']}"), 422, "config_invalid")


def test_what_is_not_ready_is_not_trained_on(ana: Person) -> None:
    found = kept(ana, b"text,label\nonly one,x\n")

    problem = refused(train_on(ana, found["dataset_name"]), 422, "config_invalid")

    assert "ready" in problem["detail"]


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


def test_deleting_it_deletes_its_rows_unless_somebody_uses_them(service: Service, ana: Person, bo: Person) -> None:
    content = CSV.replace(b"film", ana.name.encode())
    mine, theirs = kept(ana, content), kept(bo, content)
    assert mine["version"] == theirs["version"]
    folder = service.settings.data_dir / "datasets" / mine["version"]

    assert ana.delete(f"/datasets/{mine['dataset_id']}").status_code == 204
    assert folder.is_dir()
    assert bo.delete(f"/datasets/{theirs['dataset_id']}").status_code == 204
    assert not folder.exists()


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


def test_two_versions_are_compared(ana: Person) -> None:
    before = kept(ana)["version"]
    after = kept(ana, CSV.replace(b"dull film of number 0,bad", b"dull film of number 0,good"))["version"]

    found = ana.get(f"/datasets/versions/{before[:12]}/diff/{after[:12]}").json()

    assert found["counts"]["relabelled"] == 1
    ((old, new),) = found["relabelled"]
    assert (old["text"], old["label"], new["label"]) == ("dull film of number 0", "bad", "good")


def test_g27_each_change_has_its_row(service: Service, ana: Person) -> None:
    found = kept(ana)
    path = f"/datasets/{found['dataset_id']}"
    ana.post(f"{path}/check", params=WAIT)
    ana.delete(path)

    rows = [row for row in service.audit() if row.target == found["dataset_id"]]
    assert [row.action for row in rows] == ["dataset.delete", "dataset.check", "dataset.upload"]
    assert {row.actor_name for row in rows} == {ana.name}
    assert rows[-1].detail["sha256"] == found["sha256"]


def test_the_row_that_cannot_be_written_takes_the_file_with_it(
    service: Service, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune30.access import audit
    from finetune30.errors import StorageError

    def broken(*_: object, **__: object) -> None:
        raise StorageError("no")

    before = on_disk(service)
    monkeypatch.setattr(audit.AuditLog, "record", broken)
    refused(send(ana, CSV), 503)

    assert on_disk(service) == before
