"""Webhooks over HTTP: made, tried and seen by their owners; told by the service that runs beside them."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from finetune30.access import Role
from finetune30.experiments import Status
from tests.api.service import Person, Service, refused, serving
from tests.api.test_authorisation import submitted
from tests.webhooks.receiver import Receiver, receiving

NOWHERE = "http://127.0.0.1:65535/hook"
KEYS = {
    "ENVIRONMENT": "production",
    "JWT_SECRET": "Wm3xVtq7hJ0cRk5nY8bZs2LdPf9gAe1u",
    "AUDIT_KEY": "q8Zt4vNn1XoB7yKd3sHw6LrGm0pCj5Ue",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that answers 204."""
    with receiving() as found:
        yield found


def made(person: Person, url: str = NOWHERE, **more: Any) -> dict[str, Any]:
    """A new webhook, with its secret."""
    answer = person.post("/webhooks", {"url": url, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def settled(person: Person, hook: dict[str, Any], number: int) -> dict[str, Any]:
    """A delivery after its first attempt."""
    deadline = time.monotonic() + 60
    while True:
        found = person.get(f"/webhooks/{hook['webhook_id']}/deliveries", params={"before": number + 1, "limit": 1})
        (one,) = found.json()["deliveries"]
        if one["last_at"] is not None and not one["being_sent"]:
            return dict(one)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_g18_the_end_of_a_task_is_told_signed_by_the_service(
    service: Service, ana: Person, bo: Person, receiver: Receiver
) -> None:
    hook = made(ana, receiver.url())
    made(bo, receiver.url("/others"))
    task_id = submitted(ana)

    service.ended(task_id, Status.SUCCESS, eval={"accuracy": 0.9}, train={"runtime_s": 3.0})

    assert receiver.came.acquire(timeout=60)
    (got,) = receiver.got
    told = Verifier(hook["secret"]).verify(got.body, got.headers)
    assert told["type"] == "run.succeeded"
    assert told["data"]["task_id"] == task_id
    assert ana.get(told["data"]["links"]["task"]).json()["status"] == "SUCCESS"
    assert ana.get(told["data"]["links"]["experiment"]).status_code == 200


def test_the_receiver_of_the_documents_believes_us_and_nobody_else(ana: Person, free_port: int) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    hook = made(ana, f"http://127.0.0.1:{free_port}/hook")
    code = code.replace("whsec_…", hook["secret"]).replace("9000", str(free_port))
    receiver = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        wait_for(free_port)
        forged = {"webhook-id": "msg_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"}
        assert httpx.post(f"http://127.0.0.1:{free_port}/", content=b"{}", headers=forged).status_code == 401
        number = ana.post(f"/webhooks/{hook['webhook_id']}/test").json()["number"]
        assert settled(ana, hook, number)["last_status"] == 204
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == f"ping {{'webhook_id': '{hook['webhook_id']}'}}\n"
    finally:
        receiver.kill()
        receiver.communicate()


def wait_for(port: int) -> None:
    """Until somebody listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_the_secret_is_told_once(ana: Person, admin: Person) -> None:
    hook = made(ana, kinds=["run.failed"])
    path = f"/webhooks/{hook['webhook_id']}"

    assert hook["secret"].startswith("whsec_")
    assert hook["kinds"] == ["run.failed"]
    for answer in (ana.get(path), ana.get("/webhooks"), ana.post(f"{path}/disable"), admin.get(path)):
        assert answer.status_code == 200
        assert hook["secret"] not in answer.text
        assert "secret" not in answer.json()
    assert ana.get(path).json()["disabled_why"] == "its owner switched it off"


def test_s26_webhooks_are_their_owners_and_the_admins(ana: Person, bo: Person, admin: Person) -> None:
    hook = made(ana)
    path = f"/webhooks/{hook['webhook_id']}"
    number = ana.post(f"{path}/test").json()["number"]
    asked = [("GET", ""), ("GET", "/deliveries"), ("POST", "/test"), ("POST", "/disable"), ("POST", "/enable")]
    asked += [("POST", f"/deliveries/{number}/retry"), ("DELETE", "")]

    for method, tail in asked:
        for whose, status in ((path, 403), ("/webhooks/wh_0000000000000000", 404), ("/webhooks/A%00", 422)):
            refused(bo.client.request(method, whose + tail, headers=bo.bearer), status)
    refused(bo.get("/webhooks", params={"owner": ana.name}), 403)
    assert bo.get("/webhooks").json() == {"webhooks": []}
    assert [one["webhook_id"] for one in ana.get("/webhooks").json()["webhooks"]] == [hook["webhook_id"]]
    listed = admin.get("/webhooks", params={"owner": ana.name}).json()["webhooks"]
    assert [one["owner"] for one in listed] == [ana.name]
    assert admin.delete(path).status_code == 204
    refused(ana.get(path), 404)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:6379/",
        "http://[::ffff:127.0.0.1]/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://0.0.0.0:8080/",
        "http://127.0.0.2/",
        "http://10.0.0.1/",
        "http://127.0.0.1./",
        "http://me:pass@127.0.0.1/",
        "http://127.0.0.1:22/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "https://no-such-host.invalid/",
        "http://exa\nmple.org",
        "http://x/\ud7ff",
        "a" * 2001,
        "",
    ],
)
def test_s76_an_address_that_is_not_public_is_422_and_not_repeated(ana: Person, url: str) -> None:
    answer = ana.post("/webhooks", {"url": url})

    problem = refused(answer, 422)
    assert problem["where"] == "body.url"
    assert len(url) < 2 or url not in answer.text
    assert ana.get("/webhooks").json() == {"webhooks": []}


def test_s76_unless_the_operator_says_so_this_machine_is_not_reached(tmp_path: Path, receiver: Receiver) -> None:
    with serving(tmp_path, {}) as service:
        ana = service.person()

        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]"):
            refused(ana.post("/webhooks", {"url": receiver.url(host=host)}), 422, "webhook_invalid")

        # One that was made while it was allowed is looked at again when it is to be told.
        hook, _ = service.services.webhooks.add(ana.name, receiver.url())
        number = ana.post(f"/webhooks/{hook.id}/test").json()["number"]
        found = settled(ana, {"webhook_id": hook.id}, number)
    assert found["last_error"] == "the host cannot be resolved to public addresses only"
    assert receiver.got == []


@pytest.mark.parametrize("kinds", [[], ["ping"], ["run.ended"], "run.failed", [1], None])
def test_kinds_that_are_none_are_422(ana: Person, kinds: Any) -> None:
    refused(ana.post("/webhooks", {"url": NOWHERE, "kinds": kinds}), 422)


def test_a_webhook_is_tried_and_seen_and_tried_again(ana: Person, receiver: Receiver) -> None:
    hook = made(ana, receiver.url())
    path = f"/webhooks/{hook['webhook_id']}"
    receiver.answers = [(500, {})]

    asked = ana.post(f"{path}/test")

    assert asked.status_code == 202
    number = asked.json()["number"]
    failed = settled(ana, hook, number)
    assert (failed["kind"], failed["state"], failed["last_status"]) == ("ping", "waiting", 500)
    assert failed["last_error"] == "it answered 500"
    again = ana.post(f"{path}/deliveries/{number}/retry")
    assert again.status_code == 202
    assert receiver.came.acquire(timeout=60)
    assert receiver.came.acquire(timeout=60)
    deadline = time.monotonic() + 60
    while (found := settled(ana, hook, number))["state"] != "delivered":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert found["message_id"] == asked.json()["message_id"] == receiver.ids[0] == receiver.ids[1]
    assert ana.get(path).json()["failing_since"] is None
    refused(ana.post(f"{path}/deliveries/{number + 1000}/retry"), 404)
    for wrong in ("0", "-1", "x", "99999999999", "1.5"):
        refused(ana.post(f"{path}/deliveries/{wrong}/retry"), 422)


def test_deliveries_come_in_pages_the_newest_first(ana: Person, receiver: Receiver) -> None:
    hook = made(ana, receiver.url())
    path = f"/webhooks/{hook['webhook_id']}"
    numbers = [ana.post(f"{path}/test").json()["number"] for _ in range(3)]

    first = ana.get(f"{path}/deliveries?limit=2").json()
    rest = ana.get(f"{path}/deliveries?limit=2&before={first['next']}").json()

    assert [one["number"] for one in first["deliveries"] + rest["deliveries"]] == numbers[::-1]
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)


def test_a_disabled_webhook_is_neither_tried_nor_told(service: Service, ana: Person, receiver: Receiver) -> None:
    hook = made(ana, receiver.url())
    path = f"/webhooks/{hook['webhook_id']}"
    ana.post(f"{path}/disable")

    service.ended(submitted(ana), Status.FAILURE)

    refused(ana.post(f"{path}/test"), 409, "state_conflict")
    refused(ana.post(f"{path}/deliveries/1/retry"), 409, "state_conflict")
    assert ana.post(f"{path}/enable").json()["disabled_at"] is None
    assert ana.get(f"{path}/deliveries").json()["deliveries"] == []


def test_a_user_has_no_more_webhooks_than_the_quota(tmp_path: Path) -> None:
    with serving(tmp_path, {"WEBHOOK_HOSTS": "127.0.0.1", "MAX_WEBHOOKS_PER_USER": 2}) as service:
        ana, bo = service.person(), service.person()
        hooks = [made(ana) for _ in range(2)]

        refused(ana.post("/webhooks", {"url": NOWHERE}), 429, "quota_exceeded")

        made(bo)
        ana.delete(f"/webhooks/{hooks[0]['webhook_id']}")
        made(ana)


def test_production_without_a_key_makes_no_webhook_and_serves_all_else(tmp_path: Path) -> None:
    values = {**KEYS, "WEBHOOK_HOSTS": "127.0.0.1"}
    with serving(tmp_path, values) as service:
        ana = service.person(Role.USER)

        refused(ana.post("/webhooks", {"url": NOWHERE}), 503, "settings_invalid")
        refused(ana.post("/webhooks", {"url": "http://93.184.216.34/hook"}), 422, "webhook_invalid")

        assert ana.get("/webhooks").json() == {"webhooks": []}
        assert ana.get("/me").status_code == 200
