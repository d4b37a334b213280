"""How often live pages are drawn by themselves where the machine has something else to compute."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from finetune30.ui.pace import LONGEST_REST_S, LONGEST_WAIT_S, RESTS, SHARE, Pace
from finetune30.ui.sockets import Sockets

CORES, EVERY_S, COST_S = 2, 2.0, 0.02


class World:
    """A machine and a clock that the test moves; each look takes ``COST_S`` of the processor, and so long."""

    cores = CORES

    def __init__(self, busy: float) -> None:
        self.now, self.spent, self.used = 1000.0, 5.0, busy
        self.pace = Pace(self, lambda: self.now)  # type: ignore[arg-type]

    def spent_s(self) -> float:
        return self.spent

    def busy(self) -> float:
        return self.used

    def look(self, page: object, lasts: float = COST_S) -> bool:
        if not self.pace.may_look(page):
            return False
        self.now += lasts
        self.spent += COST_S
        self.pace.looked(page)
        return True

    def watched(self, pages: int, seconds: float) -> list[int]:
        """How often each page is drawn while the browsers of all ask every two seconds."""
        drawn, began = [0] * pages, self.now
        while self.now < began + seconds:
            asked = self.now
            for page in range(pages):
                drawn[page] += self.look(page)
            self.now = max(self.now, asked + EVERY_S)
        return drawn


def test_on_an_idle_machine_each_page_is_drawn_whenever_its_browser_asks() -> None:
    assert World(busy=0.3).watched(20, 60) == [30] * 20


def test_three_people_are_not_held_back_by_a_training() -> None:
    assert World(busy=1.0).watched(3, 60) == [30] * 3


def test_twenty_pages_share_what_they_may_take_of_a_busy_machine_and_none_is_left_out() -> None:
    world = World(busy=1.0)
    world.watched(20, 30)  # it has seen by then how many there are
    before = world.spent

    drawn = world.watched(20, 240)

    assert (world.spent - before) / 240 / CORES <= SHARE
    assert min(drawn) >= 15
    assert max(drawn) - min(drawn) <= 1


def test_those_who_have_left_make_room() -> None:
    world = World(busy=1.0)
    world.watched(20, 30)
    for page in range(1, 20):
        world.pace.left(page)
    world.now += 30

    assert world.watched(1, 60) == [30]


def test_a_page_that_took_long_rests_for_longer_but_not_for_ever() -> None:
    world = World(busy=0.0)
    assert world.look("slow", lasts=1.0)
    world.now += RESTS - 0.1
    assert not world.look("slow")
    world.now += 0.2
    assert world.look("slow", lasts=60.0)

    world.now += LONGEST_REST_S + 0.1
    assert world.look("slow")


def test_a_look_beside_much_else_is_not_taken_for_a_dear_one() -> None:
    world = World(busy=1.0)
    for page in ("one", "other"):
        assert world.pace.may_look(page)
    world.now += 3.0
    world.spent += 3.0  # by clicks, or the start of the page
    for page in ("one", "other"):
        world.pace.looked(page)

    world.now += 3.1
    assert world.look("one")


def test_however_many_look_none_waits_for_long() -> None:
    world = World(busy=1.0)
    for page in range(1000):
        assert world.look(page)

    world.now += LONGEST_WAIT_S + 0.1
    assert all(world.look(page) for page in range(1000))


def test_a_page_is_not_asked_to_be_drawn_again_while_it_is_drawn_unless_that_is_never_told() -> None:
    world = World(busy=0.0)
    assert world.pace.may_look("page")
    world.now += EVERY_S
    assert not world.pace.may_look("page")

    world.now += 60
    assert world.pace.may_look("page")


def _asks(fragment: str, *, by_itself: bool) -> Message:
    said = BackMsg()
    said.rerun_script.fragment_id = fragment
    said.rerun_script.is_auto_rerun = by_itself
    return {"type": "websocket.receive", "bytes": said.SerializeToString()}


def _finished() -> Message:
    told = ForwardMsg()
    told.script_finished = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
    told.metadata.active_script_hash = "f" * 400  # as long as the names of ten parts
    return {"type": "websocket.send", "bytes": told.SerializeToString()}


@pytest.mark.parametrize("drawn", [False, True])
def test_looks_too_early_do_not_reach_the_page_and_clicks_always_do(drawn: bool) -> None:
    heard: list[tuple[str, bool]] = []
    world = World(busy=0.0)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        while (found := await receive())["type"] == "websocket.receive":
            said = BackMsg.FromString(found["bytes"]).rerun_script
            heard.append((said.fragment_id, said.is_auto_rerun))
            if drawn:
                await send(_finished())

    said = [_asks("a", by_itself=True), _asks("a", by_itself=True), _asks("b", by_itself=True)]
    said += [_asks("a", by_itself=False), _asks("", by_itself=False), {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> Message:
        return said.pop(0)

    async def send(_: Message) -> None:
        world.now += 0.001

    seat = SimpleNamespace(sessions=set(), at_end=lambda _: None, forget=lambda _: None)
    scope = {"type": "websocket", "headers": []}
    asyncio.run(Sockets(page, world.pace).serve(seat, scope, receive, send))  # type: ignore[arg-type]

    # What takes no time needs no rest.
    again = [("a", True)] if drawn else []
    assert heard == [("a", True), *again, ("b", True), ("a", False), ("", False)]
    assert not world.pace._asked  # nobody is left behind


def test_names_of_parts_that_no_page_has_are_not_kept() -> None:
    """Whoever makes them up takes neither memory nor others' share."""
    world = World(busy=1.0)
    made_up = [f"made up {number}" for number in range(1000)] + ["long" * 1000]
    said = [_asks(name, by_itself=True) for name in made_up]
    said += [{"type": "websocket.disconnect", "code": 1000}]
    kept: list[int] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] == "websocket.receive":
            kept.append(len(world.pace._asked))

    async def receive() -> Message:
        return said.pop(0)

    async def send(_: Message) -> None:
        pass

    seat = SimpleNamespace(sessions=set(), at_end=lambda _: None, forget=lambda _: None)
    scope = {"type": "websocket", "headers": []}
    asyncio.run(Sockets(page, world.pace).serve(seat, scope, receive, send))  # type: ignore[arg-type]

    assert len(kept) == 1001
    assert max(kept) <= 8
