"""What the API promises of jobs and of the audit log: the HTTP halves of G7 to G10, G25 to G30 and G17."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune30 import database
from finetune30.api.deeds import ASKING
from finetune30.api.routes import all_routes, events
from finetune30.experiments import LEGAL_MOVES, ExperimentFolder, Status
from finetune30.jobs import Jobs
from tests.api.conftest import DATABASES
from tests.api.datasets import CSV, send
from tests.api.service import PASSWORD, Person, Service, refused, serving
from tests.api.test_authorisation import every_route, path_of
from tests.registered import trained
from tests.servers import RedisServer

QUEUE = "finetune30:train"


@pytest.fixture(params=DATABASES)
def values(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """Settings of services that share one database."""
    shared: dict[str, object] = {"RESULTS_DIR": tmp_path / "shared"}
    if request.param == "postgresql":
        shared["DATABASE_URL"] = request.getfixturevalue("postgres_server").database("shared")
    return shared


def test_g7_after_202_every_process_knows_the_task_and_still_after_a_restart(
    values: dict[str, object], tmp_path: Path
) -> None:
    with serving(tmp_path / "one", values) as one, serving(tmp_path / "two", values) as two:
        ana = one.person()
        seen: dict[str, list[str]] = {}
        for _ in range(10):
            task = ana.post("/train", {}).json()["task_id"]
            answer = two.client.get(f"/task/{task}", headers=ana.bearer)
            assert answer.status_code == 200
            seen[task] = [answer.json()["status"]]
        for place, task in enumerate(seen):
            one.ended(task, (Status.SUCCESS, Status.FAILURE, Status.REVOKED)[place % 3])
            seen[task].append(two.client.get(f"/task/{task}", headers=ana.bearer).json()["status"])
    with serving(tmp_path / "three", values) as three:
        for task, states in seen.items():
            again = three.client.get(f"/task/{task}", headers=ana.bearer).json()
            assert again["status"] == states[-1]
            assert LEGAL_MOVES[Status(again["status"])] == frozenset()
            moves = [Status(event["status"]) for event in again["events"] if event["kind"] == "state"]
            assert all(after in LEGAL_MOVES[before] for before, after in itertools.pairwise(moves))


def test_g8_202_comes_after_the_commit(values: dict[str, object], tmp_path: Path) -> None:
    """Whoever reads 202 finds the row over a connection of their own, at that moment."""
    with serving(tmp_path, values) as service:
        ana = service.person()
        other = Jobs(service.settings)
        for _ in range(20):
            body = b"{}"
            head = (
                f"POST /train HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ana.token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            with socket.create_connection(("127.0.0.1", service.port)) as connection:
                connection.sendall(head.encode() + body)
                first = connection.recv(12)
                assert first == b"HTTP/1.1 202"
                assert other.store.find(owner=ana.name, limit=1)
        assert len(other.store.find(owner=ana.name)) == 20
        other.close()


def test_g9_one_key_and_body_make_one_task(service: Service, ana: Person, bo: Person) -> None:
    key = {"Idempotency-Key": "3f1c"}

    with ThreadPoolExecutor(15) as pool:
        answers = list(pool.map(lambda _: ana.post("/train", {"seed": 7}, headers=key), range(30)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert len(ana.get("/tasks").json()["tasks"]) == 1
    problem = refused(ana.post("/train", {"seed": 8}, headers=key), 422, "idempotency_conflict")
    assert problem["where"] == "Idempotency-Key"
    refused(ana.post("/train?priority=3", {"seed": 7}, headers=key), 422, "idempotency_conflict")
    theirs = bo.post("/train", {"seed": 8}, headers=key)
    assert theirs.status_code == 202
    assert theirs.json()["task_id"] != answers[0].json()["task_id"]
    for bad in ("", "x" * 201):
        refused(ana.post("/train", {}, headers={"Idempotency-Key": bad}), 422)


def test_g10_cancel_is_at_once_exact_and_409_when_over(service: Service, ana: Person) -> None:
    waiting, running, ended = (ana.post("/train", {}).json()["task_id"] for _ in range(3))
    store = service.services.jobs.store
    attempt = store.claim(running, "test")
    service.ended(ended)

    first = ana.post(f"/task/{waiting}/cancel")
    second = ana.post(f"/task/{running}/cancel")

    assert (first.status_code, first.json()["status"]) == (202, "REVOKED")
    assert (second.status_code, second.json()["status"], second.json()["cancel_requested"]) == (202, "STARTED", True)
    assert store.heartbeat(running, attempt, "test").cancel_requested
    store.finish(running, attempt, "test", Status.REVOKED)
    for task in (waiting, running, ended):
        refused(ana.post(f"/task/{task}/cancel"), 409, "state_conflict")
        refused(ana.post(f"/task/{task}/pause"), 409)
        refused(ana.post(f"/task/{task}/resume"), 409)
    assert ana.get(f"/task/{ended}").json()["status"] == "SUCCESS"


def test_pause_resume_and_retry(service: Service, ana: Person, admin: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]

    assert ana.post(f"/task/{task}/pause").json()["paused"] is True
    assert ana.get(f"/task/{task}").json()["queue_position"] is None
    assert ana.post(f"/task/{task}/resume").json()["paused"] is False
    assert ana.get(f"/task/{task}").json()["queue_position"] >= 1
    refused(ana.post(f"/task/{task}/retry"), 409)
    service.ended(task, Status.FAILURE)
    again = ana.post(f"/task/{task}/retry").json()
    assert (again["resumed_from"], again["continues"]) == (task, False)  # it left no checkpoints
    assert ana.post(f"/task/{task}/retry").status_code == 409  # somebody goes on from it already
    fresh = admin.post(f"/task/{task}/retry?fresh=true").json()
    assert (fresh["owner"], fresh["continues"]) == (ana.name, False)
    rows = service.audit(user_id=admin.user.id)
    assert (rows[0].action, rows[0].target, rows[0].detail) == ("task.retry", task, {"made": fresh["task_id"]})


def test_the_result_of_a_success(service: Service, ana: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    assert ana.get(f"/task/{task}").json()["result"] is None

    service.ended(task, train={"runtime_s": 12.5}, eval={"accuracy": 0.75, "loss": float("nan")})

    found = ana.get(f"/task/{task}").json()
    assert found["result"] == {
        "accuracy": 0.75,
        "train_runtime": 12.5,
        "eval": {"accuracy": 0.75, "loss": None},
        "test": None,
    }
    assert ana.get(f"/experiments/{task}").json()["eval_accuracy"] == 0.75


def test_a_task_is_what_the_command_line_shows(service: Service, ana: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    where = {"RESULTS_DIR": service.settings.results_dir, "DATA_DIR": service.settings.data_dir, "TZ": "UTC"}
    where["DATABASE_URL"] = service.settings.database_url or ""
    command = [sys.executable, "-m", "finetune30", "jobs", "show", task, "--json"]
    env = os.environ | {name: str(value) for name, value in where.items()}
    shown = json.loads(subprocess.run(command, env=env, capture_output=True, check=True).stdout)

    told = ana.get(f"/task/{task}").json()

    assert told.pop("queue_position") == shown["position"]
    assert told.pop("result") is None
    assert told == shown


def test_an_experiment_is_deleted_with_its_folder(service: Service, ana: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    folder = ExperimentFolder.create(service.settings.results_dir, task)
    folder.logs_txt.write_text("first\nsecond\nthird\n")
    assert ana.get(f"/task/{task}/logs?tail=2").text == "second\nthird\n"
    attempt = service.services.jobs.store.claim(task, "test")
    refused(ana.delete(f"/experiments/{task}"), 409)
    service.services.jobs.store.finish(task, attempt, "test", Status.SUCCESS)

    assert ana.delete(f"/experiments/{task}").status_code == 204

    assert not folder.path.exists()
    refused(ana.get(f"/task/{task}"), 404)
    refused(ana.delete(f"/experiments/{task}"), 404)


def test_an_experiment_that_is_still_needed_is_not_deleted(service: Service, ana: Person) -> None:
    store, results = service.services.jobs.store, service.settings.results_dir
    first = ana.post("/train", {}).json()["task_id"]
    problem = refused(ana.delete(f"/experiments/{first}"), 409, "state_conflict")
    assert (problem["detail"], problem["hint"]) == ("it has not ended", "POST /task/{task_id}/cancel first")
    (ExperimentFolder.create(results, first).artifacts / "checkpoint-3").mkdir()
    service.ended(first, Status.FAILURE)
    heir = ana.post(f"/task/{first}/retry").json()
    assert (heir["resumed_from"], heir["continues"]) == (first, True)

    for _ in range(2):
        problem = refused(ana.delete(f"/experiments/{first}"), 409, "state_conflict")
        assert problem["detail"] == f"{heir['task_id']} goes on from its checkpoints"
        assert (results / first / "artifacts" / "checkpoint-3").is_dir()
        if store.get(heir["task_id"]).status is Status.PENDING:
            attempt = store.claim(heir["task_id"], "w1")
    store.finish(heir["task_id"], attempt, "w1", Status.SUCCESS)

    assert ana.delete(f"/experiments/{first}").status_code == 204


def test_a_log_that_is_a_link_is_nobodys(service: Service, ana: Person, tmp_path: Path) -> None:
    from finetune30.experiments import ExperimentFolder

    task = ana.post("/train", {}).json()["task_id"]
    folder = ExperimentFolder.create(service.settings.results_dir, task)
    (tmp_path / "secret").write_text("secret")
    folder.logs_txt.symlink_to(tmp_path / "secret")

    assert ana.get(f"/task/{task}/logs").text == ""


def test_events_as_a_stream_until_the_end(service: Service, ana: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    store = service.services.jobs.store
    kinds: list[str] = []
    accept = {"Accept": "text/event-stream"}

    with service.client.stream("GET", f"/task/{task}/events", headers=ana.bearer | accept) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        for line in lines:
            if line.startswith("event: "):
                kinds.append(line.removeprefix("event: "))
                if kinds == ["state"]:
                    attempt = store.claim(task, "test")
                    note = ("checkpoint", "saved at step 3", 3)
                    store.heartbeat(task, attempt, "test", {"step": 3, "total": 9}, [note])
                if kinds[-1] == "progress":
                    store.finish(task, attempt, "test", Status.SUCCESS)

    assert kinds == ["state", "state", "checkpoint", "progress", "state", "end"]
    listed = ana.get(f"/task/{task}/events").json()["events"]
    assert [event["kind"] for event in listed] == ["state", "state", "checkpoint", "state"]
    last = {"Last-Event-ID": str(listed[-1]["number"])}
    again = service.client.get(f"/task/{task}/events", headers=ana.bearer | accept | last)
    assert "event: state" not in again.text
    assert "event: end" in again.text
    page = ana.get(f"/task/{task}/events?limit=2").json()
    assert page["has_more"] is True
    rest = ana.get(f"/task/{task}/events?after={page['next']}").json()
    assert page["events"] + rest["events"] == listed


def test_g26_a_stream_ends_with_the_right_to_see_it(service: Service, ana: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    headers = ana.bearer | {"Accept": "text/event-stream"}

    with service.client.stream("GET", f"/task/{task}/events", headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: state"):
                service.services.access.users.disable(ana.user.id)

    assert answer.is_closed
    refused(ana.get(f"/task/{task}"), 401)


def test_g20_a_quota_that_is_used_up_is_429(tmp_path: Path) -> None:
    with serving(tmp_path, {"MAX_JOBS_PER_USER": 2}) as service:
        ana, bo = service.person(), service.person()
        assert [ana.post("/train", {}).status_code for _ in range(3)] == [202, 202, 429]
        refused(ana.post("/train", {}), 429, "quota_exceeded")
        assert bo.post("/train", {}).status_code == 202


def test_g17_without_redis_jobs_are_taken_and_kept(tmp_path: Path, redis_server: RedisServer) -> None:
    redis_server.flush()
    with serving(
        tmp_path, {"BROKER_URL": redis_server.url, "RING_AGAIN_S": 1, "LEASE_S": 3, "HEARTBEAT_S": 1}
    ) as service:
        ana = service.person()
        told = ana.post("/train", {}).json()["task_id"]
        client = redis_server.client()
        assert client.llen(QUEUE) == 1
        redis_server.kill()
        try:
            kept = ana.post("/train", {})
            assert kept.status_code == 202
            assert ana.get(f"/task/{kept.json()['task_id']}").json()["status"] == "PENDING"
            assert ana.post(f"/task/{told}/cancel").status_code == 202
            assert service.client.get("/ready").json()["status"] == "degraded"
        finally:
            redis_server.restart()
        for _ in range(200):  # the keeper rings again
            if client.llen(QUEUE):
                break
            threading.Event().wait(0.1)
        assert client.llen(QUEUE) >= 1


def test_s112_nobody_is_told_of_a_job_that_was_taken_back(tmp_path: Path, redis_server: RedisServer) -> None:
    from sqlalchemy import text

    redis_server.flush()
    with serving(tmp_path, {"BROKER_URL": redis_server.url}) as service:
        ana = service.person()
        with database.write(service.services.engine) as connection:
            connection.execute(text("ALTER TABLE audit RENAME TO audit_away"))
        refused(ana.post("/train", {}), 503)
        assert redis_server.client().llen(QUEUE) == 0


def mutating(service: Service, ana: Person, admin: Person) -> Iterator[httpx.Response]:
    """One request to each route that changes something, and some that are refused."""
    client = service.client
    task = ana.post("/train", {"seed": 1}, headers={"Idempotency-Key": "g27"})
    yield task
    yield ana.post("/train", {"seed": 1}, headers={"Idempotency-Key": "g27"})
    yield ana.post("/train", {"seed": "x"})
    path = f"/task/{task.json()['task_id']}"
    for verb in ("pause", "resume", "cancel", "cancel", "retry", "retry"):
        yield ana.post(f"{path}/{verb}")
    yield admin.post(f"{path}/retry?fresh=true")
    yield ana.delete(f"/experiments/{task.json()['task_id']}")
    yield from changing_models(service, ana)
    key = ana.post("/keys", {"name": "shop", "expires_days": 1})
    yield key
    yield ana.post("/keys", {"name": "shop", "expires_days": 0})
    yield ana.delete(f"/keys/{key.json()['key_id']}")
    hook = ana.post("/webhooks", {"url": "http://127.0.0.1:65535/hook"})
    yield hook
    yield ana.post("/webhooks", {"url": "http://169.254.169.254/"})
    path = f"/webhooks/{hook.json()['webhook_id']}"
    ping = ana.post(f"{path}/test")
    yield ping
    yield ana.post(f"{path}/deliveries/{ping.json()['number']}/retry")
    yield ana.post(f"{path}/disable")
    yield ana.post(f"{path}/test")
    yield ana.post(f"{path}/enable")
    yield ana.delete(path)
    dataset = send(ana, CSV)
    yield dataset
    yield send(ana, CSV, "a.pkl")
    yield ana.post(f"/datasets/{dataset.json()['dataset_id']}/check")
    yield ana.post(f"/datasets/{dataset.json()['dataset_id']}/repair?wait_s=60")
    yield ana.delete(f"/datasets/{dataset.json()['dataset_id']}")
    yield ana.get("/users")
    yield ana.post("/users", {"name": "x", "password": PASSWORD})
    new = admin.post("/users", {"name": f"{ana.name}-2", "password": PASSWORD})
    yield new
    user_id = new.json()["user_id"]
    yield admin.post("/users", {"name": f"{ana.name}-2", "password": PASSWORD})
    yield admin.post(f"/users/{user_id}/role", {"role": "admin"})
    yield admin.post(f"/users/{user_id}/password", {"password": PASSWORD + "."})
    yield admin.post(f"/users/{user_id}/disable")
    yield admin.post(f"/users/{user_id}/enable")
    yield client.post("/login", json={"username": ana.name, "password": PASSWORD})
    yield client.post("/login", json={"username": ana.name, "password": PASSWORD + "x"})
    yield client.post("/login", json={"username": "nobody", "password": PASSWORD})
    yield client.post("/token/refresh", json={"refresh_token": ana.refresh_token})
    yield ana.post("/me/password", {"current_password": PASSWORD, "new_password": PASSWORD + "!"})
    yield admin.post("/logout")


def changing_models(service: Service, ana: Person) -> Iterator[httpx.Response]:
    """The same for models and their aliases."""
    first, second = (trained(service.services.jobs.store, service.settings.results_dir, owner=ana.name) for _ in "12")
    name = f"m-{ana.name}"
    path, alias = f"/models/{name}", f"/models/{name}/aliases/champion"
    yield ana.post("/models", {"name": name, "experiment_id": first, "alias": "champion"})
    yield ana.post("/models", {"name": name, "experiment_id": second})
    yield ana.post("/models", {"name": name, "experiment_id": second})
    yield ana.post(path, {"visibility": "team"})
    yield ana.client.put(alias, headers=ana.bearer, json={"version": 2})
    yield ana.client.put(alias, headers=ana.bearer, json={"version": 2, "expected": 1})
    yield ana.post(f"{alias}/rollback")
    yield ana.post(f"{alias}/rollback")
    yield ana.delete(f"/experiments/{first}")
    yield ana.delete(f"{path}/versions/1")
    yield ana.delete(f"{path}/versions/2")
    yield ana.delete(path)
    yield ana.delete(alias)
    yield ana.delete(path)


def test_g27_one_row_for_each_change_each_refusal_and_each_failed_login(
    service: Service, ana: Person, admin: Person
) -> None:
    last = service.audit(limit=1)[0].seq if service.audit(limit=1) else 0

    answers = list(mutating(service, ana, admin))

    rows = [row for row in service.audit(limit=1000) if row.seq > last][::-1]
    assert [row.request_id for row in rows] == [answer.headers["x-request-id"] for answer in answers]
    for row, answer in zip(rows, answers, strict=True):
        assert (row.outcome == "ok") == answer.is_success, (row, answer.status_code)
        assert (row.outcome == "denied") == (answer.status_code in (401, 403))
        assert row.address == "127.0.0.1"
    covered = {row.action for row in rows}
    routes = [route for route in all_routes() if isinstance(route, APIRoute)]
    # A new route that changes something needs its line in ``mutating``.
    assert {route.name for route in routes if not {"GET", "HEAD"} & set(route.methods or ())} - covered == ASKING
    assert service.services.access.audit.verify().ok


def test_s25_g27_reads_leave_no_row(service: Service, ana: Person, admin: Person) -> None:
    last = service.audit(limit=1)[0].seq if service.audit(limit=1) else 0

    for path in ("/me", "/tasks", "/task/unknown_1", "/experiments?owner=me&limit=0", "/config/schema", "/ready"):
        ana.get(path)
    ana.post("/config/check", {})
    ana.post("/config/check", {"lora": {"r": 0}})
    service.client.get("/me")
    service.client.post("/train", json={})

    assert [row for row in service.audit(limit=10) if row.seq > last] == []


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_KEYS = st.sampled_from(["seed", "model", "lora", "data", "training", "experiment_name", "r", "name", "learning_rate"])


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(_KEYS | st.text(max_size=8), _ANY | st.dictionaries(_KEYS, _ANY, max_size=3), max_size=5))
def test_g30_no_body_gives_a_5xx(service: Service, ana: Person, body: dict[str, Any]) -> None:
    for path in ("/train", "/login", "/me/password", "/users"):
        answer = ana.client.post(
            path,
            content=json.dumps(body).encode("utf-8", "surrogatepass"),
            headers=ana.bearer | {"Content-Type": "application/json"},
        )
        assert answer.status_code < 500, (path, answer.text)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=64))
def test_g30_no_bytes_give_a_5xx(service: Service, ana: Person, raw: bytes) -> None:
    answer = ana.client.post("/train", content=raw, headers=ana.bearer | {"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) or raw.strip() == b"{}"
    quoted = "".join(f"%{byte:02x}" for byte in raw)
    for path in (
        f"/task/{quoted}x",
        f"/experiments?owner=me&name={quoted}",
        f"/audit/logs?{quoted}",
        f"/tasks?after={quoted}",
    ):
        assert ana.get(path).status_code < 500, path


def test_g30_every_answer_is_one_that_openapi_names(service: Service, ana: Person, admin: Person) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]

    for method, template in (one for one in every_route() if one[0] != "HEAD"):  # as GET, and not told twice
        responses = paths[template.replace(":path}", "}")][method.lower()]["responses"]
        path = path_of(template)
        for person in (None, ana, admin):
            if template == "/logout" and person:
                continue
            headers = person.bearer if person else {}
            answer = service.client.request(method, path, headers=headers)
            assert str(answer.status_code) in responses, (method, path, answer.status_code)
            if answer.status_code >= 400 and path != "/ready":
                kind = "json" if path.startswith("/v1/") else "problem+json"  # as OpenAI words errors
                assert answer.headers["content-type"] == f"application/{kind}"
    assert paths["/train"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["lora"]


def test_importing_the_api_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, finetune30.api.app\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_second_cancel_of_a_running_task_is_no_further_event(service: Service, ana: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    service.services.jobs.store.claim(task, "w1")

    for _ in range(3):
        assert ana.post(f"/task/{task}/cancel").status_code == 202

    said = [one["message"] for one in ana.get(f"/task/{task}/events").json()["events"] if one["kind"] == "state"]
    assert said.count("is to be cancelled") == 1


def test_streams_asked_for_at_once_are_counted_before_the_first_begins(service: Service, ana: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    asked = (
        f"GET /task/{task}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {ana.token}\r\n\r\n"
    ).encode()
    with ExitStack() as open_:
        made = [open_.enter_context(socket.create_connection(("127.0.0.1", service.port), 30)) for _ in range(60)]
        for one in made:
            one.sendall(asked)
        said = Counter(one.recv(12) for one in made)
    assert said == {b"HTTP/1.1 200": 20, b"HTTP/1.1 429": 40}
    ana.post(f"/task/{task}/cancel")
    until = time.monotonic() + 30
    while ana.user.id in events._streams and time.monotonic() < until:
        time.sleep(0.05)
    assert ana.user.id not in events._streams


def test_a_stream_that_is_not_wanted_is_a_list(ana: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]

    for accept in ("text/event-stream;q=0", "application/json, text/event-stream; q=0.000", "text/event-stream-2"):
        answer = ana.get(f"/task/{task}/events", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"
