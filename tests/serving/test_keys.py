"""API keys: a program predicts with one, and stops within a second of its end."""

from __future__ import annotations

import logging
import time

import pytest
from huggingface_hub import InferenceClient

from finetune30.access import Role
from tests.serving.desk import PASSWORD, Desk

BODY = {"text": "good film"}


def user(desk: Desk, name: str, role: Role = Role.USER) -> str:
    return desk.access.users.add(name, role, PASSWORD).id


def waits_for(desk: Desk, secret: str, status: int) -> None:
    until = time.monotonic() + 30
    while desk.post("/predict", BODY, secret).status_code != status:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_key_predicts_as_bearer_and_as_litserve_sends_it(guarded: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run = guarded.run(owner="kim")
    _, secret = guarded.access.keys.make(user(guarded, "kim"), "shop")
    body = {**BODY, "adapter": run}

    assert guarded.post("/predict", body, secret).json()["adapter"]["id"] == run
    assert guarded.client.post("/predict", json=body, headers={"X-API-Key": secret}).status_code == 200
    client = InferenceClient(f"{guarded.url}/models/{run}", api_key=secret)
    assert client.text_classification("good film")[0].label.startswith("label ")
    assert guarded.post("/adapters/refresh", None, secret).status_code in (403, 415)
    assert guarded.post("/predict", {**BODY, "adapter": guarded.run(owner="lee")}, secret).status_code == 403
    assert secret[5:] not in caplog.text


@pytest.mark.parametrize("given", ["ft30-", "ft30-" + "A" * 43, "FT30-" + "A" * 43, "ft30-" + "A" * 5000, "A" * 43])
def test_s100_what_is_no_key_is_401(guarded: Desk, given: str) -> None:
    for headers in ({"X-API-Key": given}, {"Authorization": f"Bearer {given}"}):
        answer = guarded.client.post("/predict", json=BODY, headers=headers)
        assert answer.status_code == 401
        assert given[5:20] not in answer.text or not given[5:20]


def test_s100_two_credentials_are_none(guarded: Desk) -> None:
    _, secret = guarded.access.keys.make(user(guarded, "two"), "shop")
    headers = {"X-API-Key": secret, "Authorization": f"Bearer {secret}"}

    assert guarded.client.post("/predict", json=BODY, headers=headers).status_code == 401


def test_a_token_is_no_key(guarded: Desk) -> None:
    token = guarded.token("noa")

    assert guarded.client.post("/predict", json=BODY, headers={"X-API-Key": token}).status_code == 401


def test_g26_a_revoked_key_a_disabled_user_and_a_changed_role_count_within_a_second(guarded: Desk) -> None:
    run = guarded.run(owner="max")
    guarded.run(owner="ida")
    ida = user(guarded, "ida")
    keys = guarded.access.keys
    (first, one), (_, two) = keys.make(ida, "one"), keys.make(ida, "two")
    foreign = {**BODY, "adapter": run}
    assert guarded.post("/predict", foreign, one).status_code == 403

    guarded.access.users.set_role(ida, Role.ADMIN)
    until = time.monotonic() + 30
    while guarded.post("/predict", foreign, one).status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.05)
    keys.revoke(first.id)
    waits_for(guarded, one, 401)
    assert guarded.post("/predict", foreign, two).status_code == 200
    user(guarded, "another-admin", Role.ADMIN)
    guarded.access.users.disable(ida)
    waits_for(guarded, two, 401)
