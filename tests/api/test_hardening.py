"""What a first stranger tried against the service, and what it must do instead of what it did."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from finetune30.settings import Settings
from finetune30.web.problems import Problem
from finetune30.web.rates import Rates
from tests.api.service import PASSWORD, Person, Service, refused, serving
from tests.api.test_authorisation import every_route, path_of

FAULTS = {
    "/me": RuntimeError("canary-4711 in /var/secret"),
    "/config/schema": PermissionError(errno.EACCES, "denied", "/var/canary-4711"),
    "/config/defaults": OSError(errno.ENOSPC, "full", "/var/canary-4711"),
}


def faulty(gate: Any, _: Any) -> Any:
    """The app, some routes of which meet a fault nobody foresaw."""
    for route in gate._app.router.routes:
        if fault := FAULTS.get(getattr(route, "path", "")):
            route.dependant.call = raising(fault)
    return gate


def raising(fault: Exception) -> Any:
    def route(user: Any = None, _user: Any = None) -> None:
        raise fault

    return route


@pytest.mark.parametrize(("path", "status"), [("/me", 500), ("/config/schema", 500), ("/config/defaults", 503)])
def test_s110_g15_a_fault_within_a_route_is_a_problem_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, status: int
) -> None:
    with serving(tmp_path, {}, faulty) as service, caplog.at_level(logging.INFO):
        answer = service.person().get(path)

        refused(answer, status, "crashed" if status == 500 else "disk_full")
        assert "canary" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert [one.message for one in caplog.records if one.levelno >= logging.ERROR] == ["unexpected fault"]


def test_s34_a_burst_of_passwords_gets_no_more_tries_than_a_row_of_them(service: Service) -> None:
    ana = service.person()

    def log_in(number: int) -> int:
        with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client:
            wrong = {"username": ana.name, "password": f"not the right words {number}"}
            return client.post("/login", json=wrong).status_code

    service.services.rates._local.storage.clear()  # what other tests did from this address
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(log_in, range(80)))

    assert set(answers) <= {401, 429, 503}
    # Ten, and those that were being looked at when the tenth turned out wrong.
    assert answers.count(401) <= 10 + 8


def test_s35_s114_addresses_of_one_ipv6_network_count_together() -> None:
    async def passed(addresses: list[str]) -> list[bool]:
        rates, found = Rates(Settings(_env_file=None, writes_per_minute=2)), []
        for address in addresses:
            try:
                await rates.check("address", address, "POST")
                found.append(True)
            except Problem:
                found.append(False)
        return found

    same = ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::3", "2001:db8:0:2::1"]
    assert asyncio.run(passed(same)) == [True, True, False, True]
    assert asyncio.run(passed(["::ffff:10.0.0.1", "::ffff:10.0.0.2", "10.0.0.3"])) == [True] * 3


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("model", "revision", "../../x"),
        ("model", "revision", "/etc/passwd"),
        ("model", "revision", "a//b"),
        ("data", "revision", ".."),
        ("data", "revision", "a b"),
        ("data", "dataset_config", "../../etc"),
        ("data", "dataset_config", ".git"),
        ("data", "dataset_config", "a\\b"),
        ("data", "train_split", "../x"),
        ("data", "test_split", "a/b"),
    ],
)
def test_s63_s88_what_becomes_part_of_a_path_of_the_hub_is_a_plain_name(
    service: Service, ana: Person, section: str, key: str, value: str
) -> None:
    before = service.count()

    problem = refused(ana.post("/train", {section: {key: value}}), 422, "config_invalid")

    assert problem["where"] == f"body.{section}.{key}"
    assert service.count() == before


def test_s88_a_revision_may_be_a_branch_a_tag_or_a_pull_request(ana: Person) -> None:
    for revision in ("main", "v1.0", "refs/pr/3", "0" * 40):
        body = {"model": {"name": "roberta-base", "revision": revision}}
        assert ana.post("/train", body).status_code == 202


def test_s62_a_configuration_of_more_than_256_kib_is_413(ana: Person) -> None:
    body = {"experiment_name": "x" * 300_000}

    refused(ana.post("/train", body), 413, "too_large")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
def test_s48_s49_forms_are_never_parsed(service: Service, kind: str) -> None:
    """No route of JSON reads them, so a million fields cost nothing."""
    fields = b"&".join(b"a=b" for _ in range(250_000))
    parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' for _ in range(10_000))
    for body in (fields[: 1 << 20], parts, b"x" * 1_000_000, b"--b\r\n" + b"a: " + b"x" * 900_000):
        refused(service.client.post("/login", content=body, headers={"Content-Type": kind}), 415)
    refused(service.client.post("/login", content=fields * 2, headers={"Content-Type": kind}), 413)


@pytest.mark.parametrize(
    "body", [b"seed: 1", b"&a [*a]", b"!!python/object/apply:os.system ['true']", b"\xef\xbb\xbf{}"]
)
def test_s59_s60_s61_yaml_is_no_json(ana: Person, body: bytes) -> None:
    headers = ana.bearer | {"Content-Type": "application/json"}
    refused(ana.client.post("/train", content=body, headers=headers), 422, "body_invalid")
    refused(ana.client.post("/train", content=body, headers=headers | {"Content-Type": "application/yaml"}), 415)


def test_s17_who_is_disabled_or_gone_is_401_at_the_next_request(service: Service, ana: Person) -> None:
    assert ana.get("/me").status_code == 200

    service.services.access.users.disable(ana.user.id)

    refused(ana.get("/me"), 401, "token_refused")
    refused(ana.post("/train", {}), 401, "token_refused")
    refused(service.client.post("/login", json={"username": ana.name, "password": PASSWORD}), 401)


@pytest.mark.parametrize("body", [{"training": None}, {"model": None}, {"data": {"validation_rules": None}}])
def test_s54_a_section_that_is_null_is_422(ana: Person, body: dict[str, Any]) -> None:
    problem = refused(ana.post("/train", body), 422, "config_invalid")

    assert problem["errors"][0]["detail"] == "expected keys below it"


def reads() -> list[str]:
    """Every path that is read, those of routes to come as well."""
    return sorted({template for method, template in every_route() if method == "GET"})


def test_s66_ten_thousand_ranges_are_one_answer_or_none(ana: Person, admin: Person) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    many = "bytes=" + ",".join(f"{n}-{n}" for n in range(10_000))
    for template in reads():
        path = path_of(template.replace("{task_id}", task))
        for ranges in (many[:60_000], "bytes=0-0,1-1", "bytes=-1", "bytes=9-0", "x" * 1000):
            status = admin.get(path, headers={"Range": ranges}).status_code
            assert status in (200, 206, 404, 409, 416, 422), (path, status)


# Encoded: a client takes ".." out of a path by itself (S23 sends it raw).
HOSTILE = ["..%2f..%2fetc%2fpasswd", "%2e%2e%2fx", "%2fetc%2fpasswd", "a%23b", "a%3Fb", "%2e%2e/x", "a%5Cb", "%00"]


@pytest.mark.parametrize("name", HOSTILE)
def test_s65_a_name_within_a_task_leads_nowhere_else(ana: Person, name: str) -> None:
    task = ana.post("/train", {}).json()["task_id"]
    for template in reads():
        if "{task_id}" not in template:
            continue
        path = re.sub(r"\{[^}]*\}", name, template.replace("{task_id}", task))
        tried = [path if path != f"{template.replace('{task_id}', task)}" else f"{path}/{name}", f"/task/{name}"]
        for one in tried:
            answer = ana.get(one)
            assert answer.status_code in (404, 422, 403), (one, answer.status_code)
            assert "root:" not in answer.text
