"""Bodies and hyperparameters: S46 to S58 and S63 of the security checklist."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune30.experiments.record import ID_SHAPE
from tests.api.service import Person, Service, refused

MIB = 1 << 20
JSON = {"Content-Type": "application/json"}


def send(person: Person, body: bytes, kind: str | None = "application/json") -> Any:
    """POST /train with these bytes."""
    headers = person.bearer | ({"Content-Type": kind} if kind else {})
    return person.client.post("/train", content=body, headers=headers)


def chunks(count: int, size: int = 65_536) -> Iterator[bytes]:
    for _ in range(count):
        yield b" " * size


def test_s46_a_body_of_more_than_a_mib_is_413_whoever_sends_it(service: Service, ana: Person) -> None:
    process = psutil.Process()
    body = b" " * (MIB + 1)
    before = process.memory_info().rss

    for headers in ({}, ana.bearer):
        for path in ("/train", "/login", "/nowhere"):
            refused(service.client.post(path, content=body, headers=JSON | headers), 413, "too_large")

    assert process.memory_info().rss - before < 100 * MIB  # the client's own copies are in there, too


def test_s46_the_answer_comes_before_the_body(service: Service) -> None:
    head = b"POST /train HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"

    assert service.raw(head).startswith(b"HTTP/1.1 413")


def test_s46_a_chunked_body_is_cut_off_at_a_mib(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(b"POST /train HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            for part in chunks(4_000):  # 250 MiB, if anybody read it
                connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
                sent += len(part)
        except OSError:
            pass
        try:
            answer = connection.recv(65_536)
        except OSError:
            answer = b""

    assert answer == b"" or answer.startswith(b"HTTP/1.1 413")
    assert sent < 100 * MIB
    refused(service.client.post("/train", content=chunks(17), headers=JSON), 413, "too_large")


def test_s46_a_body_of_just_a_mib_is_read(service: Service) -> None:
    answer = service.client.post("/login", content=b"[" + b" " * (MIB - 2) + b"]", headers=JSON)

    refused(answer, 422, "body_invalid")


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "٣"])
def test_s46_a_length_that_is_no_number_is_400(service: Service, length: str) -> None:
    head = f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{{}}"

    assert service.raw(head.encode()).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"seed": ', b"nonsense", b"\xff\xfe{}", b"'{}'", b"{} {}", b"null", b"[]"]
)
def test_s50_what_is_no_json_object_is_422(ana: Person, body: bytes) -> None:
    refused(send(ana, body), 422, "body_invalid")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/yaml", None]
)
def test_s50_s103_another_type_of_content_is_415(service: Service, ana: Person, kind: str | None) -> None:
    before = service.count()

    refused(send(ana, b"{}", kind), 415, "unsupported_media_type")

    assert service.count() == before


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_s50_json_may_be_said_in_any_way(ana: Person, kind: str) -> None:
    assert send(ana, b"{}", kind).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"seed":' * 30_000,
        b'{"seed": ' + b"9" * 5_000 + b"}",
        b'{"data":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
def test_s51_what_is_nested_too_deep_or_too_long_a_number_is_400(ana: Person, body: bytes) -> None:
    refused(send(ana, body), 400, "body_invalid")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '"NaN"', "-1e400"])
@pytest.mark.parametrize("key", ["learning_rate", "weight_decay", "num_train_epochs"])
def test_s52_numbers_that_are_none_are_422_in_strict_json(service: Service, ana: Person, key: str, number: str) -> None:
    before = service.count()

    problem = refused(send(ana, f'{{"training": {{"{key}": {number}}}}}'.encode()), 422)

    assert "NaN" not in json.dumps(problem).replace("holds NaN or Infinity", "")
    assert service.count() == before


@pytest.mark.parametrize("number", ["NaN", "1e999", "Infinity"])
def test_s52_in_a_login_too(service: Service, number: str) -> None:
    body = f'{{"username": {number}, "password": "x"}}'

    refused(service.client.post("/login", content=body, headers=JSON), 422)


def test_s53_a_key_twice_is_422(ana: Person) -> None:
    refused(send(ana, b'{"seed": 1, "seed": 2}'), 422, "body_invalid")
    refused(send(ana, b'{"training": {"learning_rate": 1e-4, "learning_rate": 1}}'), 422, "body_invalid")


@pytest.mark.parametrize("value", [-1, 0, 1.5, True, "8", 2**63, -(2**63) - 1, [8], {"a": 8}, 4097])
def test_s54_a_batch_size_is_a_whole_number_and_nothing_like_it(service: Service, ana: Person, value: object) -> None:
    before = service.count()
    body = json.dumps({"training": {"per_device_train_batch_size": value}}).encode()

    problem = refused(send(ana, body), 422)

    assert "per_device_train_batch_size" in problem["detail"] or abs(value) >= 2**63  # type: ignore[arg-type]
    assert service.count() == before


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "learning_rate", 0),
        ("training", "learning_rate", 1.1),
        ("training", "num_train_epochs", 0),
        ("training", "num_train_epochs", 10**9),
        ("lora", "r", 0),
        ("lora", "r", 10**5),
        ("lora", "lora_alpha", 0),
        ("lora", "lora_dropout", -0.1),
        ("lora", "lora_dropout", 1),
        ("data", "max_length", 10**6),
        ("training", "warmup_steps", -1),
        ("training", "device", "cuda:9999; rm"),
    ],
)
def test_s55_values_out_of_range_are_422_and_name_the_field(
    service: Service, ana: Person, section: str, key: str, value: object
) -> None:
    before = service.count()

    problem = refused(ana.post("/train", {section: {key: value}}), 422, "config_invalid")

    assert problem["where"] == f"body.{section}.{key}"
    assert problem["errors"] == [{"where": f"body.{section}.{key}", "detail": problem["errors"][0]["detail"]}]
    assert service.count() == before


def test_s55_values_at_the_bounds_are_taken(ana: Person) -> None:
    body = {
        "seed": 2**32 - 1,
        "training": {"learning_rate": 1, "num_train_epochs": 1000, "per_device_train_batch_size": 4096},
        "lora": {"r": 512, "lora_alpha": 65_536, "lora_dropout": 0.99},
        "data": {"max_length": 8},
    }
    assert ana.post("/train", body).status_code == 202
    refused(ana.post("/train", {"seed": -1}), 422)
    refused(ana.post("/train", {"seed": 2**32}), 422)


def test_s55_every_fault_is_told_at_once(ana: Person) -> None:
    body = {"lora": {"r": 0}, "training": {"learning_rate": 7, "fp16": True, "bf16": True}, "sed": 1}

    problem = refused(ana.post("/train", body), 422, "config_invalid")

    assert {fault["where"] for fault in problem["errors"]} == {
        "body.lora.r",
        "body.training.learning_rate",
        "body.training.fp16",
        "body.sed",
    }


def test_s57_an_unknown_key_is_named_and_its_value_is_not(ana: Person) -> None:
    answer = ana.post("/train", {"training": {"learning_rte": "canary-4711"}})

    problem = refused(answer, 422, "config_invalid")
    assert problem["where"] == "body.training.learning_rte"
    assert "did you mean training.learning_rate?" in problem["detail"]
    assert "canary" not in answer.text


@pytest.mark.parametrize("value", ["canary-4711", ["canary-4711"], {"canary-4711": 1}])
@pytest.mark.parametrize("key", ["seed", "model", "training", "experiment_name"])
def test_s57_no_value_comes_back(ana: Person, key: str, value: object) -> None:
    answer = ana.post("/train", {key: value})

    if key != "experiment_name" or not isinstance(value, str):
        assert answer.status_code == 422
        assert "canary" not in answer.text or isinstance(value, dict)  # a key is named, a value is not


@pytest.mark.parametrize("value", ["(a+)+$", ".*", ["(a+)+$"], ["q_lin", ".*attn"], [""], [], ["a b"], [1]])
def test_s58_target_modules_are_names_never_expressions(ana: Person, value: object) -> None:
    problem = refused(ana.post("/train", {"lora": {"target_modules": value}}), 422, "config_invalid")

    assert problem["where"] == "body.lora.target_modules"
    assert "(a+)" not in json.dumps(problem)


def test_s58_names_of_modules_are_taken(ana: Person) -> None:
    assert ana.post("/train", {"lora": {"target_modules": ["q_lin", "v_lin"]}}).status_code == 202


NAMES = [
    "../../x",
    "..%2f",
    "%252e%252e%252f",
    "..\\",
    "/abs",
    "C:\\x",
    "a\0b",
    ".",
    "..",
    "x" * 300,
    "dot.",
    "space ",
    "．．／",
    "a\u2024b",
    "a\r\nb",
    "\u202eabc",
    "",
]


def tree(folder: Path, without: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if without not in (path, *path.parents)}


@pytest.mark.parametrize("name", NAMES)
def test_s63_a_name_is_a_label_and_never_a_path(service: Service, ana: Person, name: str) -> None:
    results = service.settings.results_dir
    before = tree(service.home, results)

    answer = ana.post("/train", {"experiment_name": name})

    if answer.status_code == 202:
        assert ID_SHAPE.fullmatch(answer.json()["task_id"])
    else:
        refused(answer, 422)
    assert tree(service.home, results) == before


LOCAL = ["/etc/passwd", "./data.csv", "../x", "~/x", "file:///etc/passwd", "http://169.254.169.254/", "s3://b/x"]
LOCAL += [
    "zip://a::http://b",
    "hf://datasets/a/b",
    "no/such",
    "**/*",
    "builtin:nothing",
    "version:" + "0" * 64,
    "version:",
]
LOCAL += ["x.pkl", "a" * 1025]


@pytest.mark.parametrize("name", LOCAL)
def test_s76_s77_s88_paths_urls_and_names_on_no_list_are_422(
    service: Service, ana: Person, admin: Person, name: str
) -> None:
    before = service.count()

    for person in (ana, admin):
        data = refused(person.post("/train", {"data": {"dataset_name": name}}), 422, "config_invalid")
        model = refused(person.post("/train", {"model": {"name": name}}), 422, "config_invalid")
        assert data["where"] == "body.data.dataset_name"
        assert model["where"] == "body.model.name"

    assert service.count() == before


def test_models_and_data_on_the_lists_are_taken(ana: Person) -> None:
    body = {"model": {"name": "roberta-base"}, "data": {"dataset_name": "nyu-mll/glue", "dataset_config": "sst2"}}

    task = ana.post("/train", body).json()

    assert ana.get(f"/experiments/{task['task_id']}").json()["base_model"] == "roberta-base"


def test_the_defaults_are_those_of_the_schema_and_of_an_empty_body(ana: Person) -> None:
    defaults = ana.get("/config/defaults").json()
    task = ana.post("/train", {}).json()
    schema = ana.get("/config/schema").json()

    assert ana.get(f"/task/{task['task_id']}").json()["config"] == defaults
    assert set(defaults) <= set(schema["properties"])


def test_other_names_of_keys_are_read_and_told(ana: Person) -> None:
    task = ana.post("/train", {"training": {"warmup_ratio": 0.2}}).json()

    assert ana.get(f"/task/{task['task_id']}").json()["config"]["training"]["warmup_steps"] == 0.2
    assert task["notes"] == ["training.warmup_ratio read as training.warmup_steps"]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("priority=101", "query.priority"),
        ("priority=1.0", "query.priority"),
        ("queue=nowhere", "query.queue"),
        ("queue=%00", "query.queue"),
        ("max_runtime_s=9.9", "query.max_runtime_s"),
        ("max_runtime_s=NaN", "query.max_runtime_s"),
        ("max_runtime_s=-1", "query.max_runtime_s"),
    ],
)
def test_wishes_out_of_range_are_422(service: Service, ana: Person, query: str, where: str) -> None:
    before = service.count()

    assert refused(ana.post(f"/train?{query}", {}), 422)["where"] == where

    assert service.count() == before


def test_wishes_are_kept(ana: Person) -> None:
    task = ana.post("/train?priority=-5&max_runtime_s=90&queue=train", {}).json()

    assert (task["priority"], task["max_runtime_s"], task["queue"]) == (-5, 90, "train")
