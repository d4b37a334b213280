"""A thread of the lane lets rows come that are on their way, and nobody waits for rows that are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from finetune30.modeling.shared import Row
from finetune30.serving import gathering
from finetune30.serving.crew import Crew
from finetune30.serving.gathering import Gathering, Load
from finetune30.serving.lane import Lane


class Waiting:
    """A thread that gathers for a lane of two, where so many rows were on their way before."""

    def __init__(self, before: int, *, on: bool = True) -> None:
        self.lock = threading.RLock()
        self.load = Load()
        self.gathering = Gathering(self.lock, self.load, on=on)
        with self.lock:
            self.load.waiting = before
            self.gathering.more(1)
            self.load.waiting = 1
        self.done = False
        self.thread = threading.Thread(target=self._gather, daemon=True)
        self.thread.start()

    def _gather(self) -> None:
        with self.lock:
            self.gathering.more(1)
            self.done = True

    def come(self, rows: int, *, hurry: bool = False) -> None:
        while not self.gathering.is_going_on:
            time.sleep(0.001)
        with self.lock:
            self.load.waiting += rows
            self.load.came += rows
            self.gathering.came(hurry=hurry)

    def ends(self) -> bool:
        self.thread.join(30)
        return self.done


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever waits too long would do so for ever."""
    monkeypatch.setattr(gathering, "_MORE_S", 600.0)
    monkeypatch.setattr(gathering, "_LONGEST_S", 600.0)
    return


@pytest.mark.usefixtures("patient")
def test_rows_that_were_on_their_way_are_waited_for() -> None:
    waiting = Waiting(10)
    waiting.come(4)
    assert not waiting.done
    waiting.come(4)

    assert waiting.ends()
    assert waiting.load.waiting == 9, "nine of the ten"


@pytest.mark.usefixtures("patient")
def test_rows_of_a_batch_are_enough_whatever_else_is_on_its_way() -> None:
    waiting = Waiting(200)
    waiting.come(14)
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
@pytest.mark.parametrize(("before", "on"), [(7, True), (100, False)])
def test_where_few_are_on_their_way_nobody_waits(before: int, on: bool) -> None:
    assert Waiting(before, on=on).ends()


def test_rows_that_do_not_come_are_not_waited_for() -> None:
    waiting = Waiting(100)

    assert waiting.ends()
    assert waiting.load.waiting == 1


def test_what_was_on_its_way_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(16)
    assert waiting.ends()
    with waiting.lock:
        for _ in range(12):
            waiting.gathering.more(1)
        monkeypatch.setattr(gathering, "_MORE_S", 600.0)
        monkeypatch.setattr(gathering, "_LONGEST_S", 600.0)
        waiting.gathering.more(1)


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
