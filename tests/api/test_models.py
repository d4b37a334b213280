"""Models over HTTP: registered, read, moved, rolled back, and what strangers are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from finetune30.experiments import ExperimentFolder, Status
from finetune30.registry import Actor
from tests.api.service import Person, Service, refused, serving
from tests.registered import CARD, HASH, trained

Register = Callable[..., dict[str, Any]]


@pytest.fixture
def run(service: Service) -> Callable[[Person], str]:
    """The id of a run of somebody's that has succeeded."""
    return lambda person: trained(service.services.jobs.store, service.settings.results_dir, owner=person.name)


@pytest.fixture
def register(run: Callable[[Person], str]) -> Register:
    """Register the next version of a model, named after its owner unless said otherwise."""

    def made(person: Person, name: str | None = None, **more: Any) -> dict[str, Any]:
        body = {"name": name or f"m-{person.name}", "experiment_id": run(person), **more}
        answer = person.post("/models", body)
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == f"/models/{body['name']}/versions/{answer.json()['version']}"
        return dict(answer.json())

    return made


def put(person: Person, path: str, body: Any) -> Any:
    return person.client.put(path, headers=person.bearer, json=body)


# Registering -------------------------------------------------------------------------------------


def test_a_run_is_registered_under_a_name_and_an_alias(service: Service, ana: Person, register: Register) -> None:
    made = register(ana, alias="champion", note="first", description="Is it good?")
    name = made["model"]

    assert (made["version"], made["address"], made["aliases"], made["note"]) == (1, f"{name}/1", ["champion"], "first")
    shown = ana.get(f"/models/{name}").json()
    assert shown["aliases"] == {"champion": 1}
    assert (shown["owner"], shown["visibility"], shown["latest"], shown["versions"]) == (ana.name, "private", 1, 1)
    whole = ana.get(f"/models/{name}/versions/1").json()
    assert whole["version"] == made
    assert next(one["name"] for one in whole["files"]) == "README.md"
    (row,) = service.audit(user_id=ana.user.id)
    assert (row.action, row.target, row.outcome) == ("model.register", f"{name}/1", "ok")
    assert row.detail["experiment_id"] == made["experiment_id"]


def test_card_and_lineage_are_told(ana: Person, register: Register) -> None:
    made = register(ana)
    path = f"/models/{made['model']}/versions/1"

    card, lineage = ana.get(f"{path}/card"), ana.get(f"{path}/lineage").json()

    assert card.text == CARD
    assert card.headers["content-type"] == "text/markdown; charset=utf-8"
    assert lineage["experiment"]["id"] == made["experiment_id"]
    assert lineage["data"]["version"] == HASH
    assert lineage["model"]["version"] == 1


def test_what_cannot_be_registered_is_409_and_says_why(
    service: Service, ana: Person, run: Callable[[Person], str], register: Register
) -> None:
    name = register(ana)["model"]
    waiting = ana.post("/train", {"experiment_name": "mine"}).json()["task_id"]
    damaged = run(ana)
    folder = ExperimentFolder(service.settings.results_dir, damaged).final_model
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    before = ana.get(f"/models/{name}").json()

    early = refused(ana.post("/models", {"name": name, "experiment_id": waiting}), 409, "state_conflict")
    broken = refused(ana.post("/models", {"name": name, "experiment_id": damaged}), 409, "state_conflict")
    again = {"name": name, "experiment_id": ana.get(f"/models/{name}/versions/1").json()["version"]["experiment_id"]}
    twice = refused(ana.post("/models", again), 409, "state_conflict")

    assert early["detail"] == "the experiment is PENDING, only a successful one has a model"
    assert broken["detail"].startswith("the experiment's files are not whole: adapter_model.safetensors has 1 bytes")
    assert str(service.home) not in str(broken)
    assert twice["detail"] == "this experiment is version 1 of the model already"
    assert ana.get(f"/models/{name}").json() == before
    assert {row.outcome for row in service.audit(user_id=ana.user.id, action="model.register")} == {"ok", "failed"}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Spam"},
        {"name": "resolve"},
        {"name": "a/b"},
        {"name": ""},
        {"experiment_id": "../x"},
        {"alias": "latest"},
        {"alias": "3"},
        {"alias": "x" * 65},
        {"visibility": "public"},
        {"note": "x" * 2001},
        {"note": "a\0b"},
        {"description": 3},
        {"unknown": 1},
    ],
)
def test_bodies_that_are_none_are_422_and_repeat_nothing(ana: Person, change: dict[str, Any]) -> None:
    body = {"name": "spam", "experiment_id": "nobody_20260101_000000", **change}

    problem = refused(ana.post("/models", body), 422)

    if len(value := str(*change.values())) > 3 and value not in ("latest", "resolve"):
        assert value not in str(problem)


@pytest.mark.parametrize(
    "path",
    [
        "/models/Spam",
        "/models/-a",
        "/models/" + "a" * 65,
        "/models/spam/versions/0",
        "/models/spam/versions/x",
        "/models/spam/versions/+1",
        "/models/spam/versions/99999999999",
        "/models/spam/versions/٣",
        "/models/spam/aliases/3",
        "/models/spam/aliases/latest",
        "/models/spam/aliases/A",
        "/models/spam/aliases/" + "a" * 65,
        "/models/spam/versions?limit=0",
        "/models/spam/versions?before=x",
        "/models?after=A",
        "/models?experiment_id=A",
        "/models?dataset_hash=abc",
        "/models?unknown=1",
        "/models/resolve",
        "/models/resolve?address=spam",
        "/models/resolve?address=a/b/c",
        "/models/resolve?address=../../x",
        "/models/resolve?address=a@b%0A",
    ],
)
def test_parameters_that_are_none_are_422(ana: Person, register: Register, path: str) -> None:
    if path.endswith("address=spam"):
        refused(ana.get(path), 404)  # an experiment's id, and there is none
        return
    refused(ana.get(path), 422)


def test_what_is_not_there_is_404(ana: Person, register: Register) -> None:
    name = register(ana)["model"]

    refused(ana.get("/models/nothing-like-it"), 404, "not_found")
    refused(ana.get(f"/models/{name}/versions/2"), 404, "not_found")
    refused(ana.get(f"/models/{name}/aliases/champion"), 404, "not_found")
    refused(put(ana, f"/models/{name}/aliases/champion", {"version": 2}), 404, "not_found")
    refused(ana.post(f"/models/{name}/aliases/champion/rollback"), 404, "not_found")
    refused(ana.post("/models", {"name": name, "experiment_id": "nobody_20260101_000000"}), 404, "not_found")
    refused(ana.get("/models/resolve", params={"address": f"{name}@champion"}), 404, "not_found")


# Whose -------------------------------------------------------------------------------------------

_READS = ("", "/versions", "/versions/1", "/versions/1/card", "/versions/1/lineage", "/history", "/aliases/champion")


def test_a_private_model_is_403_to_others_with_the_same_words(
    ana: Person, bo: Person, admin: Person, register: Register
) -> None:
    name = register(ana, alias="champion")["model"]

    answers = [bo.get(f"/models/{name}{tail}") for tail in (*_READS, "/aliases/champion/history")]
    answers.append(bo.get("/models/resolve", params={"address": f"{name}@champion"}))

    problems = [refused(answer, 403, "forbidden") for answer in answers]
    assert len({str({**problem, "request_id": ""}) for problem in problems}) == 1
    assert name not in str(problems)
    assert all(admin.get(f"/models/{name}{tail}").status_code == 200 for tail in _READS)
    assert name not in [one["name"] for one in bo.get("/models").json()["models"]]


def test_a_team_model_is_read_by_everybody_and_changed_by_its_owner_and_admins(
    service: Service, ana: Person, bo: Person, admin: Person, register: Register, run: Callable[[Person], str]
) -> None:
    name = register(ana, alias="champion", visibility="team")["model"]
    register(ana, name)

    assert all(bo.get(f"/models/{name}{tail}").status_code == 200 for tail in _READS)
    assert bo.get("/models/resolve", params={"address": f"{name}@champion"}).json()["version"] == 1
    assert name in [one["name"] for one in bo.get("/models", params={"owner": ana.name}).json()["models"]]
    path = f"/models/{name}/aliases/champion"
    for answer in (
        put(bo, path, {"version": 2}),
        bo.delete(path),
        bo.post(f"{path}/rollback"),
        bo.post(f"/models/{name}", {"visibility": "private"}),
        bo.delete(f"/models/{name}/versions/2"),
        bo.delete(f"/models/{name}?force=true"),
        bo.post("/models", {"name": name, "experiment_id": run(bo)}),
    ):
        refused(answer, 403, "forbidden")
    assert {row.outcome for row in service.audit(user_id=bo.user.id)} == {"denied"}
    assert put(admin, path, {"version": 2}).json()["moved_by"] == admin.name
    assert ana.get(f"/models/{name}").json()["owner"] == ana.name


def test_nobody_registers_another_users_run(
    ana: Person, bo: Person, admin: Person, run: Callable[[Person], str]
) -> None:
    anas = run(ana)

    refused(bo.post("/models", {"name": f"m-{bo.name}", "experiment_id": anas}), 403, "forbidden")
    refused(bo.get("/models/resolve", params={"address": anas}), 403, "forbidden")
    refused(bo.get(f"/models/m-{bo.name}"), 404)
    assert ana.get("/models/resolve", params={"address": anas}).json()["model"] is None
    assert admin.post("/models", {"name": f"m-{admin.name}", "experiment_id": anas}).status_code == 201


# Aliases -----------------------------------------------------------------------------------------


def test_promote_and_roll_back_with_their_history(service: Service, ana: Person, register: Register) -> None:
    name = register(ana, alias="champion")["model"]
    register(ana), register(ana)
    path = f"/models/{name}/aliases/champion"

    moved = put(ana, path, {"version": 2, "expected": 1, "note": "better"}).json()
    assert (moved["version"], moved["previous"], moved["moved_by"]) == (2, 1, ana.name)
    put(ana, path, {"version": 3})
    back = [ana.post(f"{path}/rollback", {"note": "worse"}).json(), ana.post(f"{path}/rollback").json()]
    nowhere = refused(ana.post(f"{path}/rollback"), 409, "state_conflict")

    assert [(one["version"], one["previous"]) for one in back] == [(2, 1), (1, None)]
    assert nowhere["detail"] == "the alias has been at no other version that still exists"
    history = ana.get(f"{path}/history").json()["moves"]
    assert [(one["kind"], one["from_version"], one["to_version"], one["note"]) for one in history] == [
        ("rollback", 2, 1, ""),
        ("rollback", 3, 2, "worse"),
        ("point", 2, 3, ""),
        ("point", 1, 2, "better"),
        ("point", None, 1, ""),
    ]
    assert ana.get(f"/models/{name}/history").json()["moves"] == history
    actions = [row.action for row in service.audit(user_id=ana.user.id)]
    assert actions.count("model.alias") == 2
    assert actions.count("model.alias.rollback") == 3  # one of them failed


def test_who_expected_another_version_is_409_and_nothing_moves(ana: Person, register: Register) -> None:
    name = register(ana, alias="champion")["model"]
    register(ana)
    path = f"/models/{name}/aliases/champion"

    problem = refused(put(ana, path, {"version": 2, "expected": 0}), 409, "state_conflict")
    refused(ana.post(f"{path}/rollback", {"expected": 2}), 409)
    refused(ana.delete(f"{path}?expected=2"), 409)

    refused(put(ana, path, {"version": 1.5}), 422)
    refused(put(ana, path, {"version": "2"}), 422)
    refused(put(ana, path, {"version": True}), 422)
    assert put(ana, path, {"version": 1.0, "expected": 1.0}).json()["version"] == 1  # JSON has one kind of number
    assert problem["detail"] == "the alias points at version 1, which is not what was expected"
    assert ana.get(path).json()["version"] == 1


def test_of_two_who_promote_at_once_one_wins(service: Service, ana: Person, register: Register) -> None:
    name = register(ana, alias="champion")["model"]
    for _ in range(4):
        register(ana)
    start, answers = threading.Barrier(4), []

    def promote(version: int) -> None:
        start.wait()
        answers.append(put(ana, f"/models/{name}/aliases/champion", {"version": version, "expected": 1}))

    threads = [threading.Thread(target=promote, args=(version,)) for version in (2, 3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    (won,) = [answer.json()["version"] for answer in answers if answer.status_code == 200]
    assert ana.get(f"/models/{name}").json()["aliases"] == {"champion": won}
    assert len(ana.get(f"/models/{name}/history").json()["moves"]) == 2
    moved = [row for row in service.audit(user_id=ana.user.id, action="model.alias") if row.outcome == "ok"]
    assert len(moved) == 1


def test_an_alias_that_was_dropped_comes_back(ana: Person, register: Register) -> None:
    name = register(ana, alias="champion")["model"]
    path = f"/models/{name}/aliases/champion"

    assert ana.delete(path).status_code == 204
    refused(ana.delete(path), 404)
    assert ana.post(f"{path}/rollback").json()["version"] == 1


def test_stages_of_other_registries_are_aliases(ana: Person, register: Register) -> None:
    name = register(ana, alias="Staging")["model"]

    assert put(ana, f"/models/{name}/aliases/Production", {"version": 1}).json()["alias"] == "production"
    assert ana.get(f"/models/{name}").json()["aliases"] == {"production": 1, "staging": 1}
    assert ana.get("/models/resolve", params={"address": f"models:/{name}/Production"}).json()["alias"] == "production"


# Going, and lists --------------------------------------------------------------------------------


def test_a_registered_run_is_not_deleted_and_its_model_is_named(
    service: Service, ana: Person, register: Register
) -> None:
    made = register(ana, alias="champion")
    name, run = made["model"], made["experiment_id"]

    problem = refused(ana.delete(f"/experiments/{run}"), 409, "state_conflict")

    assert problem["detail"] == f"it is registered as {name}/1"
    assert ana.get(f"/experiments/{run}").json()["status"] == Status.SUCCESS
    assert ExperimentFolder(service.settings.results_dir, run).final_model.is_dir()
    refused(ana.delete(f"/models/{name}/versions/1"), 409, "state_conflict")
    refused(ana.delete(f"/models/{name}"), 409, "state_conflict")
    assert ana.delete(f"/models/{name}/aliases/champion").status_code == 204
    assert ana.delete(f"/models/{name}/versions/1").status_code == 204
    assert ana.delete(f"/experiments/{run}").status_code == 204


def test_a_model_is_deleted_with_its_aliases_only_by_force(ana: Person, register: Register) -> None:
    name = register(ana, alias="champion")["model"]

    refused(ana.delete(f"/models/{name}"), 409)
    assert ana.delete(f"/models/{name}?force=true").status_code == 204
    refused(ana.get(f"/models/{name}"), 404)


def test_lists_come_in_pages(ana: Person, register: Register) -> None:
    names = sorted(f"{letter}-{ana.name}" for letter in "abc")
    for name in reversed(names):
        register(ana, name)
    register(ana, names[0]), register(ana, names[0], alias="x")

    first = ana.get("/models", params={"owner": "me", "limit": 2}).json()
    rest = ana.get("/models", params={"owner": "me", "after": first["next"]}).json()
    assert [one["name"] for one in first["models"] + rest["models"]] == names
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)

    first = ana.get(f"/models/{names[0]}/versions", params={"limit": 2}).json()
    rest = ana.get(f"/models/{names[0]}/versions", params={"before": first["next"]}).json()
    assert [one["version"] for one in first["versions"] + rest["versions"]] == [3, 2, 1]
    run = rest["versions"][0]["experiment_id"]
    found = ana.get("/models", params={"experiment_id": run, "dataset_hash": HASH, "name": "A-"}).json()["models"]
    assert [one["name"] for one in found] == [names[0]]


def test_description_and_visibility_are_changed(ana: Person, bo: Person, register: Register) -> None:
    name = register(ana)["model"]
    refused(bo.get(f"/models/{name}"), 403)

    changed = ana.post(f"/models/{name}", {"visibility": "team", "description": "<b>Is it good?</b>"}).json()

    assert (changed["visibility"], changed["description"]) == ("team", "<b>Is it good?</b>")
    assert bo.get(f"/models/{name}").json() == changed


def test_a_change_and_its_audit_row_are_one(service: Service, ana: Person, register: Register) -> None:
    name = register(ana)["model"]
    models, before = service.services.models, len(service.audit(user_id=ana.user.id))

    assert put(ana, f"/models/{name}/aliases/champion", {"version": 1}).status_code == 200

    rows = service.audit(user_id=ana.user.id)
    assert len(rows) == before + 1
    assert (rows[0].action, rows[0].target, rows[0].detail["version"]) == ("model.alias", f"{name}@champion", 1)
    assert models.alias(name, "champion", Actor(ana.name)).number == 1


def test_a_page_elsewhere_may_move_aliases(tmp_path: Any) -> None:
    with serving(tmp_path, {"CORS_ORIGINS": "https://page.example"}) as service:
        asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "PUT"}
        answer = service.client.options("/models/spam/aliases/champion", headers=asked)

    assert answer.status_code == 200
    assert "PUT" in answer.headers["access-control-allow-methods"]
