"""Who may do what: S21 to S32 of the security checklist, and default-deny (G25)."""

from __future__ import annotations

import re
import secrets
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from finetune30.api import rules
from finetune30.api.routes import all_routes
from finetune30.experiments import Status
from tests.api.service import Person, Service, refused

ID = "nobody_20260101_000000"
ADMINS = ("/audit/logs", "/users", "/experiments", "/experiments/stats", "/metrics", "/workers")


def every_route() -> list[tuple[str, str]]:
    """Method and path of all routes."""
    found = [route for route in all_routes() if isinstance(route, APIRoute)]
    return [(method, route.path) for route in found for method in sorted(route.methods or ())]


def path_of(template: str) -> str:
    """With ids that fit, whatever new routes call them."""
    return re.sub(
        r"\{[^}]*\}", ID, template.replace("{user_id}", "u_0123456789abcdef").replace("{key_id}", "k_0123456789abcdef")
    )


def submitted(person: Person, **changes: Any) -> str:
    """The id of a new task."""
    answer = person.post("/train", {"experiment_name": "mine", **changes})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def test_s32_s01_g25_every_route_without_a_token_is_401_but_for_the_public_ones(service: Service) -> None:
    assert set(rules.PUBLIC) == {"/health", "/ready", "/login", "/token/refresh"}
    asked = []
    for method, template in every_route():
        answer = service.client.request(method, path_of(template))
        if template in rules.PUBLIC:
            assert answer.status_code != 403
        else:
            refused(answer, 401, "token_refused")
            asked.append(template)
    open_to_all = [one for one in every_route() if one[1] in rules.PUBLIC]
    heads = [("HEAD", "/health"), ("HEAD", "/ready")]
    assert len(open_to_all) == 4 + len(heads)  # each of them in one way only, but for these
    assert set(heads) < set(open_to_all)
    assert len(asked) == len(every_route()) - len(open_to_all)


def test_g25_a_route_without_a_rule_fails_the_start() -> None:
    router = APIRouter()
    router.add_api_route("/forgotten", lambda: "open to everybody", methods=["GET"])

    with pytest.raises(rules.UnruledRouteError, match="/forgotten"):
        rules.enforce(router.routes, docs=True)


def test_g25_what_is_not_one_of_our_routes_fails_the_start() -> None:
    router = APIRouter()
    router.add_route("/files", lambda request: None)

    with pytest.raises(rules.UnruledRouteError, match="/files"):
        rules.enforce(router.routes, docs=True)


@pytest.mark.parametrize(
    "header", ["Basic {}", "Token {}", "Bearer", "Bearer {} more", "{}", "Bearer  {}", "Bearer {}é"]
)
def test_s02_s03_other_schemes_and_malformed_headers_are_401(service: Service, ana: Person, header: str) -> None:
    value = header.format(ana.token).encode("latin-1")

    refused(service.client.get("/me", headers={"Authorization": value}), 401)


def test_s02_the_scheme_may_be_written_in_any_case(service: Service, ana: Person) -> None:
    assert service.client.get("/me", headers={"Authorization": f"bearer {ana.token}"}).status_code == 200


def test_s03_two_headers_are_401(service: Service, ana: Person) -> None:
    pair = [("Authorization", f"Bearer {ana.token}"), ("Authorization", f"Bearer {ana.token}")]

    refused(service.client.get("/me", headers=pair), 401)


def test_s03_a_scheme_without_a_token_is_401(service: Service) -> None:
    answer = service.raw(b"GET /me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 401")


def test_s16_a_token_of_more_than_4_kib_is_401(service: Service) -> None:
    refused(service.client.get("/me", headers={"Authorization": "Bearer " + "a" * 5000}), 401)


def test_s21_a_token_anywhere_but_in_its_header_is_401(service: Service, ana: Person) -> None:
    client = service.client

    refused(client.get("/me", params={"access_token": ana.token}), 401)
    refused(client.get("/me", headers={"Cookie": f"access_token={ana.token}; token={ana.token}"}), 401)
    refused(client.post("/logout", data={"access_token": ana.token}), 401)


@pytest.mark.parametrize("host", ["x/health?", "x/health#", "127.0.0.1/health?", "localhost@evil.tld", "", "a b"])
def test_s22_a_host_that_is_a_path_is_400(service: Service, host: str) -> None:
    answer = service.raw(f"GET /audit/logs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "path", ["//audit/logs", "/audit/logs/", "/%61udit/logs", "/AUDIT/logs", "/audit//logs", "/audit/logs;x", "/./me"]
)
def test_s23_other_spellings_of_a_path_open_nothing(service: Service, ana: Person, path: str) -> None:
    target = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    anonymous = service.raw(f"{target}\r\n".encode())
    as_user = service.raw(f"{target}Authorization: Bearer {ana.token}\r\n\r\n".encode())

    assert anonymous.split()[1] in (b"401", b"404", b"400")
    assert as_user.split()[1] in (b"403", b"404", b"400")


def test_s23_headers_that_rename_path_or_method_are_not_believed(service: Service, ana: Person) -> None:
    renamed = {"X-Original-URL": "/health", "X-Rewrite-URL": "/health", "X-HTTP-Method-Override": "GET"}

    refused(service.client.get("/audit/logs", headers=renamed), 401)
    assert ana.get("/health", headers={"X-Original-URL": "/audit/logs"}).json() == {"status": "ok"}


@pytest.mark.parametrize("target", ["@google.com", "http://evil.tld/health", "*", "health"])
def test_s24_a_target_that_is_no_path_is_refused(service: Service, target: str) -> None:
    answer = service.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert answer.split()[1] in (b"400", b"404")


@pytest.mark.parametrize("path", ADMINS)
def test_s25_a_user_gets_403_where_only_admins_go_and_it_is_noted(
    service: Service, ana: Person, admin: Person, path: str
) -> None:
    refused(ana.get(path), 403, "forbidden")

    (row,) = service.audit(user_id=ana.user.id)
    assert (row.outcome, row.actor_name, row.role) == ("denied", ana.name, "user")
    assert admin.get(path).status_code == 200


@pytest.mark.parametrize("tail", ["", "/logs", "/events"])
def test_s26_another_users_task_is_403_with_the_same_words(ana: Person, bo: Person, tail: str) -> None:
    first, second = submitted(ana), submitted(ana)
    answers = [bo.get(f"/task/{one}{tail}") for one in (first, second)]

    problems = [refused(answer, 403, "forbidden") for answer in answers]
    for problem in problems:
        del problem["request_id"]
    assert problems[0] == problems[1]
    assert ana.name not in answers[0].text
    refused(bo.get(f"/experiments/{first}"), 403)


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry"])
def test_s27_what_is_another_users_stays_as_it_is(service: Service, ana: Person, bo: Person, verb: str) -> None:
    mine = submitted(ana)
    before = service.services.jobs.store.get(mine)

    refused(bo.post(f"/task/{mine}/{verb}"), 403)
    refused(bo.delete(f"/experiments/{mine}"), 403)

    assert service.services.jobs.store.get(mine) == before


def test_s28_lists_hold_ones_own_things_only(ana: Person, bo: Person, admin: Person) -> None:
    mine, theirs = submitted(ana), submitted(bo)

    refused(ana.get("/experiments"), 403)
    refused(ana.get("/experiments/stats"), 403)
    refused(ana.get("/experiments", params={"owner": bo.name}), 403)
    refused(ana.get("/experiments/stats", params={"owner": bo.name}), 403)
    refused(ana.get("/tasks", params={"owner": bo.name}), 403)
    assert [one["id"] for one in ana.get("/experiments?owner=me").json()["experiments"]] == [mine]
    assert [one["task_id"] for one in ana.get("/tasks").json()["tasks"]] == [mine]
    assert ana.get("/experiments/stats?owner=me").json()["total"] == 1
    refused(ana.get("/experiments", params={"owner": "me", "after": theirs}), 404)
    everything = {one["id"] for one in admin.get("/experiments?limit=1000").json()["experiments"]}
    assert {mine, theirs} <= everything
    assert [one["id"] for one in admin.get(f"/experiments?owner={bo.name}").json()["experiments"]] == [theirs]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (ID, 404),
        ("abc", 404),
        ("1%20OR%201=1", 422),
        ("A", 422),
        ("..", 404),
        ("..%2fx", 404),
        ("%00", 422),
        ("a" * 81, 422),
        ("%F0%9F%98%80", 422),
        ("a%0a", 422),
    ],
)
def test_s29_an_id_that_is_unknown_or_none_is_never_pending(ana: Person, given: str, status: int) -> None:
    for path in (f"/task/{given}", f"/experiments/{given}", f"/task/{given}/events"):
        answer = ana.get(path)
        assert answer.status_code in {status, 404 if given == ".." else status}, path
        assert given == "abc" or "PENDING" not in answer.text


def test_s29_an_id_of_a_megabyte_is_refused(service: Service) -> None:
    answer = service.raw(b"GET /task/" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert not answer or answer.split()[1] in (b"400", b"414", b"422", b"431")


@pytest.mark.parametrize("field", ["owner", "user_id", "role", "status", "attempt", "results_dir", "id", "_notes"])
def test_s30_fields_that_are_not_asked_for_are_422(service: Service, ana: Person, field: str) -> None:
    before = service.count()

    problem = refused(ana.post("/train", {field: "x"}), 422, "config_invalid")
    refused(ana.post("/train", {"training": {field: "x"}}), 422, "config_invalid")

    assert problem["where"] == f"body.{field}"
    assert service.count() == before


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "DELETE", "HEAD", "CONNECT"])
def test_s31_a_wrong_method_is_405_and_says_the_right_ones(service: Service, method: str) -> None:
    answer = service.client.request(method, "/train")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_the_owner_reaches_a_task_and_an_admin_reaches_all(ana: Person, admin: Person) -> None:
    mine = submitted(ana)

    for person in (ana, admin):
        assert person.get(f"/task/{mine}").json()["owner"] == ana.name
        assert person.get(f"/experiments/{mine}").json()["id"] == mine


def test_users_are_made_shut_out_and_let_in_by_admins(service: Service, admin: Person) -> None:
    name = f"new-{secrets.token_hex(4)}"
    made = admin.post("/users", {"name": name, "password": "eight words are better than four"})
    assert made.status_code == 201
    user_id = made.json()["user_id"]
    told = {"username": name, "password": "eight words are better than four"}
    token = service.client.post("/login", json=told).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert service.client.get("/me", headers=bearer).json()["name"] == name

    assert admin.post(f"/users/{user_id}/disable").json()["disabled"] is True
    refused(service.client.get("/me", headers=bearer), 401)
    refused(service.client.post("/login", json=told), 401, "token_refused")
    assert admin.post(f"/users/{user_id}/enable").json()["disabled"] is False
    assert service.client.post("/login", json=told).status_code == 200
    assert admin.post(f"/users/{user_id}/role", {"role": "admin"}).json()["role"] == "admin"
    assert admin.post(f"/users/{user_id}/password", {"password": "yet another four words"}).status_code == 200
    refused(service.client.post("/login", json=told), 401)
    refused(admin.post("/users", {"name": name, "password": "eight words are better than four"}), 409)
    refused(admin.post("/users", {"name": "Not A Name", "password": "eight words are better than four"}), 422)
    refused(admin.post("/users", {"name": "short", "password": "short"}), 422, "request_invalid")
    refused(admin.get("/users/u_0000000000000000"), 404)
    assert Status.PENDING.value not in admin.get(f"/users/{user_id}").text
