"""Who brings much waits longer than who brings little."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from finetune30.api.turns import Turns

PATIENCE_S = 30


@pytest.fixture
def turns() -> Iterator[Turns]:
    found = Turns(2, "test")
    yield found
    found.end()
    found.wait()


def test_owners_take_turns_and_none_has_both_threads_while_another_waits(turns: Turns) -> None:
    began: list[str] = []
    gates = {name: threading.Event() for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1")}
    futures: dict[str, Future[bool]] = {}

    def work(name: str) -> Callable[[], bool]:
        def run() -> bool:
            began.append(name)
            return gates[name].wait(PATIENCE_S)

        return run

    def let(name: str) -> None:
        gates[name].set()
        assert futures[name].result(PATIENCE_S)

    def until(count: int) -> None:
        for _ in range(3000):
            if len(began) == count:
                return
            threading.Event().wait(0.01)
        raise AssertionError(began)

    for name in ("a1", "a2", "a3", "a4"):
        futures[name] = turns.submit("a", work(name))
    until(2)
    for name in ("b1", "b2", "c1"):
        futures[name] = turns.submit(name[0], work(name))
    for ended, (name, count) in enumerate([("a1", 3), ("a2", 4), ("b1", 5), ("c1", 6), ("a3", 7)]):
        let(name)
        until(count)
        assert len(began) - ended - 1 == 2

    assert began == ["a1", "a2", "b1", "a3", "c1", "b2", "a4"]
    for gate in gates.values():
        gate.set()


def test_what_fails_is_told_and_the_next_one_is_done(turns: Turns) -> None:
    failed: Future[float] = turns.submit("a", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        failed.result(PATIENCE_S)
    assert turns.submit("a", lambda: 7).result(PATIENCE_S) == 7


def test_what_waits_at_the_end_is_cancelled() -> None:
    turns, gate = Turns(1, "test"), threading.Event()
    begun, waiting = turns.submit("a", lambda: gate.wait(PATIENCE_S)), turns.submit("b", lambda: True)
    while not begun.running():
        threading.Event().wait(0.01)

    turns.end()
    gate.set()
    turns.wait()

    assert begun.result(0)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        turns.submit("a", lambda: True)
