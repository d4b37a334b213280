"""Watching: every event once and in order, whatever happens to the connection."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from finetune30 import errors
from finetune30.client import Client, sse
from finetune30.client.sse import messages
from tests.api.service import PASSWORD, Person, Service, serving
from tests.client.canned import Canned, answer, problem, stream
from tests.client.conftest import Connect, url_of
from tests.proxy import Proxy

CONFIG = {"experiment_name": "watched"}


def _event(number: int, message: str = "said") -> dict[str, Any]:
    return {"number": number, "experiment_id": "t", "at": 1.0, "attempt": 0, "kind": "state", "message": message}


def _happen(service: Service, task_id: str, times: int) -> None:
    """So many times paused and resumed."""
    for _ in range(times):
        service.services.jobs.pause(task_id)
        service.services.jobs.resume(task_id)


def test_a_task_is_watched_until_its_end(service: Service, ana: Person, connect: Connect) -> None:
    client = connect(ana)
    task = client.train(CONFIG)
    news = client.watch(task.task_id)
    assert next(news).message
    _happen(service, task.task_id, 1)
    client.cancel(task.task_id)
    rest = list(news)
    assert (rest[-1].kind, rest[-1].status) == ("end", "REVOKED")
    numbers = [one.event.number for one in rest if one.event]
    assert numbers == [event.number for event in client.events(task.task_id)][1:]
    last = numbers[-1]
    assert [one.kind for one in client.watch(task.task_id, after=last)] == ["end"]


def test_a_stream_that_is_cut_again_and_again_loses_no_event_and_doubles_none(
    service: Service, ana: Person, connect: Connect, wire: Proxy
) -> None:
    client = connect(ana, url_of(wire))
    task_id = client.train(CONFIG).task_id
    seen: list[int] = []

    def watch() -> None:
        seen.extend(one.event.number for one in client.watch(task_id, silence_s=5) if one.event)

    watching = threading.Thread(target=watch)
    watching.start()
    for _ in range(3):
        _happen(service, task_id, 2)
        time.sleep(0.7)
        wire.become("reset")
        _happen(service, task_id, 2)
        wire.become("pass")
    service.services.jobs.cancel(task_id)
    watching.join(60)

    assert not watching.is_alive()
    assert seen == [event.number for event in service.services.jobs.queue.events(task_id)]
    assert len(seen) > 20


def test_a_stream_goes_on_behind_the_last_event_that_was_whole() -> None:
    half = b'id: 3\nevent: state\ndata: {"number": 3, "at'
    first = stream((1, "state", _event(1)), (2, "state", _event(2)), cut=half)
    second = stream((2, "state", _event(2)), (3, "state", _event(3)), (None, "end", {"status": "SUCCESS"}))
    task = {"task_id": "t", "status": "STARTED", "owner": "a", "name": "n", "created_at": 1.0}
    nothing = answer(200, {"events": [], "has_more": False, "next": None})
    with (
        Canned(first, answer(200, task), nothing, second) as server,
        Client(server.url, token="t") as client,
    ):
        assert [one.event.number if one.event else one.kind for one in client.watch("t")] == [1, 2, 3, "end"]
        assert "last-event-id: 2" in server.requests[3].lower()
        assert "last-event-id" not in server.requests[0].lower()


def test_where_streams_do_not_come_through_the_list_is_asked(tmp_path: Path) -> None:
    def held_back(app: Any, _: Any) -> Any:
        async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
            streams = any(name == b"accept" and b"event-stream" in value for name, value in scope.get("headers", ()))

            if not streams:
                await app(scope, receive, send)
                return
            while (await receive())["type"] != "http.disconnect":
                continue

        return proxy

    with serving(tmp_path, {}, held_back) as service:
        person = service.person()
        with Client(service.url) as client:
            client.login(person.name, PASSWORD)
            task_id = client.train(CONFIG).task_id
            news = client.watch(task_id, silence_s=0.3)
            found = [next(news)]
            _happen(service, task_id, 1)
            service.services.jobs.cancel(task_id)
            found += news
            numbers = [one.event.number for one in found if one.event]
            assert numbers == [event.number for event in client.events(task_id)]
            assert (found[-1].kind, found[-1].status) == ("end", "REVOKED")


def test_an_expired_token_does_not_end_the_watching(service: Service, ana: Person, connect: Connect) -> None:
    client = connect(ana)
    task_id = client.train(CONFIG).task_id
    client.cancel(task_id)
    session = client.session
    assert session is not None
    expired = type(session)("an.expired.token", session.refresh_token)
    with Client(service.url, session=expired) as again:
        assert [one.kind for one in again.watch(task_id)][-1] == "end"


def test_a_server_that_was_never_there_is_told_at_once_one_that_went_after_the_patience(free_port: int) -> None:
    with (
        Client(f"http://127.0.0.1:{free_port}", token="t", tries=1) as client,
        pytest.raises(errors.Unreachable, match="nothing answers"),
    ):
        list(client.watch("t"))
    gone = problem(503, "storage_unusable")
    with Canned(stream((1, "state", _event(1))), gone) as server, Client(server.url, token="t", tries=1) as client:
        news = client.watch("t", patience_s=0)
        assert next(news).status is None
        with pytest.raises(errors.ServerFault, match="come back with: finetune30 watch t"):
            next(news)


def test_watching_what_is_not_there_or_not_ones_own_is_refused(service: Service, ana: Person, connect: Connect) -> None:
    client = connect(ana)
    with pytest.raises(errors.NotFound):
        list(client.watch("nothing"))
    others = connect(service.person()).train(CONFIG)
    with pytest.raises(errors.Forbidden):
        list(client.watch(others.task_id))


@pytest.mark.parametrize("data", ["no json", "[]", '{"number": "x"}', '{"number": 1}'])
def test_a_stream_that_is_none_of_ours_is_said_to_be(data: str) -> None:
    said = stream(cut=f"event: state\ndata: {data}\n\nevent: end\ndata: {data}\n\n".encode())
    with (
        Canned(said) as server,
        Client(server.url, token="t") as client,
        pytest.raises(errors.WrongServer, match="none of ours"),
    ):
        list(client.watch("t"))


@given(
    events=st.lists(st.tuples(st.integers(0, 99), st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")))),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 400)),
)
def test_however_a_stream_is_cut_into_pieces_its_messages_are_the_same(
    events: list[tuple[int, str]], end: str, cuts: list[int]
) -> None:
    told = "".join(f": alive{end}id: {n}{end}event: e{end}data: {text}{end}{end}" for n, text in events) + f": x{end}"
    data = told.encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(places)]

    found = [one for one in messages(pieces) if one is not None]

    assert [(int(one.last_id), one.data, one.kind) for one in found] == [(n, text, "e") for n, text in events]


def test_a_message_is_what_the_standard_says_it_is() -> None:
    told = b"\xef\xbb\xbfdata: a\ndata:b\ndata:  c\nid\n\n"
    told += b"id: 7\nretry: 3\nunknown: x\ndata\n\nid: 8\n\nevent: e\n\ndata: half"
    found = [one for one in messages([told]) if one is not None]
    assert [(one.kind, one.data, one.last_id) for one in found] == [("message", "a\nb\n c", ""), ("message", "", "7")]
    for endless in (b"x" * (sse.LONGEST + 1), b"data: x\n" * sse.LONGEST):
        with pytest.raises(ValueError, match="too long"):
            list(messages([endless]))
