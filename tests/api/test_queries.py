"""Parameters of queries: S80 to S86 of the security checklist, and the filters of the specification."""

from __future__ import annotations

import urllib.parse

import pytest

from finetune30.access import Role
from finetune30.experiments import Status
from tests.api.service import Person, Service, refused

NAMES = ["Alpha run", "beta 100", "gamma_1", "Gamma-2"]


@pytest.fixture(scope="module")
def owner(service: Service) -> Person:
    """A user with four experiments of known names, accuracies and runtimes."""
    person = service.person()
    for place, name in enumerate(NAMES):
        made = person.post("/train", {"experiment_name": name}).json()["task_id"]
        if place < 3:
            figures = {"train": {"runtime_s": 10.0 * (place + 1)}, "eval": {"accuracy": (0.7, 0.8, 0.9)[place]}}
            service.ended(made, Status.SUCCESS, **figures)
    return person


def names(person: Person, query: str) -> list[str]:
    answer = person.get(f"/experiments?owner=me&{query}")
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["experiments"]]


def test_the_filters_of_the_specification(owner: Person) -> None:
    assert names(owner, "") == NAMES[::-1]
    assert names(owner, "name=GAMMA") == ["Gamma-2", "gamma_1"]
    assert names(owner, "min_accuracy=0.8&sort_by=eval_accuracy&desc=true") == ["gamma_1", "beta 100"]
    assert names(owner, "max_runtime=20&sort_by=train_runtime&desc=false") == ["Alpha run", "beta 100"]
    assert names(owner, "sort_by=name&desc=false") == ["Alpha run", "beta 100", "Gamma-2", "gamma_1"]
    assert names(owner, "sort_by=eval_accuracy")[-1] == "Gamma-2"  # it has none
    assert names(owner, "status=PENDING") == ["Gamma-2"]
    assert names(owner, "limit=2") == NAMES[:1:-1]
    assert names(owner, "start_date=2020-01-01&end_date=2999-12-31") == NAMES[::-1]
    assert names(owner, "end_date=2020-01-01") == []


@pytest.mark.parametrize("sort", ["created_at", "name", "train_runtime", "eval_accuracy"])
@pytest.mark.parametrize("desc", ["true", "false"])
def test_pages_follow_each_other_without_gap_or_repetition(owner: Person, sort: str, desc: str) -> None:
    query = f"sort_by={sort}&desc={desc}"
    found: list[str] = []
    after = ""
    for _ in NAMES:
        page = owner.get(f"/experiments?owner=me&limit=1&{query}{after}").json()
        found += [one["name"] for one in page["experiments"]]
        assert page["has_more"] == (len(found) < len(NAMES))
        after = f"&after={page['next']}"

    assert found == names(owner, query)


def test_statistics_tell_of_all_that_is_ones_own(owner: Person) -> None:
    found = owner.get("/experiments/stats?owner=me").json()

    assert found["total"] == 4
    assert found["by_status"] == {"PENDING": 1, "STARTED": 0, "SUCCESS": 3, "FAILURE": 0, "REVOKED": 0}
    assert found["eval_accuracy"] == pytest.approx({"mean": 0.8, "min": 0.7, "max": 0.9})
    assert found["train_runtime"] == {"mean": 20.0, "min": 10.0, "max": 30.0, "total": 60.0}
    assert found["by_base_model"][0]["count"] == 4


@pytest.mark.parametrize(
    "value",
    [
        "created_at;DROP TABLE x",
        "password_hash",
        "1",
        "(select 1)",
        "%00",
        "owner",
        "",
        "CREATED_AT",
        "created_at,name",
    ],
)
def test_s80_s81_an_order_that_is_none_is_422(service: Service, owner: Person, value: str) -> None:
    refused(owner.get(f"/experiments?owner=me&sort_by={value}"), 422)
    refused(owner.get("/experiments?owner=me&desc=asc,(select%20pg_sleep(5))"), 422)

    assert service.count() >= 4


@pytest.mark.parametrize("path", ["/experiments?owner=me&", "/tasks?", "/audit/logs?"])
@pytest.mark.parametrize(
    "value", ["0", "-1", "1001", "1e9", "abc", "", "NaN", "１０", "1_0", "10.0", "%2010", "+5", "0x10", "9" * 30]
)
def test_s82_a_limit_is_a_whole_number_from_1_to_1000(admin: Person, path: str, value: str) -> None:
    assert refused(admin.get(f"{path}limit={value}"), 422)["where"] == "query.limit"


@pytest.mark.parametrize("path", ["/experiments?", "/tasks?", "/audit/logs?"])
@pytest.mark.parametrize("value", ["1", "1000"])
def test_s82_the_bounds_are_taken(admin: Person, path: str, value: str) -> None:
    assert admin.get(f"{path}limit={value}").status_code == 200


@pytest.mark.parametrize("value", ["-1", str(2**63), "1e3", "x", str(2**53 + 1)])
def test_s83_a_place_that_is_none_is_422(ana: Person, admin: Person, value: str) -> None:
    task = ana.post("/train", {}).json()["task_id"]

    refused(ana.get(f"/task/{task}/events?after={value}"), 422)
    refused(admin.get(f"/audit/logs?before={value}"), 422)


def test_s83_a_place_beyond_everything_is_empty(ana: Person, admin: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]

    assert ana.get(f"/task/{task}/events?after={2**53}").json()["events"] == []
    assert admin.get(f"/audit/logs?before={2**53}").status_code == 200
    assert admin.get("/audit/logs?before=0").json() == {"logs": [], "has_more": False, "next": None}


@pytest.mark.parametrize(
    "value",
    [
        "2026-13-01",
        "2026-02-30",
        "yesterday",
        "9999999999999999",
        "10000-01-01",
        "2026-01-01T24:00",
        "2026-01-01T12:00:00+99:00",
        "２０２６-01-01",
        "2026-1-1",
        "",
        "%00",
        "NaN",
        "2026-W01-1",
    ],
)
def test_s84_a_moment_that_is_none_is_422(ana: Person, value: str) -> None:
    refused(ana.get(f"/experiments?owner=me&start_date={value}"), 422)
    refused(ana.get(f"/experiments?owner=me&end_date={value}"), 422)


@pytest.mark.parametrize(
    "value", ["2026-01-01", "2026-01-01T12:00", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00%2B08:00", "0001-01-01"]
)
def test_s84_moments_with_and_without_a_zone_are_taken(ana: Person, value: str) -> None:
    assert ana.get(f"/experiments?owner=me&start_date={value}").status_code == 200


@pytest.mark.parametrize("value", ["NaN", "inf", "-1", "1e99", "x", "９", str(10**13), ""])
def test_s84_a_timestamp_that_is_none_is_422(admin: Person, value: str) -> None:
    refused(admin.get(f"/audit/logs?start_time={value}"), 422)
    refused(admin.get(f"/audit/logs?end_time={value}"), 422)


def test_s84_a_span_that_ends_before_it_begins_is_422(admin: Person) -> None:
    refused(admin.get("/experiments?start_date=2026-02-01&end_date=2026-01-01"), 422)
    refused(admin.get("/audit/logs?start_time=2&end_time=1"), 422)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-0.1", "1.1", "abc", "1e999", "0,5", "٠", ""])
def test_s82_an_accuracy_is_a_number_from_0_to_1(ana: Person, value: str) -> None:
    refused(ana.get(f"/experiments?owner=me&min_accuracy={value}"), 422)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("%", []),
        ("_", ["gamma_1"]),
        ("'", []),
        ("\\", []),
        ("' OR 1=1 --", []),
        ("😀", []),
        ("\u00e9", []),
        ("e\u0301", []),
        ("a_1", ["gamma_1"]),
        ("ALPHA", ["Alpha run"]),
        ("ａｌｐｈａ", ["Alpha run"]),
    ],
)
def test_s85_a_search_is_taken_literally(owner: Person, text: str, found: list[str]) -> None:
    assert names(owner, f"name={urllib.parse.quote(text)}") == found


@pytest.mark.parametrize("text", ["%00", "a%00b", "%ED%A0%80", "%FF", ""])
def test_s85_what_no_text_is_is_422(owner: Person, text: str) -> None:
    refused(owner.get(f"/experiments?owner=me&name={text}"), 422)


@pytest.mark.parametrize(
    "query", ["limit=1&limit=2", "nmae=x", "limit=1&Limit=2", "name[]=x", "offset=1", "=", "name=a&name=a"]
)
def test_s86_a_parameter_twice_or_unknown_is_422(owner: Person, query: str) -> None:
    refused(owner.get(f"/experiments?owner=me&{query}"), 422)


@pytest.mark.parametrize(
    "path", ["/me", "/tasks", "/users", "/config/schema", "/config/defaults", "/audit/logs", "/health"]
)
def test_s86_on_every_route(admin: Person, path: str) -> None:
    refused(admin.get(f"{path}?unknown=1"), 422)


def test_s86_who_may_not_hears_that_first(ana: Person, service: Service) -> None:
    refused(service.client.get("/audit/logs?unknown=1"), 401)
    refused(ana.get("/audit/logs?unknown=1&limit=abc"), 403)


def test_the_filters_of_the_audit_log(service: Service, ana: Person, admin: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    ana.post(f"/task/{task}/cancel")

    rows = admin.get(f"/audit/logs?user_id={ana.user.id}&role=user").json()["logs"]

    assert [(row["action"], row["target"], row["outcome"]) for row in rows] == [
        ("task.cancel", task, "ok"),
        ("task.submit", task, "ok"),
    ]
    assert rows[0]["user_name"] == ana.name
    moment = rows[0]["at"]
    assert admin.get(f"/audit/logs?user_id={ana.user.id}&start_time={moment + 1}").json()["logs"] == []
    assert admin.get(f"/audit/logs?user_id={ana.user.id}&end_time={moment - 100}").json()["logs"] == []
    assert len(admin.get(f"/audit/logs?user_id={ana.user.id}&limit=1").json()["logs"]) == 1
    assert admin.get(f"/audit/logs?user_id={ana.user.id}&role=admin").json()["logs"] == []
    assert len(admin.get(f"/audit/logs?user_id={ana.user.id}&action=task.cancel").json()["logs"]) == 1
    refused(admin.get("/audit/logs?role=root"), 422)
    refused(admin.get("/audit/logs?user_id=ana"), 422)
    assert all(row["role"] in ("admin", "user", "") for row in admin.get("/audit/logs?limit=1000").json()["logs"])


def test_pages_of_the_audit_log(service: Service, admin: Person) -> None:
    service.person(Role.USER).post("/train", {})
    first = admin.get("/audit/logs?limit=1").json()

    second = admin.get(f"/audit/logs?limit=1&before={first['next']}").json()

    assert second["logs"][0]["seq"] == first["logs"][0]["seq"] - 1
