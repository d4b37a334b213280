"""What one asker may not do to the others: fill the queue for nothing, hold the loop, or the threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune30.access import Role
from finetune30.modeling.shared import Row
from tests.serving.desk import Desk, serving
from tests.serving.test_service import waited


class _Stuck:
    """An engine that computes when it is told to."""

    mixes = True

    def __init__(self) -> None:
        self.may = threading.Event()
        self.began = threading.Event()

    def logits(self, rows: Any) -> Any:
        self.began.set()
        self.may.wait()
        return [np.ones(2)] * len(rows)


@contextmanager
def stuck(desk: Desk) -> Iterator[Future[Any]]:
    """The lane computes nothing until the block ends."""
    engine, live = _Stuck(), desk.service.following.live(None)
    row = Row(np.zeros(3, np.int32), None, live.adapter)
    future = desk.service.following.host.lane.ask(engine, [row])
    assert engine.began.wait(60)
    try:
        yield future
    finally:
        engine.may.set()


def test_s99_many_who_ask_for_health_share_one_row(desk: Desk) -> None:
    lane = desk.service.following.host.lane
    desk.post("/predict", {"text": "film"}).raise_for_status()
    with ThreadPoolExecutor(20) as pool:
        with stuck(desk):
            before = lane.figures.rows
            asked = [pool.submit(desk.get, "/health") for _ in range(20)]
            waited(lambda: lane.waiting >= 1)
            time.sleep(0.3)
            most = lane.waiting
        assert {one.result().status_code for one in asked} == {200}
    assert most == 1
    assert lane.figures.rows == before + 2  # the stuck one and the probe


def test_s99_a_full_queue_is_not_unhealthy(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    with serving(tmp_path, tiny_model("bert"), {"SERVING_QUEUE": 512}) as desk:
        desk.run()
        assert desk.get("/ready").status_code == 200
        lane, live = desk.service.following.host.lane, desk.service.following.live(None)
        row = Row(np.zeros(3, np.int32), None, live.adapter)
        order: list[str] = []
        with ThreadPoolExecutor(1) as pool:
            with stuck(desk):
                waiting = [lane.ask(live.engine, [row]) for _ in range(512)]
                waiting[-1].add_done_callback(lambda _: order.append("the last that waited"))
                assert desk.post("/predict", {"text": "film"}).status_code == 429
                health = pool.submit(desk.get, "/health")
                waited(lambda: lane.waiting == 513)
                lane._turns[0].future.add_done_callback(lambda _: order.append("health"))
            assert health.result().status_code == 200
        waiting[-1].result(60)
    assert order == ["health", "the last that waited"]


@contextmanager
def slow_loads(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Loads do not end before the block does, as of a base that is large; the runs whose load began."""
    host, may = desk.service.following.host, threading.Event()
    load, began = host._load, list[str]()

    def slow(found: Any) -> Any:
        began.append(found.experiment_id)
        may.wait()
        return load(found)

    monkeypatch.setattr(host, "_load", slow)
    try:
        yield began
    finally:
        may.set()


def test_s99_slow_loads_stop_nobody_whose_adapter_is_in_memory(
    tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More requests wait for loads than there are threads; tokens, long texts and answers go on."""
    # Names are not looked at meanwhile: nothing but these requests loads.
    values = {"BROKER_URL": "redis://127.0.0.1:1/0", "PREDICTIONS_PER_MINUTE": 0, "SERVING_POLL_S": 300}
    with serving(tmp_path, tiny_model("bert"), values) as desk:
        _slow_loads_stop_nobody(desk, monkeypatch)


def _slow_loads_stop_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"text": "film", "adapter": desk.run(seed=70)}
    token = desk.token("fay", Role.ADMIN)
    desk.post("/predict", here, token).raise_for_status()
    runs = [desk.run(seed=71 + number) for number in range(2)]
    with ThreadPoolExecutor(60) as pool:
        with slow_loads(desk, monkeypatch) as began:
            asked = [
                pool.submit(desk.post, "/predict", {"text": "film", "adapter": runs[number % 2]}, token)
                for number in range(60)
            ]
            waited(lambda: set(began) == set(runs))
            time.sleep(0.5)
            assert desk.post("/predict", here, token, timeout=20).status_code == 200
            assert desk.post("/predict", {**here, "text": "film " * 2000}, token, timeout=20).status_code == 200
            other = desk.token("gus")  # looked up in the database
            assert desk.client.get("/adapters", headers={"Authorization": f"Bearer {other}"}, timeout=20).is_success
            assert desk.post("/predict", {**here, "adapter": runs[0]}, other, timeout=20).status_code == 403
            assert not any(one.done() for one in asked)
        assert {one.result().status_code for one in asked} == {200}
        assert sorted(began) == sorted(runs)


def test_what_nobody_foresaw_is_a_problem_and_counted(desk: Desk) -> None:
    desk.post("/predict", {"text": "film"}).raise_for_status()

    class Broken:
        mixes = True

        def logits(self, rows: Any) -> Any:
            raise RuntimeError("a secret of the computation")

    live = desk.service.following.known(None)
    assert live is not None
    broken = replace(live, engine=Broken())
    time.sleep(1.1)  # what was believed of its health is forgotten
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.service.following, "known", lambda _: broken)
        refused, health = desk.post("/predict", {"text": "film"}), desk.get("/health")
    assert refused.status_code == 500
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "crashed"
    assert "secret" not in refused.text
    assert health.status_code == 503
    assert 'te_request_failure_total{err="backend"} 1.0' in desk.get("/metrics").text
