"""A thread of the lane lets rows come that are on their way, and nobody waits for rows that are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from finetune30.modeling.shared import Row
from finetune30.serving import gathering as module
from finetune30.serving.crew import Crew
from finetune30.serving.gathering import Gathering, Load
from finetune30.serving.lane import Lane


class Waiting:
    """A thread that gathers, one row waiting, where so many requests were on their way before."""

    def __init__(self, before: int, *, on: bool = True, ago_s: float = 0.0) -> None:
        self.lock = threading.RLock()
        self.load = Load()
        self.gathering = Gathering(self.lock, self.load, on=on)
        with self.lock:
            self.load.inside = before
            self.gathering.more(1)
            self.gathering._expected_at -= ago_s
            self.load.inside = self.load.waiting = 1
        self.done = False
        self.thread = threading.Thread(target=self._gather, daemon=True)
        self.thread.start()

    def _gather(self) -> None:
        with self.lock:
            self.gathering.more(1)
            self.done = True

    def come(self, requests: int, rows: int | None = None, *, hurry: bool = False) -> None:
        rows = requests if rows is None else rows
        while not self.gathering.is_going_on:
            time.sleep(0.001)
        with self.lock:
            self.load.waiting += rows
            self.load.inside += requests
            self.load.came += rows
            self.gathering.came(hurry=hurry)

    def ends(self) -> bool:
        self.thread.join(30)
        return self.done


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever waits too long would do so for ever."""
    monkeypatch.setattr(module, "_MORE_S", 600.0)
    monkeypatch.setattr(module, "_LONGEST_S", 600.0)
    return


@pytest.mark.usefixtures("patient")
def test_requests_that_were_on_their_way_are_waited_for() -> None:
    waiting = Waiting(10)
    waiting.come(4)
    assert not waiting.done
    waiting.come(4)

    assert waiting.ends()
    assert waiting.load.requests == 9, "nine of the ten"


@pytest.mark.usefixtures("patient")
def test_rows_of_a_batch_are_enough_whatever_else_is_on_its_way() -> None:
    waiting = Waiting(200)
    waiting.come(2, 14)
    assert not waiting.done
    waiting.come(1)

    assert waiting.ends()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("end", [lambda one: one.come(1, hurry=True), lambda one: one.gathering.end()])
def test_the_service_s_own_rows_and_the_end_wait_for_nobody(end: Callable[[Waiting], None]) -> None:
    waiting = Waiting(100)
    waiting.come(1)
    with waiting.lock:
        end(waiting)

    assert waiting.ends()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("before", "on", "ago_s"), [(7, True, 0.0), (100, False, 0.0), (100, True, 1.0)])
def test_where_few_are_on_their_way_or_long_ago_nobody_waits(before: int, on: bool, ago_s: float) -> None:
    assert Waiting(before, on=on, ago_s=ago_s).ends()


@pytest.mark.usefixtures("patient")
def test_rows_of_one_request_are_not_many_on_their_way() -> None:
    lock, load = threading.RLock(), Load(["one"], waiting=500)
    gathering = Gathering(lock, load, on=True)
    with lock:
        for _ in range(3):
            gathering.more(1)


def test_rows_that_do_not_come_are_waited_for_once() -> None:
    waiting = Waiting(100)

    assert waiting.ends()
    assert waiting.load.waiting == 1
    assert waiting.gathering._expected == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_every_row_is_answered_under_load_and_when_the_lane_closes(workers: int) -> None:
    class Engine:
        mixes = True
        batches: list[int] = []  # noqa: RUF012

        def logits(self, rows: list[Row]) -> list[np.ndarray]:
            self.batches.append(len(rows))
            time.sleep(0.002)
            return [np.full(2, len(row.ids), np.float32) for row in rows]

    lane, engine = Lane(crew=Crew(workers, 1, gathers=True)), Engine()

    def ask(length: int) -> int:
        return int(lane.ask(engine, [Row(np.zeros(length, np.int32), None, "adapter")]).result(60)[0][0])

    with ThreadPoolExecutor(24) as clients:
        assert list(clients.map(ask, range(1, 401))) == list(range(1, 401))
    left = [lane.ask(engine, [Row(np.zeros(5, np.int32), None, "adapter")]) for _ in range(5)]
    lane.close()

    assert [int(one.result(60)[0][0]) for one in left] == [5] * 5
    assert sum(engine.batches) == 405
