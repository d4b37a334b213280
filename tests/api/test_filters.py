"""``q=`` on lists of experiments and tasks: S80 to S86 of the security checklist, and that it opens nothing else."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from finetune30.experiments import Status
from tests.api.service import Person, Service, refused

NAMES = ["Alpha run", "beta 100", "gamma_1", "Gamma-2"]


@pytest.fixture(scope="module")
def owner(service: Service) -> Person:
    """A user with four experiments of known names, accuracies and runtimes."""
    person = service.person()
    for place, name in enumerate(NAMES):
        answer = person.post("/train", {"experiment_name": name, "seed": place})
        assert answer.status_code == 202, answer.text
        made = answer.json()["task_id"]
        if place < 3:
            figures = {"train": {"runtime_s": 10.0 * (place + 1)}, "eval": {"accuracy": (0.7, 0.8, 0.9)[place]}}
            service.ended(made, Status.SUCCESS, **figures)
    return person


def found(person: Person, words: str, path: str = "/experiments?owner=me&") -> list[str]:
    answer = person.get(f"{path}q={quote(words)}")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [one["name"] for one in body.get("experiments") or body.get("tasks") or []]


def test_or_not_and_brackets(owner: Person) -> None:
    for path in ("/experiments?owner=me&", "/tasks?"):
        assert found(owner, "accuracy >= 0.8 OR status = pending", path) == ["Gamma-2", "gamma_1", "beta 100"]
        assert found(owner, "NOT (accuracy >= 0.8)", path) == ["Gamma-2", "Alpha run"]
        assert found(owner, 'name ~ "GAMMA" AND NOT runtime < 600', path) == ["Gamma-2"]
        assert found(owner, "config.seed = 1", path) == ["beta 100"]
        assert found(owner, "metrics.eval.accuracy > 0.85", path) == ["gamma_1"]
        assert found(owner, "created_at > 2999-01-01", path) == []
        assert found(owner, "finished_at IS NULL", path) == ["Gamma-2"]


def test_it_goes_with_the_other_filters_and_with_pages(owner: Person) -> None:
    words = quote("accuracy > 0")
    first = owner.get(f"/experiments?owner=me&sort_by=eval_accuracy&limit=2&q={words}").json()
    rest = owner.get(f"/experiments?owner=me&sort_by=eval_accuracy&limit=2&q={words}&after={first['next']}").json()

    assert [one["name"] for one in first["experiments"] + rest["experiments"]] == NAMES[2::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)


def test_s16_it_never_shows_what_is_anothers(owner: Person, ana: Person, service: Service) -> None:
    mine = ana.post("/train", {"experiment_name": "of ana"}).json()["task_id"]
    for words in (
        f"owner = {owner.name}",
        f"owner = {owner.name} OR owner = {ana.name}",
        "NOT owner = x",
        "attempt >= 0",
    ):
        for path in ("/experiments?owner=me&", "/tasks?"):
            assert set(found(ana, words, path)) <= {"of ana"}
    refused(ana.get("/experiments?q=attempt%3D0"), 403)
    refused(service.client.get(f"/tasks?q=id%3D{mine}"), 401)


@pytest.mark.parametrize("path", ["/experiments?owner=me&", "/tasks?"])
@pytest.mark.parametrize(
    "words",
    [
        "created_at;DROP TABLE x",
        "password_hash = 1",
        "name_key = 1",
        "1 = 1",
        "(select 1)",
        "accuracy > (select pg_sleep(5))",
        "name = 'x' -- y",
        "owner = a UNION SELECT * FROM users",
        "config.lora.r' = 1",
        "accuracy > NaN",
        "accuracy > Infinity",
        "accuracy > 1e999",
        "accuracy > ９",
        "attempt = 99999999999999999999",
        "created_at > 2026-13-01",
        "created_at > 10000-01-01",
        "created_at > 2026-01-01T24:00",
        "name = '",
        "",
        "%",
        "NOT " * 300,
        "(" * 1000,
        "a" * 1001,
        " OR ".join(["attempt=1"] * 60),
    ],
)
def test_s80_s84_what_is_no_filter_is_422(owner: Person, service: Service, path: str, words: str) -> None:
    problem = refused(owner.get(f"{path}q={quote(words)}"), 422)

    assert problem["where"] == "query.q"
    for secret in ("DROP", "password", "pg_sleep", "UNION", "select"):
        assert secret not in str(problem)
    assert service.count() >= 4


def test_a_fault_says_at_which_character_what_was_expected(owner: Person) -> None:
    problem = refused(owner.get("/experiments?owner=me&q=acuracy%20%3E%201"), 422, "query_invalid")
    assert (problem["detail"], problem["hint"]) == ("character 1: there is no such field", "did you mean accuracy?")

    problem = refused(owner.get("/tasks?q=accuracy%20%3E"), 422, "query_invalid")
    assert problem["detail"] == "character 11: expected a value"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("%", []),
        ("_", ["gamma_1"]),
        ("'", []),
        ("\\\\", []),
        ("?", []),
        ("🙂", []),
        ("ＧＡＭＭＡ", ["Gamma-2", "gamma_1"]),
    ],
)
def test_s85_a_text_means_itself(owner: Person, text: str, wanted: list[str]) -> None:
    assert found(owner, f'name ~ "{text}"') == wanted


@pytest.mark.parametrize("escape", ["%00", "%ff", "%ed%a0%80", "%ef%bf%bd"])
def test_s85_what_is_no_text_is_422(owner: Person, escape: str) -> None:
    refused(owner.get(f"/experiments?owner=me&q=name%20~%20%22{escape}%22"), 422)


@pytest.mark.parametrize(
    "query", ["q=attempt%3D0&q=attempt%3D0", "Q=attempt%3D0", "q[]=attempt%3D0", "query=attempt%3D0"]
)
def test_s86_twice_or_by_another_name_is_422(owner: Person, query: str) -> None:
    refused(owner.get(f"/tasks?{query}"), 422)
