"""Threads of the lane: each computes batches of its own, and nobody else's threads are changed by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from finetune30.modeling.shared import Row
from finetune30.serving import crew
from finetune30.serving.crew import Crew, crew_for, rows_for
from finetune30.serving.lane import Lane, Logits


class Meeting:
    """An engine whose batches wait for each other."""

    mixes = True

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties)
        self.threads: set[int] = set()

    def logits(self, rows: Sequence[Row]) -> Logits:
        self.threads.add(torch.get_num_threads())
        self.barrier.wait(60)
        return [np.full(2, len(row.ids), np.float32) for row in rows]


def _rows(count: int) -> list[Row]:
    return [Row(np.zeros(length, np.int32), None, "adapter") for length in range(1, count + 1)]


def test_two_workers_compute_at_a_time_and_each_row_has_its_answer() -> None:
    lane, engine = Lane(crew=Crew(2, 1)), Meeting(2)
    found = lane.ask(engine, _rows(32)).result(60)
    lane.close()
    assert [int(one[0]) for one in found] == list(range(1, 33))
    assert engine.threads == {1}
    assert lane.figures.rows == 32


def test_seconds_in_which_two_batches_are_computed_count_once_for_the_lane() -> None:
    class Slow(Meeting):
        def logits(self, rows: Sequence[Row]) -> Logits:
            found = super().logits(rows)
            time.sleep(0.1)
            return found

    lane = Lane(crew=Crew(2, 1))
    lane.ask(Slow(2), _rows(32)).result(60)
    lane.close()

    assert 0 < lane.figures.computing_s < 0.75 * lane.figures.busy_s


def test_an_engine_that_does_not_mix_computes_one_batch_at_a_time() -> None:
    class Alone:
        mixes = False
        inside = 0

        def logits(self, rows: Sequence[Row]) -> Logits:
            self.inside += 1
            assert self.inside == 1
            self.inside -= 1
            return [np.zeros(2, np.float32) for _ in rows]

    lane, engine = Lane(crew=Crew(4, 1)), Alone()
    for asked in [lane.ask(engine, _rows(8)) for _ in range(50)]:
        assert len(asked.result(60)) == 8
    lane.close()


def test_threads_of_others_stay_as_many_as_they_were() -> None:
    before = torch.get_num_threads()
    lane = Lane(crew=Crew(2, 1))
    late: list[int] = []
    thread = threading.Thread(target=lambda: late.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    lane.close()
    assert torch.get_num_threads() == before
    assert late == [before]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (1, Crew(1, 1, (1,), gathers=True)),
        (2, Crew(2, 1, (1, 2), gathers=True)),
        (3, Crew(2, 1, (1, 2))),
        (4, Crew(3, 1, (1, 2, 4))),
        (8, Crew(4, 1, (1, 2, 4))),
        (16, Crew(4, 3, (1, 2, 4))),
    ],
)
def test_the_crew_leaves_a_core_to_http_where_two_compute(
    monkeypatch: pytest.MonkeyPatch, there: int, expected: Crew
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(crew, "cores", lambda: there)
    assert crew_for("cpu", beside=1) == expected


@pytest.mark.parametrize(("seconds", "here"), [(0.0, True), (0.2, False), (0.0, None)])
def test_a_short_row_is_computed_by_who_asks_where_that_is_known_to_be_quick(seconds: float, here: bool | None) -> None:
    """None: nothing of the base was timed."""
    threads: list[threading.Thread] = []

    class Engine:
        mixes = True

        def logits(self, rows: Sequence[Row]) -> Logits:
            threads.append(threading.current_thread())
            time.sleep(seconds)
            return [np.zeros(2, np.float32) for _ in rows]

    lane, engine = Lane(crew=Crew(1, 1)), Engine()
    row = Row(np.zeros(16, np.int32), None, "adapter")
    try:
        if here is not None:
            lane.ask(engine, [row]).result(60)
            until_idle(lane)
        threads.clear()
        lane.ask(engine, [row], here=True).result(60)
    finally:
        lane.close()

    assert (threads == [threading.current_thread()]) is bool(here)


def until_idle(lane: Lane) -> None:
    while not lane.is_idle:
        time.sleep(0.001)


def test_a_gpu_has_one_thread() -> None:
    assert crew_for("cuda:0", beside=1) == Crew()


def test_a_gpu_computes_larger_batches() -> None:
    assert (rows_for("cpu"), rows_for("mps"), rows_for("cuda:0")) == (32, 32, 128)
