"""API keys over HTTP: made by their user, told once, and no way into the API."""

from __future__ import annotations

import pytest

from tests.api.service import Person, Service, refused


def test_a_key_is_told_once_listed_and_revoked(service: Service, ana: Person) -> None:
    made = ana.post("/keys", {"name": "shop", "expires_days": 7})
    assert made.status_code == 201
    secret, key_id = made.json()["key"], made.json()["key_id"]
    assert made.json()["expires_at"] - made.json()["created_at"] == pytest.approx(7 * 86_400)

    listed = ana.get("/keys")
    assert [key["key_id"] for key in listed.json()["keys"]] == [key_id]
    assert secret not in listed.text
    assert service.services.access.keys.read(secret).name == ana.name
    assert ana.delete(f"/keys/{key_id}").json()["revoked_at"] is not None
    assert ana.delete(f"/keys/{key_id}").status_code == 200
    rows = service.audit(limit=50)
    assert {"key.add", "key.revoke"} <= {row.action for row in rows}
    assert secret not in repr(rows)


def test_s100_a_key_opens_no_door_of_the_api(service: Service, ana: Person) -> None:
    secret = ana.post("/keys", {"name": "shop"}).json()["key"]

    for headers in ({"Authorization": f"Bearer {secret}"}, {"X-API-Key": secret}):
        for path in ("/me", "/keys", "/tasks"):
            refused(service.client.get(path, headers=headers), 401)
        refused(service.client.post("/keys", json={"name": "more"}, headers=headers), 401)


def test_keys_of_others_are_theirs(service: Service, ana: Person, admin: Person) -> None:
    bob = service.person()
    key_id = ana.post("/keys", {"name": "shop"}).json()["key_id"]

    refused(bob.delete(f"/keys/{key_id}"), 403)
    refused(bob.delete("/keys/k_0000000000000000"), 404)
    refused(bob.delete("/keys/shop"), 422)
    assert bob.get("/keys").json() == {"keys": []}
    assert admin.delete(f"/keys/{key_id}").status_code == 200


def test_a_user_has_so_many_keys(service: Service) -> None:
    carl = service.person()
    answers = [carl.post("/keys", {"name": f"key {number}"}) for number in range(21)]

    assert [answer.status_code for answer in answers[:20]] == [201] * 20
    refused(answers[20], 409)
    refused(carl.post("/keys", {"name": " "}), 422)
    refused(carl.post("/keys", {"name": ""}), 422)
    refused(carl.post("/keys", {"name": "x", "expires_days": 0}), 422)
    refused(carl.post("/keys", {"name": "x", "user_id": "u_0"}), 422)
