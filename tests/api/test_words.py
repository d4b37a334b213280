"""What a refusal says: what is wrong, what was expected, in words; and nothing that was sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from finetune30.web.bodies import Body
from finetune30.web.faults import NOT_KNOWN, meaning_of
from tests.api.service import Person, Service, refused
from tests.registered import trained

LONG = "k" * 5000
UNSHOWN = [LONG, "canary 4711", "canary=4711", "\x1b[31mcanary", "канарейка", "a" * 41]


@pytest.mark.parametrize("key", UNSHOWN)
def test_s57_what_was_sent_instead_of_a_key_is_not_repeated(ana: Person, key: str) -> None:
    for path, body, where in (
        ("/train", {key: 1}, "body"),
        ("/train", {"training": {key: 1}}, "body.training"),
        ("/models", {"name": "m", "experiment_id": "x", key: 1}, "body"),
    ):
        answer = ana.post(path, body)
        problem = refused(answer, 422)
        assert problem["where"] == where
        assert NOT_KNOWN in problem["detail"]
        assert key[:42] not in answer.text
        assert len(answer.text) < 1500


def test_s57_what_stands_in_the_metadata_of_a_job_is_not_repeated(ana: Person) -> None:
    job = {"model": "builtin:minilm", "training_file": "builtin:reviews-zh"}
    for metadata in ({LONG: "x"}, {"canary": "v" * 600}, {"canary": 3}):
        answer = ana.post("/v1/fine_tuning/jobs", {**job, "metadata": metadata})
        assert refused(answer, 422)["param"] == "metadata"
        assert "canary" not in answer.text
        assert "kkk" not in answer.text


def test_a_slip_of_the_pen_is_answered_with_the_key_that_was_meant(ana: Person) -> None:
    problem = refused(ana.post("/models", {"nmae": "m", "experiment_id": "x"}), 422)

    assert {"where": "body.nmae", "detail": "unknown key; did you mean name?"} in problem["errors"]
    assert {"where": "body.name", "detail": "it is missing"} in problem["errors"]


def test_an_alternative_of_a_type_is_one_fault(ana: Person) -> None:
    job = {"model": "builtin:minilm", "training_file": "builtin:reviews-zh"}

    error = refused(ana.post("/v1/fine_tuning/jobs", {**job, "hyperparameters": {"n_epochs": 0}}), 422)

    assert error["param"] == "hyperparameters.n_epochs"
    assert error["message"].startswith("hyperparameters.n_epochs: expected 'auto', or at least 1")
    assert "Input should" not in error["message"]
    assert "literal" not in error["message"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/models/Spam", "a model's name"),
        ("/models/spam/aliases/3", "an alias"),
        ("/models/resolve?address=a@b@c", "name@alias, name/3 or an experiment's id"),
        ("/experiments/compare?ids=a", "two to five ids"),
        ("/task/UPPER", "an id: 1 to 80"),
        ("/models?dataset_hash=x", "a sha256"),
    ],
)
def test_a_parameter_is_refused_in_words(ana: Person, path: str, words: str) -> None:
    problem = refused(ana.get(path), 422)

    assert f"expected {words}" in problem["detail"]
    assert "pattern" not in problem["detail"]
    assert "^" not in str(problem)
    assert "/docs" not in problem["hint"].replace("docs/api.md", "")


def test_every_pattern_has_words(service: Service, ana: Person) -> None:
    schema = ana.get("/openapi.json").json()
    parameters = [
        (one["name"], pattern)
        for methods in schema["paths"].values()
        for operation in methods.values()
        for one in operation.get("parameters", ())
        for pattern in _patterns(one["schema"])
        if not pattern.startswith("^checkpoint-")  # it answers 404
    ]
    bodies = [(one.__name__, pattern) for one in _all(Body) for pattern in _patterns(one.model_json_schema())]

    assert len(parameters) > 20
    assert len(bodies) > 5
    assert [one for one in parameters + bodies if meaning_of(one[1]) is None] == []


def test_a_header_and_a_user_are_refused_in_words(ana: Person, admin: Person) -> None:
    key = ana.post("/train", {}, headers={"Idempotency-Key": "\u00e9".encode("latin-1")})
    assert "expected 1 to 200 printable ASCII characters" in refused(key, 422)["detail"]
    user = admin.post("/users", {"name": "Not Good", "role": "user", "password": "four words in a row"})
    assert "expected a name of 1 to 64" in refused(user, 422)["detail"]
    assert "expected the id of a user" in refused(admin.get("/users/x"), 422)["detail"]


def test_models_say_what_is_wrong_with_a_name_an_address_or_who_asks(service: Service, ana: Person, bo: Person) -> None:
    run = trained(service.services.jobs.store, service.settings.results_dir, owner=ana.name)
    name = f"m-{ana.name}"
    assert ana.post("/models", {"name": name, "experiment_id": run}).status_code == 201

    reserved = refused(ana.post("/models", {"name": "resolve", "experiment_id": run}), 422)
    alone = refused(ana.get("/models/resolve", params={"address": name}), 404)
    private = refused(bo.get("/models/resolve", params={"address": name}), 404)
    theirs = refused(bo.get(f"/models/{name}"), 403)

    assert "reserved" in reserved["detail"]
    assert alone["hint"] == "name a version or an alias of it, such as m/1 or m@champion"
    assert "model:" not in private["detail"]  # nobody hears so that it exists
    assert theirs["detail"] == "this model is another user's"


def test_a_comparison_says_which_id_it_does_not_know(ana: Person) -> None:
    mine = ana.post("/train", {}).json()["task_id"]

    problem = refused(ana.get("/experiments/compare", params={"ids": f"{mine},nobody"}), 404)

    assert problem["where"] == "query.ids"
    assert problem["detail"].startswith("the second of the ids")


def test_what_is_too_large_is_told_how_large_it_may_be(ana: Person) -> None:
    large = refused(ana.post("/login", {"username": "x" * (1 << 20)}), 413)
    config = refused(ana.post("/train", {"experiment_name": "x" * (300 << 10)}), 413)

    assert large["detail"] == "the body is larger than 1 MiB"
    assert config["detail"] == "the body is larger than 256 KiB"


def test_a_length_and_chunks_at_once_are_400_and_the_connection_ends(service: Service) -> None:
    head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    both = f"{head}Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    answer = service.raw((both + smuggled).encode())

    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answer.lower()


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
        for part in value.values():
            yield from _patterns(part)
    elif isinstance(value, list):
        for part in value:
            yield from _patterns(part)


def _all(kind: type[Body]) -> Iterator[type[Body]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("finetune30."):
            yield one
            yield from _all(one)
