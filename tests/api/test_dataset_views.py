"""Datasets as they are shown, over SQLite alone: what a file holds does not depend on the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from finetune30 import database
from finetune30.api import downloads
from finetune30.api.checking import Allowance
from finetune30.api.fine_tuning import names
from tests.api.datasets import CSV, ROWS, WAIT, kept, on_disk, send
from tests.api.service import Person, Service, refused, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running API without rate limits."""
    with serving(tmp_path_factory.mktemp("shown"), {}) as found:
        yield found


NOBODYS = "ds-0123456789abcdef"


def train_on(person: Person, name: str, **data: Any) -> httpx.Response:
    return person.post("/train", {"experiment_name": "mine", "data": {"dataset_name": name, **data}})


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


def test_options_are_checked_as_a_configuration_is(ana: Person) -> None:
    problem = refused(send(ana, CSV, label_column="label", label_columns="a,b"), 422, "query_invalid")

    assert problem["where"].startswith("query.label")
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


def test_its_analysis_is_told_in_figures(ana: Person) -> None:
    found = kept(ana)
    path = f"/datasets/{found['dataset_id']}"

    figures = ana.get(f"{path}/analysis").json()

    assert figures["total_samples"] == figures["splits"]["train"]["rows"] == ROWS
    assert figures["splits"]["train"]["words"]["median"] == 5
    assert {one["name"] for one in figures["labels"]} == {"bad", "good"}
    assert figures["label_counts"] == found["report"]["label_counts"]
    unread = kept(ana, b"was,ist\nx,y\n")["dataset_id"]
    refused(ana.get(f"/datasets/{unread}/analysis"), 409, "state_conflict")
    again = {**WAIT, "text_column": "label", "label_column": "text"}
    assert ana.post(f"{path}/check", params=again).json()["options"]["text_column"] == "label"
    assert ana.get(f"{path}/analysis").json()["splits"]["train"]["words"]["median"] == 1


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


def test_what_is_not_ready_is_not_trained_on(ana: Person) -> None:
    found = kept(ana, b"text,label\nonly one,x\n")

    problem = refused(train_on(ana, found["dataset_name"]), 422, "config_invalid")

    assert "ready" in problem["detail"]


def test_two_versions_are_compared(ana: Person) -> None:
    before = kept(ana)["version"]
    after = kept(ana, CSV.replace(b"dull film of number 0,bad", b"dull film of number 0,good"))["version"]

    found = ana.get(f"/datasets/versions/{before[:12]}/diff/{after[:12]}").json()

    assert found["counts"]["relabelled"] == 1
    ((old, new),) = found["relabelled"]
    assert (old["text"], old["label"], new["label"]) == ("dull film of number 0", "bad", "good")


def test_s112_the_row_that_cannot_be_written_takes_the_file_with_it(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as own:
        ana = own.person()
        kept_before = kept(ana)["dataset_id"]
        with database.write(own.services.engine) as connection:
            connection.execute(text("ALTER TABLE audit RENAME TO audit_away"))

        refused(send(ana, CSV), 503)
        refused(ana.delete(f"/datasets/{kept_before}"), 503)

        assert on_disk(own) == [kept_before]
        assert ana.get(f"/datasets/{kept_before}").json()["state"] == "ready"


def test_deleting_it_deletes_its_rows_unless_somebody_uses_them(service: Service, ana: Person, bo: Person) -> None:
    content = CSV.replace(b"film", ana.name.encode())
    mine, theirs = kept(ana, content), kept(bo, content)
    assert mine["version"] == theirs["version"]
    folder = service.settings.data_dir / "datasets" / mine["version"]

    assert ana.delete(f"/datasets/{mine['dataset_id']}").status_code == 204
    assert folder.is_dir()
    assert bo.delete(f"/datasets/{theirs['dataset_id']}").status_code == 204
    assert not folder.exists()


def test_what_is_asked_for_while_it_is_checked_is_what_counts(service: Service, ana: Person) -> None:
    rows = b"".join(b"left %d,right %d,%d\n" % (row, row, row % 2) for row in range(20_000))
    dataset = send(ana, b"one,two,kind\n" + rows, text_column="one", label_column="kind").json()["dataset_id"]
    begun = service.settings.data_dir / "uploads" / dataset / ".lock"
    until = time.monotonic() + 60
    while not begun.exists():  # its card is read then
        assert time.monotonic() < until
        time.sleep(0.005)

    again = ana.post(f"/datasets/{dataset}/check", params={**WAIT, "text_column": "two", "label_column": "kind"}).json()

    assert (again["state"], again["options"]["text_column"]) == ("ready", "two")
    shown = ana.get(f"/datasets/{dataset}/preview", params={"rows": 1}).json()["rows"]
    assert shown[0]["text"].startswith("right")


def test_the_check_of_what_was_deleted_ends(service: Service, ana: Person) -> None:
    dataset = send(ana, CSV).json()["dataset_id"]
    checks = service.services.checks
    future = checks.submit(checks.uploads.get(dataset))

    assert ana.delete(f"/datasets/{dataset}").status_code == 204

    future.result(60)
    assert service.services.checks.uploads.find(dataset) is None
    assert dataset not in on_disk(service)


def files_of(ana: Person, found: dict[str, Any]) -> list[str]:
    """Whatever is fetched of one upload."""
    path = f"/datasets/{found['dataset_id']}"
    return [f"{path}/file", f"{path}/report", f"/v1/files/{names.file_of(found['dataset_id'])}/content"]


def test_files_are_sent_whole_whatever_range_is_asked_for(ana: Person) -> None:
    found = kept(ana, name="測試.csv")

    for path in files_of(ana, found):
        whole = ana.get(path)
        for wanted in ("bytes=0-3", "bytes=999999999-", "bytes=", "lines=1-2"):
            answer = ana.get(path, headers={"Range": wanted})
            assert (answer.status_code, answer.content) == (200, whole.content), (path, wanted)
        assert whole.headers["accept-ranges"] == "none"
        named = whole.headers.get("content-disposition")
        assert named == (None if path.endswith("report") else "attachment; filename*=utf-8''%E6%B8%AC%E8%A9%A6.csv")


def test_files_that_are_deleted_meanwhile_are_404_and_no_fault(service: Service, ana: Person) -> None:
    found = kept(ana)
    uploads = service.services.checks.uploads
    upload = uploads.get(found["dataset_id"])
    uploads.file(upload).unlink()

    file, _, content = files_of(ana, found)
    for path in (file, content):
        refused(ana.get(path), 404)


def test_files_count_among_the_downloads_at_once(ana: Person) -> None:
    found = kept(ana)
    downloads._open[ana.user.id] = downloads._MOST_AT_ONCE
    try:
        for path in files_of(ana, found):
            refused(ana.get(path), 429)
    finally:
        del downloads._open[ana.user.id]
    for path in files_of(ana, found):
        assert ana.get(path).status_code == 200
    # Counted off when the server is done with an answer, which is a moment after the client has read it.
    until = time.monotonic() + 30
    while ana.user.id in downloads._open:
        assert time.monotonic() < until, "a download was never counted off"
        time.sleep(0.01)


def test_pages_and_differences_have_a_limit_of_their_own(service: Service, ana: Person) -> None:
    checks, found = service.services.checks, kept(ana)
    path, usual = f"/datasets/{found['dataset_id']}/report", checks.allowance
    checks.allowance = Allowance(aside_s=0.05)
    try:
        refused(ana.get(path, headers={"Accept": "text/html"}), 422, "check_failed")
    finally:
        checks.allowance = usual

    assert ana.get(path, headers={"Accept": "text/html"}).status_code == 200


def test_a_user_has_two_pages_and_differences_at_most_and_holds_nobody_up(
    service: Service, ana: Person, bo: Person
) -> None:
    checks, mine, theirs = service.services.checks, kept(ana)["version"], kept(bo)["version"]
    gate = threading.Event()
    checks._asides.submit("somebody", lambda: gate.wait(30))
    waiting = [checks.diff(mine, mine, 5, ana.user.id) for _ in range(2)]
    try:
        refused(ana.get(f"/datasets/versions/{mine}/diff/{mine}"), 503, "busy")
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(bo.get, f"/datasets/versions/{theirs}/diff/{theirs}")
            gate.set()
            assert other.result(30).status_code == 200
    finally:
        gate.set()
    assert all("counts" in one.result(30) for one in waiting)
    assert ana.get(f"/datasets/versions/{mine}/diff/{mine}").status_code == 200
