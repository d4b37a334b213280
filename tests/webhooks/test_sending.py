"""What receivers get, and what a bad one can do: be late, be told again, be given up; and never more."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from finetune30 import database
from finetune30.access import Role, Users
from finetune30.experiments import Status
from finetune30.settings import Settings
from finetune30.webhooks import State
from finetune30.webhooks.carrying import Answer
from tests.webhooks import receiver as bad
from tests.webhooks.conftest import House
from tests.webhooks.receiver import Receiver, misbehaving, receiving

METRICS = {"train": {"runtime_s": 12.5}, "eval": {"accuracy": 0.875}}
ERROR = {"code": "out_of_memory", "message": "no memory at /home/ana/secret.csv", "where": "/home/ana", "hint": None}


def test_a_message_is_small_complete_and_signed(house: House, receiver: Receiver) -> None:
    hook, secret = house.webhooks.add("ana", receiver.url("/hook?x=1"))
    task_id = house.ended(metrics=METRICS)

    assert house.send_due() == 1

    (got,) = receiver.got
    told = Verifier(secret).verify(got.body, got.headers)
    at = told.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    assert told == {
        "type": "run.succeeded",
        "data": {
            "task_id": task_id,
            "name": "reviews",
            "status": "SUCCESS",
            "attempt": 1,
            "eval_accuracy": 0.875,
            "train_runtime": 12.5,
            "error_code": None,
            "links": {"task": f"/task/{task_id}", "experiment": f"/experiments/{task_id}"},
        },
    }
    assert got.path == "/hook?x=1"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    (delivery,) = house.webhooks.deliveries(hook.id)
    assert got.headers["webhook-id"] == delivery.message_id == f"msg_{hook.id}_{delivery.number}"
    assert (delivery.state, delivery.attempts, delivery.last_status) == (State.DELIVERED, 1, 204)
    for name, value in (("webhook-id", "msg_other"), ("webhook-timestamp", "1700000000")):
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(got.body, got.headers | {name: value})
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(got.body.replace(b"0.875", b"0.999"), got.headers)


def test_a_failure_tells_its_code_and_no_path(house: House, receiver: Receiver) -> None:
    house.webhooks.add("ana", receiver.url())
    house.ended(status=Status.FAILURE, error=ERROR)

    house.send_due()

    told = json.loads(receiver.got[0].body)
    assert (told["type"], told["data"]["error_code"]) == ("run.failed", "out_of_memory")
    assert b"/home" not in receiver.got[0].body


def test_g18_a_receiver_that_is_down_is_told_when_it_is_up_with_the_same_message(house: House) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    hook, secret = house.webhooks.add("ana", f"http://127.0.0.1:{port}/hook")
    house.ended()

    assert house.send_due() == 1
    assert house.send_due() == 0  # not at once
    (delivery,) = house.webhooks.deliveries(hook.id)
    assert (delivery.state, delivery.last_status) == (State.WAITING, None)
    assert "connection failed" in (delivery.last_error or "")
    found = house.webhooks.find(hook.id)
    assert found is not None
    assert found.failing_since is not None
    with receiving(port) as receiver:
        receiver.answers = [(500, {}), (200, {})]
        for _ in range(2):
            house.make_due()
            assert house.send_due() == 1
        first, second = receiver.got
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    for got in (first, second):
        Verifier(secret).verify(got.body, got.headers)
    (delivery,) = house.webhooks.deliveries(hook.id)
    assert (delivery.state, delivery.attempts, delivery.last_error) == (State.DELIVERED, 3, None)
    found = house.webhooks.find(hook.id)
    assert found is not None
    assert found.failing_since is None


def test_waits_grow_and_a_receiver_may_ask_for_longer_ones(house: House, receiver: Receiver) -> None:
    hook, _ = house.webhooks.add("ana", receiver.url())
    house.ended()
    waits = []
    receiver.answers = [(500, {})] * 6 + [(503, {"Retry-After": "3000"}), (429, {"Retry-After": "never"})]
    for _ in range(8):
        house.make_due()
        house.send_due()
        (delivery,) = house.webhooks.deliveries(hook.id)
        waits.append(delivery.next_at - (delivery.last_at or 0))

    for number, wait in enumerate(waits[:6]):
        assert 0.7 * 5 * 4**number < wait < 1.3 * 5 * 4**number
    assert waits[6] >= 3000
    assert waits[7] <= 1.3 * 6 * 3600


def test_a_message_is_given_up_after_a_day_and_may_be_retried_by_hand(house: House, receiver: Receiver) -> None:
    hook, _ = house.webhooks.add("ana", receiver.url())
    house.ended()
    receiver.answers = [(500, {})]
    house.change("UPDATE deliveries SET happened_at = happened_at - 86400")

    house.send_due()

    (given_up,) = house.webhooks.deliveries(hook.id)
    assert given_up.state is State.FAILED
    house.make_due()
    assert house.send_due() == 0
    house.webhooks.retry(hook.id, given_up.number)
    assert house.send_due() == 1
    (again,) = house.webhooks.deliveries(hook.id)
    assert (again.state, again.attempts) == (State.DELIVERED, 2)


def test_a_receiver_that_fails_for_days_is_told_nothing_more_until_it_is_enabled(
    house: House, receiver: Receiver
) -> None:
    hook, _ = house.webhooks.add("ana", receiver.url("/hook?token=canary"))
    house.ended()
    receiver.answers = [(500, {}), (500, {})]
    house.send_due()
    assert house.said == []
    house.change("UPDATE webhooks SET failing_since = failing_since - 3 * 86400 - 1")
    house.make_due()

    house.send_due()

    found = house.webhooks.find(hook.id)
    assert found is not None
    assert found.disabled_why == "nothing was delivered for 3 days; at last: it answered 500"
    assert house.said == [f"webhook {hook.id} of ana was disabled: {found.disabled_why}"]
    house.ended()
    house.make_due()
    assert house.send_due() == 0
    house.webhooks.enable(hook.id)
    house.ended()
    house.make_due()
    assert house.send_due() == 2
    assert len(house.rows()) == 2


def test_a_receiver_that_is_gone_is_disabled_at_once(house: House, receiver: Receiver) -> None:
    hook, _ = house.webhooks.add("ana", receiver.url())
    house.ended()
    receiver.answers = [(410, {})]

    house.send_due()

    found = house.webhooks.find(hook.id)
    assert found is not None
    assert "410" in (found.disabled_why or "")
    assert house.rows("state") == [("failed",)]


def test_s76_a_redirect_is_not_followed(house: House, receiver: Receiver) -> None:
    with receiving() as inner:
        hook, _ = house.webhooks.add("ana", receiver.url())
        for status in (301, 302, 303, 307, 308):
            house.ended()
            receiver.answers = [(status, {"Location": inner.url()})]
            house.make_due()
            house.change("UPDATE deliveries SET state = 'failed' WHERE attempts > 0")
            assert house.send_due() == 1
            assert house.webhooks.deliveries(hook.id)[0].last_error == "it redirects, which is not followed"
        assert inner.got == []
    assert len(receiver.got) == 5


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (bad.resets, "the connection failed, or the answer was no HTTP"),
        (bad.babbles, "the connection failed, or the answer was no HTTP"),
        (bad.floods_headers, "the connection failed, or the answer was no HTTP"),
        (bad.drips, "no answer within 1 s"),
        (bad.says_nothing, "no answer within 1 s"),
        (bad.continues, "no answer within 1 s"),
        (bad.floods, None),
    ],
)
def test_s76_a_receiver_that_misbehaves_is_let_go(house: House, what: Any, told: str | None) -> None:
    with misbehaving(what) as (url, ends):
        hook, _ = house.webhooks.add("ana", url)
        house.ended()

        assert house.send_due() == 1

        (delivery,) = house.webhooks.deliveries(hook.id)
        assert delivery.last_error == told
        assert (delivery.state is State.DELIVERED) == (told is None)
    assert len(ends) == 1  # it did not go on for ever


def test_a_slow_receiver_holds_up_nobody_else(house: House, receiver: Receiver) -> None:
    receiver.hold.clear()
    with receiving() as quick:
        slow_hook, _ = house.webhooks.add("ana", receiver.url())
        house.webhooks.add("bo", quick.url())
        for _ in range(5):
            house.ended("ana")
        with house.postman:
            assert receiver.came.acquire(timeout=30)
            assert receiver.came.acquire(timeout=30)
            house.ended("bo")
            assert quick.came.acquire(timeout=30)
            # Of one owner two at once: the others wait in the table, not in our threads.
            assert sum(one.attempts for one in house.webhooks.deliveries(slow_hook.id)) <= 3
            receiver.hold.set()


def test_two_postmen_at_once_deliver_each_message_once(
    house: House, another: Callable[..., House], receiver: Receiver
) -> None:
    for owner in ("ana", "bo", "eve"):
        house.webhooks.add(owner, receiver.url())
        house.webhooks.add(owner, receiver.url())
    for at in range(15):
        house.ended(("ana", "bo", "eve")[at % 3])
    other = another()

    with house.postman, other.postman:
        until(lambda: house.rows("state") == [("delivered",)] * 30)

    assert len(receiver.ids) == len(set(receiver.ids)) == 30
    assert house.rows("attempts") == [(1,)] * 30
    assert house.said == other.said == []


def test_who_took_too_long_changes_nothing_any_more(
    house: House, another: Callable[..., House], receiver: Receiver
) -> None:
    hook, _ = house.webhooks.add("ana", receiver.url())
    house.ended()
    slow = house.postman.outbox.claim(house.webhooks.deliveries(hook.id)[0].number, house.webhooks.key)
    assert slow is not None
    assert house.webhooks.deliveries(hook.id)[0].being_sent
    assert another().send_due() == 0
    house.change("UPDATE deliveries SET claimed_until = 1")
    next_one = another().postman.outbox.claim(slow.number, house.webhooks.key)
    assert next_one is not None

    assert house.postman.outbox.settle(slow, Answer(204)) is None

    (delivery,) = house.webhooks.deliveries(hook.id)
    assert (delivery.state, delivery.being_sent, delivery.last_status) == (State.WAITING, True, None)
    house.change("UPDATE deliveries SET claimed_until = 1")
    assert another().send_due() == 1
    assert house.postman.outbox.settle(slow, Answer(None, "late")) is None

    (delivery,) = house.webhooks.deliveries(hook.id)
    assert (delivery.state, delivery.last_error) == (State.DELIVERED, None)


def test_over_tls_the_name_is_the_one_of_the_address_and_the_certificate_must_be_for_it(
    another: Callable[..., House],
) -> None:
    ours, others = trustme.CA(), trustme.CA()
    context = ssl.create_default_context()
    ours.configure_trust(context)
    house = another(tls=context)
    house.webhooks.resolve = lambda host, port: ["127.0.0.1"]

    def served(ca: trustme.CA, name: str) -> ssl.SSLContext:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(name).configure_cert(found)
        return found

    for ca, name, told in (
        (ours, "hooks.example", None),
        (ours, "other.example", "the certificate is not valid for this host"),
        (others, "hooks.example", "the certificate is not valid for this host"),
    ):
        with receiving(tls=served(ca, name)) as receiver:
            hook, _ = house.webhooks.add("ana", receiver.url(host="hooks.example"))
            house.webhooks.ping(hook.id)
            assert house.send_due() == 1
            assert house.webhooks.deliveries(hook.id)[0].last_error == told
            assert receiver.names == ["hooks.example"]
            assert len(receiver.got) == (0 if told else 1)
            house.webhooks.delete(hook.id)


def test_s76_a_name_that_leads_elsewhere_later_reaches_nothing(house: House, receiver: Receiver) -> None:
    """Rebinding: a public address while it is looked at, this machine's afterwards."""
    answers = ["93.184.216.34", "127.0.0.2"]
    house.webhooks.resolve = lambda host, port: [answers.pop(0)]
    url = receiver.url(host="rebinding.example")
    house.webhooks.look_at(url)
    hook, _ = house.webhooks.add("ana", url)
    house.webhooks.ping(hook.id)

    assert house.send_due() == 1

    (delivery,) = house.webhooks.deliveries(hook.id)
    assert delivery.last_error == "the host cannot be resolved to public addresses only"
    assert receiver.got == []
    assert answers == []


def test_s76_the_connection_goes_to_the_address_that_was_looked_at(house: House, receiver: Receiver) -> None:
    asked = []

    def changing(host: str, port: int) -> list[str]:
        """Were the name resolved once more, it would lead to where nobody listens."""
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.3"]

    house.webhooks.resolve = changing
    hook, _ = house.webhooks.add("ana", receiver.url(host="pinned.example"))
    house.webhooks.ping(hook.id)

    assert house.send_due() == 1

    assert asked == ["pinned.example"]
    assert receiver.got[0].headers["host"] == f"pinned.example:{receiver.port}"
    assert house.webhooks.deliveries(hook.id)[0].state is State.DELIVERED


def test_s76_proxies_of_the_environment_are_not_used(
    house: House, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    hook, _ = house.webhooks.add("ana", receiver.url())
    house.webhooks.ping(hook.id)

    house.send_due()

    assert house.webhooks.deliveries(hook.id)[0].state is State.DELIVERED


def test_a_disabled_user_is_told_nothing_more(house: House, receiver: Receiver) -> None:
    users = Users(house.engine)
    users.add("ana", Role.USER, "four words in a row")
    house.webhooks.add("ana", receiver.url())
    house.ended()
    users.disable(users.get("ana").id)

    house.send_due()

    assert receiver.got == []


def test_another_key_of_the_server_ends_a_webhook_and_says_so(
    house: House, receiver: Receiver, settings: Settings
) -> None:
    hook, _ = house.webhooks.add("ana", receiver.url())
    house.webhooks.ping(hook.id)
    (settings.results_dir / ".access" / "webhook_key").unlink()
    del house.webhooks.key

    house.send_due()

    found = house.webhooks.find(hook.id)
    assert found is not None
    assert "WEBHOOK_KEY" in (found.disabled_why or "")
    assert receiver.got == []


def test_s109_no_secret_is_in_the_database_or_in_what_is_said(house: House, receiver: Receiver) -> None:
    hook, secret = house.webhooks.add("ana", receiver.url("/hook?token=canary"))
    receiver.answers = [(500, {}), (410, {})]
    for _ in range(2):
        house.ended()
        house.make_due()
        house.send_due()

    names = ("webhooks", "deliveries", "experiments", "events")
    with database.read(house.engine) as connection:
        tables = [connection.execute(text(f"SELECT * FROM {name}")).all() for name in names]  # noqa: S608
    dump = repr(tables) + repr(house.said) + repr(house.webhooks.find(hook.id)) + repr(house.webhooks.all())
    bare = secret.removeprefix("whsec_")
    assert bare[:12] not in dump
    assert len(bare) == 44
    assert "canary" not in repr(house.said) + repr(house.webhooks.all())
    assert (house.settings.results_dir / ".access" / "webhook_key").stat().st_mode & 0o077 == 0


def test_what_ended_long_ago_or_belongs_to_nobody_is_forgotten(house: House, receiver: Receiver) -> None:
    hook, _ = house.webhooks.add("ana", receiver.url())
    house.ended()
    house.send_due()
    house.ended()
    house.change("UPDATE deliveries SET happened_at = happened_at - 2 * 86400, next_at = 1")

    house.postman.outbox.sweep()

    told = [("delivered", None), ("failed", "it was not sent in time")]
    assert house.rows("state, last_error") == told
    house.change("UPDATE deliveries SET happened_at = happened_at - 29 * 86400")
    house.ended()
    house.postman.outbox.sweep()
    assert house.rows("state") == [("waiting",)]
    house.webhooks.delete(hook.id)
    assert house.rows() == []


def test_an_outage_is_said_once_and_survived(house: House, receiver: Receiver) -> None:
    house.webhooks.add("ana", receiver.url())
    house.change("ALTER TABLE deliveries RENAME TO lost")
    for _ in range(3):
        house.postman.round()
    house.change("ALTER TABLE lost RENAME TO deliveries")
    house.ended()

    with house.postman:
        assert receiver.came.acquire(timeout=30)
        until(lambda: house.rows("state") == [("delivered",)])

    assert len(house.said) == 2
    assert house.said[0].startswith("webhooks, looking: the database cannot be used")
    assert house.said[1] == "webhooks, looking: going on"


def until(so: Callable[[], bool]) -> None:
    """Wait for it, not for a time."""
    deadline = time.monotonic() + 60
    while not so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
