"""Running it: S109 to S115 of the security checklist, limits, throttling, what it stands on."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from finetune30 import database
from finetune30.access import Role
from finetune30.api import watch
from finetune30.api.services import Services
from finetune30.web.gate import Gate
from finetune30.web.journal import JsonLines
from tests.api.conftest import DATABASES
from tests.api.service import PASSWORD, Person, Service, refused, serving
from tests.servers import PostgresServer, RedisServer

CANARY = "canary-8f3a-password-4711"


def values_of(url: str | None, **more: object) -> dict[str, object]:
    return {**({"DATABASE_URL": url} if url else {}), **more}


def failing(gate: Gate, _: Services) -> Any:
    """The app, whose /health meets a fault of ours after 'secrets' were at hand."""
    inside = gate._app

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/health":
            raise RuntimeError(f"{CANARY} in /var/lib/secret")
        await inside(scope, receive, send)

    gate._app = broken
    return gate


def test_s110_a_fault_of_ours_is_told_without_its_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(tmp_path, {}, failing) as service, caplog.at_level(logging.INFO, "finetune30.api"):
        answer = service.client.get("/health")

        problem = refused(answer, 500, "crashed")
        assert "canary" not in answer.text
        assert "Traceback" not in answer.text
        assert "secret" not in answer.text
        assert service.client.get("/ready").status_code == 200
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    line = JsonLines().format(record)
    assert json.loads(line)["request_id"] == problem["request_id"]
    assert json.loads(line)["fault"] == "RuntimeError"
    assert CANARY not in line


def test_s108_a_line_of_the_log_is_one_line_of_json(
    service: Service, ana: Person, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "finetune30.api"):
        ana.get("/task/a%0d%0ainjected%1b[31m?secret=4711")
        service.client.post("/login", json={"username": "x\r\ny\x1b[31m", "password": CANARY})

    lines = [JsonLines().format(record) for record in caplog.records if record.name == "finetune30.api"]
    assert len(lines) >= 2
    for line in lines:
        assert "\n" not in line
        assert "\x1b" not in line
        assert "4711" not in line
        json.loads(line)
    assert json.loads(lines[0])["user_id"] == ana.user.id


def test_s109_no_secret_in_answers_audit_or_records(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    client, admin = service.client, service.person(Role.ADMIN)
    answers: list[httpx.Response] = []
    with caplog.at_level(logging.DEBUG):
        name = "canary.user"
        if service.services.access.users.find(name) is None:
            service.services.access.users.add(name, Role.USER, CANARY)
        good = client.post("/login", json={"username": name, "password": CANARY})
        token, refresh = good.json()["token"], good.json()["refresh_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        answers += [
            client.post("/login", json={"username": name, "password": CANARY + "x"}),
            client.post("/login", json={"username": CANARY, "password": CANARY}),
            client.post("/login", json={"username": name, "password": [CANARY]}),
            client.post("/login", json={"username": {CANARY: CANARY}, "password": CANARY}),
            client.post(
                "/login",
                content=f'{{"username": "{name}", "password": "{CANARY}'.encode(),
                headers={"Content-Type": "application/json"},
            ),
            client.post("/login", json={"username": name, "passwort": CANARY, "password": CANARY}),
            client.post("/login", data={"username": name, "password": CANARY}),
            client.post("/token/refresh", json={"refresh_token": CANARY}),
            client.post("/me/password", json={"current_password": CANARY, "new_password": "short"}, headers=bearer),
            client.post(
                "/me/password", json={"current_password": CANARY + "x", "new_password": CANARY}, headers=bearer
            ),
            client.post("/train", json={"training": {"learning_rate": CANARY}}, headers=bearer),
            client.post(f"/train?queue={CANARY}", json={}, headers=bearer),
            client.post("/train", json={}, headers=bearer | {"Idempotency-Key": CANARY * 20}),
            client.get(f"/experiments?owner=me&sort_by={CANARY}", headers=bearer),
            client.get("/me", headers={"Authorization": f"Bearer {CANARY}"}),
            admin.post("/users", {"name": name, "password": CANARY}),
            admin.post("/users", {"name": "X Y", "password": CANARY}),
            admin.get("/audit/logs?limit=1000"),
            admin.get("/users"),
            admin.get("/metrics"),
        ]
    for place, answer in enumerate(answers):
        assert answer.status_code < 500
        for secret in (CANARY, token, refresh):
            assert secret not in answer.text, (place, answer.request.url)
    said = "\n".join([JsonLines().format(one) for one in caplog.records if one.name.startswith("finetune30")])
    rows = "\n".join(map(str, service.audit(limit=1000)))
    for secret in (CANARY, token, refresh, PASSWORD):
        assert secret not in said
        assert secret not in rows


@pytest.mark.parametrize("kind", DATABASES)
def test_s112_g27_a_change_that_cannot_be_noted_is_not_made(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_server").database("s112") if kind == "postgresql" else None
    with serving(tmp_path, values_of(url)) as service:
        ana, admin = service.person(), service.person(Role.ADMIN)
        task, ended = (ana.post("/train", {}).json()["task_id"] for _ in "ab")
        assert ana.post(f"/task/{ended}/cancel").json()["status"] == "REVOKED"
        with database.write(service.services.engine) as connection:
            connection.execute(text("ALTER TABLE audit RENAME TO audit_away"))
        before = service.services.jobs.store.get(task)

        refused(ana.post("/train", {}), 503)
        refused(ana.post(f"/task/{task}/cancel"), 503)
        refused(ana.delete(f"/experiments/{ended}"), 503)
        refused(admin.post("/users", {"name": "new", "password": PASSWORD}), 503)
        refused(service.client.post("/login", json={"username": ana.name, "password": PASSWORD}), 503)
        refused(service.client.post("/token/refresh", json={"refresh_token": ana.refresh_token}), 503)

        assert service.count() == 2
        assert service.services.jobs.store.get(task) == before
        assert service.services.access.users.find("new") is None
        with database.write(service.services.engine) as connection:
            connection.execute(text("ALTER TABLE audit_away RENAME TO audit"))
        assert ana.post(f"/task/{task}/cancel").status_code == 202
        refreshed = service.client.post("/token/refresh", json={"refresh_token": ana.refresh_token})
        assert refreshed.status_code == 200  # it was not used up
        assert service.services.access.audit.verify().ok


def test_s114_the_request_after_the_limit_is_429(tmp_path: Path) -> None:
    with serving(tmp_path, {"READS_PER_MINUTE": 40, "WRITES_PER_MINUTE": 20}) as service:
        ana, bo = service.person(), service.person()
        answers = [ana.post("/train", {}).status_code for _ in range(21)]
        assert answers == [202] * 20 + [429]
        refused(ana.post("/train", {}), 429, "too_many_requests")
        assert service.count() == 20
        assert ana.get("/me").status_code == 200  # reads are counted by themselves
        refused(bo.post("/train", {}), 429)  # the same address
        for _ in range(60):
            assert service.client.get("/health").status_code == 200


def test_s114_a_users_limit_holds_over_all_addresses(tmp_path: Path) -> None:
    from finetune30.settings import Settings
    from finetune30.web.rates import Rates

    async def asked() -> list[bool]:
        rates = Rates(Settings(_env_file=None, writes_per_minute=3))
        passed = []
        for who in ("ana", "ana", "ana", "ana", "bo"):
            try:
                await rates.check("user", who, "POST")
                passed.append(True)
            except Exception:  # noqa: BLE001
                passed.append(False)
        return passed

    import asyncio

    assert asyncio.run(asked()) == [True, True, True, False, True]


def test_s114_two_processes_count_together_and_alone_when_redis_is_down(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.flush()
    values = {"BROKER_URL": redis_server.url, "WRITES_PER_MINUTE": 10, "LOGIN_FAILURES": 3}
    try:
        with serving(tmp_path, values) as one, serving(tmp_path, values) as other:
            wrong = {"username": "nobody", "password": PASSWORD}
            answers = [(one, other)[turn % 2].client.post("/login", json=wrong).status_code for turn in range(12)]
            assert answers[:3] == [401] * 3
            assert set(answers[3:]) == {429}
            redis_server.kill()
            alone = [one.client.post("/login", json={"username": "x", "password": PASSWORD}) for _ in range(12)]
            assert alone[0].status_code == 401
            assert alone[-1].status_code == 429  # never open
            told = {"status": "degraded", "database": "ok", "broker": "down", "disk": "ok"}
            assert one.client.get("/ready").json() == told
    finally:
        redis_server.restart()


def test_s34_after_ten_wrong_passwords_even_the_right_one_waits(service: Service) -> None:
    ana, bo = service.person(), service.person()
    wrong = {"username": ana.name, "password": "not the right words"}
    right = {"username": ana.name, "password": PASSWORD}

    answers = [service.client.post("/login", json=wrong).status_code for _ in range(10)]

    assert answers == [401] * 10
    for _ in range(3):  # each doubles the wait: 1, 2, 4 s
        answer = service.client.post("/login", json=right)
        if answer.status_code == 429:
            break
        service.client.post("/login", json=wrong)
    refused(answer, 429, "too_many_requests")
    assert service.client.post("/login", json={"username": bo.name, "password": PASSWORD}).status_code == 200
    rows = [row for row in service.audit(user_id=ana.user.id, action="login") if row.outcome == "denied"]
    assert len(rows) >= 10


def test_s35_one_password_for_many_names_is_stopped_by_address(tmp_path: Path) -> None:
    with serving(tmp_path, {"LOGIN_FAILURES": 2}) as service:
        answers = [
            service.client.post("/login", json={"username": f"user{number}", "password": PASSWORD}).status_code
            for number in range(14)
        ]
    assert answers[:10] == [401] * 10
    assert 429 in answers[10:]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"])
def test_s36_an_address_that_is_only_said_is_not_believed(tmp_path: Path, header: str) -> None:
    with serving(tmp_path, {"WRITES_PER_MINUTE": 5}) as service:
        told = [{header: f"10.0.0.{number}"} for number in range(7)]
        answers = [service.client.post("/login", json={}, headers=one).status_code for one in told]
    assert answers == [422] * 5 + [429] * 2


@pytest.mark.parametrize(
    "body",
    [
        {"username": {"$ne": ""}, "password": CANARY},
        {"username": ["a"], "password": CANARY},
        {"username": 1, "password": CANARY},
        {"password": CANARY},
        {"username": "a"},
        {"username": "a", "password": 1},
        {"username": "a", "password": CANARY * 100},
    ],
)
def test_s40_s37_a_login_that_is_none_is_422_without_the_password(service: Service, body: dict[str, object]) -> None:
    answer = service.client.post("/login", json=body)

    refused(answer, 422)
    assert CANARY not in answer.text


def test_s33_wrong_unknown_and_disabled_answer_alike(service: Service) -> None:
    known, disabled = service.person(), service.person()
    service.services.access.users.disable(disabled.user.id)

    answers = [
        service.client.post("/login", json={"username": name, "password": word})
        for name, word in ((known.name, "not the right words"), ("no-such-user", PASSWORD), (disabled.name, PASSWORD))
    ]

    problems = [refused(answer, 401) for answer in answers]
    for problem in problems:
        del problem["request_id"]
    assert problems[0] == problems[1] == problems[2]
    heads = [{key for key in answer.headers if key not in ("date", "x-request-id")} for answer in answers]
    assert heads[0] == heads[1] == heads[2]
    assert len({len(answer.content) for answer in answers}) == 1


def test_s38_a_flood_of_logins_leaves_health_answering(service: Service, ana: Person) -> None:
    told = {"username": ana.name, "password": PASSWORD}
    answers: list[int] = []
    barrier = threading.Barrier(40)

    def log_in() -> None:
        barrier.wait()
        with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client:
            answers.append(client.post("/login", json=told).status_code)

    threads = [threading.Thread(target=log_in) for _ in range(40)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert service.client.get("/health").status_code == 200
    assert set(answers) <= {200, 429, 503}
    assert 200 in answers


def test_s19_s44_logout_and_a_new_password_end_sessions(service: Service, ana: Person) -> None:
    assert ana.post("/logout").status_code == 204
    refused(ana.get("/me"), 401)
    refused(ana.post("/logout"), 401)
    refused(service.client.post("/token/refresh", json={"refresh_token": ana.refresh_token}), 401)

    bo = service.person()
    refused(bo.post("/me/password", {"current_password": "wrong words here", "new_password": PASSWORD + "!"}), 403)
    changed = bo.post("/me/password", {"current_password": PASSWORD, "new_password": PASSWORD + "!"})
    assert changed.status_code == 204
    refused(bo.get("/me"), 401)
    refused(service.client.post("/login", json={"username": bo.name, "password": PASSWORD}), 401)
    assert service.client.post("/login", json={"username": bo.name, "password": PASSWORD + "!"}).status_code == 200


def test_s12_s41_s43_refresh_tokens(service: Service, ana: Person) -> None:
    client = service.client
    first = client.post("/token/refresh", json={"refresh_token": ana.refresh_token})
    assert set(first.json()) == {"token", "token_type", "expires_in", "refresh_token", "user_id", "role"}
    assert first.json()["expires_in"] == 1800
    again = client.post("/token/refresh", json={"refresh_token": ana.refresh_token})
    assert again.json()["refresh_token"] == first.json()["refresh_token"]  # its answer may have been lost
    client.post("/token/refresh", json={"refresh_token": first.json()["refresh_token"]})

    refused(client.post("/token/refresh", json={"refresh_token": ana.refresh_token}), 401)  # a replay

    refused(client.get("/me", headers={"Authorization": f"Bearer {first.json()['token']}"}), 401)
    refused(client.get("/me", headers={"Authorization": f"Bearer {first.json()['refresh_token']}"}), 401)
    refused(client.post("/token/refresh", json={"refresh_token": first.json()["token"]}), 401)
    refused(client.post("/token/refresh", json={"refresh_token": "x" * 43}), 401)
    outcomes = [row.outcome for row in service.audit(user_id=ana.user.id, action="token.refresh")]
    assert outcomes == ["denied", "ok", "ok", "ok"]


def test_s115_health_ready_and_metrics_tell_nothing_of_anybody(service: Service, ana: Person, admin: Person) -> None:
    ana.post("/train", {})
    texts = [service.client.get("/health").text, service.client.get("/ready").text, admin.get("/metrics").text]

    for said in texts:
        for secret in (ana.name, admin.name, ana.user.id, str(service.home), "postgresql://"):
            assert secret not in said
    assert 'finetune30_experiments{status="PENDING"}' in texts[2]
    assert 'route="/train"' in texts[2]
    refused(service.client.get("/metrics"), 401)
    refused(ana.get("/metrics"), 403)


def test_s115_a_monitor_reads_with_a_token_of_its_own(tmp_path: Path) -> None:
    with serving(tmp_path, {"METRICS_TOKEN": "sixteen-or-more-characters"}) as service:
        assert (
            service.client.get("/metrics", headers={"Authorization": "Bearer sixteen-or-more-characters"}).status_code
            == 200
        )
        refused(service.client.get("/me", headers={"Authorization": "Bearer sixteen-or-more-characters"}), 401)
        refused(service.client.get("/metrics", headers={"Authorization": "Bearer sixteen-or-more-character"}), 401)


def test_g18_without_its_database_it_answers_503_and_recovers(tmp_path: Path, own_postgres: PostgresServer) -> None:
    with serving(tmp_path, {"DATABASE_URL": own_postgres.database("g18")}) as service:
        ana = service.person()
        own_postgres.kill()
        try:
            refused(ana.get("/me"), 503)
            refused(ana.post("/train", {}), 503)
            answer = service.client.get("/ready")
            assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
            assert service.client.get("/health").status_code == 200
        finally:
            own_postgres.start()
        assert ana.post("/train", {}).status_code == 202


@pytest.fixture
def own_postgres() -> Any:
    """A PostgreSQL of this test's own, to be killed."""
    server = PostgresServer()
    yield server
    server.remove()


def test_head_of_health_and_ready_answers_as_get_without_a_body(service: Service) -> None:
    for path in ("/health", "/ready"):
        head, get = service.client.head(path), service.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers["content-length"] == str(len(get.content))


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path, {}) as service:
        assert service.client.get("/ready").json() == {
            "status": "ready", "database": "ok", "broker": "none", "disk": "ok"
        }  # fmt: skip
        monkeypatch.setattr(watch, "_ROOM", 1 << 60)
        monkeypatch.setattr(watch, "_FRESH_S", -1.0)
        answer = service.client.get("/ready")
        assert answer.status_code == 200
        assert answer.json() == {"status": "degraded", "database": "ok", "broker": "none", "disk": "full"}


def test_nobody_is_called_me(service: Service, admin: Person) -> None:
    refused(admin.post("/users", {"name": "me", "password": PASSWORD}), 422, "user_invalid")
    assert service.services.access.users.find("me") is None
