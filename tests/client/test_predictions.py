"""Questions to the service of predictions, against real ones: of one machine, and of a platform that wants tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from finetune30 import errors
from finetune30.access import Role
from finetune30.client import Client, Session
from finetune30.client.predictions import in_turns
from tests.serving.desk import PASSWORD, Desk, serving


@pytest.fixture(scope="module")
def desk(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """On one machine."""
    with serving(tmp_path_factory.mktemp("asked"), tiny_model("bert"), {}) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Beside a platform."""
    values = {"BROKER_URL": "redis://127.0.0.1:1/0", "PREDICTIONS_PER_MINUTE": 0}
    with serving(tmp_path_factory.mktemp("asked-guarded"), tiny_model("bert"), values) as found:
        yield found


def test_texts_are_answered_by_the_adapters_that_were_named(desk: Desk) -> None:
    with Client(serving_url=desk.url, tries=1) as client:
        assert (client.serving_health(), client.serving().adapters, client.adapters()) == ("waiting", 0, [])
        run, other = desk.run(seed=3), desk.run(seed=4, labels=3)
        desk.alias("films", "champion", run)

        told = client.predict("good film", adapter="films@champion", top_k=2)
        both = client.predict(["good film", "bad film"], adapter=[run, other], top_k=3)
        many = list(client.predict_all((f"film {at}" for at in range(9)), adapter=run, at_once=4))

        (one,) = told.predictions
        assert (one.adapter.id, one.adapter.model, one.adapter.alias) == (run, "films", "champion")
        assert one.label_name == one.top_k[0].label_name
        assert sum(score.probability for score in one.top_k) == pytest.approx(1, abs=1e-4)
        assert told.latency_ms > 0
        assert [len(row.top_k) for row in both.predictions] == [2, 3]
        assert [row.label for row in many] == [
            client.predict(f"film {at}", adapter=run).predictions[0].label for at in range(9)
        ]
        assert {adapter.id for adapter in client.adapters()} == {run, other}
        assert client.serving().model_id
        assert client.serving_health() == "ready"


def test_a_token_or_an_api_key_asks_where_one_is_wanted(guarded: Desk) -> None:
    user = guarded.access.users.add("kim", Role.USER, PASSWORD)
    run = guarded.run(owner="kim")
    _, key = guarded.access.keys.make(user.id, "shop")
    with Client(serving_url=guarded.url) as nobody, pytest.raises(errors.LoginNeeded):
        nobody.predict("good film", adapter=run)
    for token in (guarded.access.tokens.issue(user).token, key):
        with Client(serving_url=guarded.url, token=token) as client:
            assert client.predict("good film", adapter=run).predictions[0].adapter.id == run
            with pytest.raises(errors.Denied):
                client.predict("good film", adapter=guarded.run(owner="lee"))
            with pytest.raises(errors.Missing):
                client.predict("good film", adapter="nobody@knows")


def test_a_service_that_is_away_says_what_to_start() -> None:
    with Client(serving_url="http://127.0.0.1:1", tries=1) as client, pytest.raises(errors.Unreachable) as caught:
        client.serving_health()
    assert "finetune30 serve" in str(caught.value)


def test_what_is_no_service_of_predictions_is_told_apart() -> None:
    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>")

    with (
        Client(transport=httpx.MockTransport(page), token="t" * 20) as client,
        pytest.raises(errors.WrongServer, match="SERVING_URL"),
    ):
        client.predict("good film")


class Loses(httpx.HTTPTransport):
    """A wire that loses the first answer."""

    asked = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        answer = super().handle_request(request)
        if self.asked > 1:
            return answer
        answer.close()
        raise httpx.ReadError("lost", request=request)


def test_a_question_whose_answer_was_lost_is_asked_again(desk: Desk) -> None:
    run, wire = desk.run(seed=9), Loses()
    with Client(serving_url=desk.url, transport=wire) as client:
        assert client.predict("good film", adapter=run).predictions[0].adapter.id == run
    assert wire.asked == 2


def test_no_token_goes_to_a_service_elsewhere_over_plain_http() -> None:
    asked: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={})

    session = Session("t" * 20)
    options = {"transport": httpx.MockTransport(note), "serving_url": "http://serving.example.org:8002"}
    with Client(session=session, **options) as client, pytest.raises(errors.UsageError, match="plain HTTP"):  # type: ignore[arg-type]
        client.adapters()
    assert asked == []


def test_the_key_of_the_page_stays_with_the_api() -> None:
    asked: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"adapters": []})

    given = {"forwarded_for": "10.0.0.1", "trusted_key": "k" * 20, "token": "t" * 20}
    with Client(transport=httpx.MockTransport(note), **given) as client:  # type: ignore[arg-type]
        assert client.adapters() == []
    assert "k" * 20 not in str(asked[0].headers)
    assert asked[0].headers["authorization"] == f"Bearer {'t' * 20}"


def test_texts_are_divided_by_number_and_by_weight() -> None:
    heavy = "界" * 200_000
    assert [len(some) for some in in_turns([("a",)] * 10, 4)] == [4, 4, 2]
    assert [len(some) for some in in_turns([(heavy,), ("a",), (heavy,), ("b",)], 64)] == [2, 2]
    assert [len(some) for some in in_turns([("a", heavy)] * 3, 64)] == [1, 1, 1]
    assert list(in_turns([], 4)) == []


def test_second_texts_go_along(desk: Desk) -> None:
    run = desk.run(seed=5)
    with Client(serving_url=desk.url) as client:
        with pytest.raises(errors.Refused, match="cannot be answered"):
            list(client.predict_all(["a"] * 3, pairs=["b"] * 3, adapter=run))
        with pytest.raises(ValueError, match="shorter"):
            list(client.predict_all(["a"] * 3, pairs=["b"] * 2, adapter=run))


def test_more_texts_than_a_question_holds_are_refused_here() -> None:
    with Client() as client:
        for texts in ([], ["a"] * 513):
            with pytest.raises(errors.UsageError, match="expected 1 to 512"):
                client.predict(texts)
