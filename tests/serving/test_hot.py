"""The adapter nearly everybody asks, on a copy of its base: tried first, exact in whose answers, gone when it moves."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from finetune30.modeling.shared import body, merging
from finetune30.modeling.shared.heads import Chain
from finetune30.serving import evaluated, hot
from finetune30.serving.following import Following
from finetune30.serving.host import AdapterHost, Live
from finetune30.serving.lane import Lane, Limits
from tests import tiny
from tests.serving.desk import Desk, serving
from tests.serving.shelf import Shelf
from tests.serving.test_host import COMPUTE, TEXTS, answers

SPLIT = [(text, None) for text, _ in tiny.rows(60)]
_PATIENCE_S = 60.0


@pytest.fixture
def host() -> Iterator[AdapterHost]:
    found = AdapterHost(COMPUTE, Lane(Limits(waiting_rows=100_000)), 1 << 30, merges=True)
    yield found
    found.close()


@pytest.fixture
def shelf(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Shelf:
    found = Shelf(tmp_path / "shelf", tiny_model("bert"))
    for number in range(3):
        found.add(f"run-{number}", labels=2 + number, seed=number)
    return found


def until(true: Callable[[], Any]) -> None:
    limit = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < limit, "it does not come to be"
        time.sleep(0.005)


def is_decided(host: AdapterHost, live: Live) -> bool:
    there = host.hot.live
    return host.hot.why(live) is not None or (there is not None and there.adapter is live.adapter)


def heated(host: AdapterHost, live: Live) -> None:
    """Asked until it is merged, or known why not."""

    def asked() -> bool:
        answers(host, live, TEXTS)
        return is_decided(host, live)

    until(asked)


@pytest.mark.parametrize("split", [SPLIT, []], ids=["on the split", "without a split"])
def test_a_hot_adapter_is_merged_and_answers_the_same(
    host: AdapterHost, shelf: Shelf, split: Sequence[tuple[str, str | None]]
) -> None:
    shelf.split = split
    live = host.live(shelf.find("run-0"))
    before, size = answers(host, live, TEXTS), host.nbytes

    heated(host, live)

    assert host.hot.why(live) is None
    assert host.nbytes > size
    computed = host.merged_rows
    np.testing.assert_allclose(answers(host, live, TEXTS), before, atol=1e-4)
    assert host.merged_rows == computed + len(TEXTS)


def _spoil_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    right = merging._sum
    monkeypatch.setattr(merging, "_sum", lambda weight, delta: right(weight, delta) * 1.3)


def _spoil_head(monkeypatch: pytest.MonkeyPatch) -> None:
    def folded(chain: Chain) -> tuple[Chain, int]:
        return Chain(tuple(replace(link, weight=-link.weight) for link in chain.links[-1:])), 0

    monkeypatch.setattr(Chain, "folded", folded)


@pytest.mark.parametrize("spoil", [_spoil_layers, _spoil_head])
def test_a_copy_that_answers_otherwise_is_refused(
    host: AdapterHost, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Its weights are spoiled as they are made; the shared base goes on, and says why."""
    spoil(monkeypatch)
    shelf.split = SPLIT
    live = host.live(shelf.find("run-0"))
    before = answers(host, live, TEXTS)

    heated(host, live)

    assert "60 texts of the evaluation split" in str(host.hot.why(live))
    assert host.hot.live is None
    np.testing.assert_allclose(answers(host, live, TEXTS), before, atol=1e-5)
    assert host.merged_rows == 0


def test_a_copy_that_fails_or_finds_no_room_is_refused(
    host: AdapterHost, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight, failing = host.live(shelf.find("run-0")), host.live(shelf.find("run-1"))
    limit, host.memory_bytes = host.memory_bytes, host.nbytes + 1
    heated(host, tight)
    host.memory_bytes = limit

    def fail(*_: Any) -> Any:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(body, "merged", fail)
    heated(host, failing)

    assert "SERVING_MEMORY_MB" in str(host.hot.why(tight))
    monkeypatch.undo()

    def merged() -> bool:
        answers(host, tight, TEXTS)
        there = host.hot.live
        return there is not None and there.adapter is tight.adapter

    until(merged)  # there is room now
    assert host.hot.why(tight) is None
    assert "RuntimeError" in str(host.hot.why(failing))
    assert answers(host, failing, TEXTS).shape == (len(TEXTS), 3)


def test_g22_g24_swaps_under_load_while_one_is_merged(host: AdapterHost, shelf: Shelf) -> None:
    """Each answer is of exactly the adapter its request began with, whether that is merged, being merged or left."""
    expected = {f"run-{n}": answers(host, host.live(shelf.find(f"run-{n}")), TEXTS) for n in range(3)}
    shelf.move("m@champion", "run-0")
    following = Following(shelf, host, None, 3600)
    heated(host, following.live("m@champion"))
    ending, merged = threading.Event(), set()

    def ask(number: int) -> None:
        while not ending.is_set():
            live = following.live("m@champion" if number else "run-2")
            asking = host.ask(live, TEXTS[number:] if number else TEXTS[:1])  # few of another: else none is hot
            found = np.stack(asking.future.result(60))
            wanted = expected[asking.live.found.experiment_id][number : number + len(found)]
            shifted = np.exp(found - found.max(1, keepdims=True))
            np.testing.assert_allclose(shifted / shifted.sum(1, keepdims=True), wanted, atol=1e-4)

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, number) for number in range(6)]
        try:
            for number in range(1, 9):
                shelf.move("m@champion", f"run-{number % 2}")
                assert following.refresh() == ["m@champion"]
                there = host.hot.live
                assert there is None or there.found.experiment_id != f"run-{(number + 1) % 2}"
                heated(host, following.live("m@champion"))
                merged.add(number % 2)
        finally:
            ending.set()
        for one in asked:
            one.result()
    assert host.merged_rows > 0


def test_g24_the_copy_goes_with_its_name_and_its_memory_comes_back(host: AdapterHost, shelf: Shelf) -> None:
    shelf.move("m@champion", "run-0")
    following = Following(shelf, host, None, 3600)
    live = following.live("m@champion")
    size = host.nbytes
    heated(host, live)
    copy: Any = live.engine.hot  # type: ignore[union-attr]
    gone = weakref.ref(copy)
    asking = host.ask(live, TEXTS * 5)

    shelf.move("m@champion", "run-1")
    following.refresh()

    assert host.hot.live is None
    np.testing.assert_allclose(
        np.stack(asking.future.result(60))[:40], np.stack(host.ask(live, TEXTS).future.result(60)), atol=1e-4
    )
    del copy
    gc.collect()
    assert gone() is None
    assert host.nbytes == size + following.live("m@champion").adapter.nbytes


def test_the_memory_of_a_copy_goes_back_to_the_system_when_nobody_holds_it(
    host: AdapterHost, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = host.live(shelf.find("run-0"))
    heated(host, live)
    until(lambda: not host.hot._busy)
    copy: Any = live.engine.hot  # type: ignore[union-attr]
    given: list[bool] = []
    monkeypatch.setattr(hot, "give_back", lambda: given.append(True))
    monkeypatch.setattr(hot, "_FREE_S", 0.0)

    host.hot.let_go()
    answers(host, live, TEXTS)  # the lane holds its last batch, and whom it was computed on
    gc.collect()
    assert not given, "there is nothing to give yet"
    del copy
    gc.collect()

    until(lambda: given)


def test_a_copy_makes_room_for_adapters_and_goes_with_its_own(host: AdapterHost, shelf: Shelf) -> None:
    live = host.live(shelf.find("run-0"))
    heated(host, live)
    assert host.hot.live is not None
    host.memory_bytes = host.nbytes

    host.live(shelf.find("run-1"))

    assert host.hot.live is None
    assert len(host.there()) == 2


def test_mixed_traffic_ends_a_copy(host: AdapterHost, shelf: Shelf) -> None:
    first, second = host.live(shelf.find("run-0")), host.live(shelf.find("run-1"))
    heated(host, first)

    for _ in range(5):
        answers(host, first, TEXTS)
        answers(host, second, TEXTS)

    assert host.hot.live is None
    assert first.engine.hot is None  # type: ignore[union-attr]


@pytest.mark.parametrize("by", ["others", "its name"])
def test_a_build_that_was_overtaken_is_thrown_away(
    host: AdapterHost, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    first, second = host.live(shelf.find("run-0")), host.live(shelf.find("run-1"))
    begun, goes_on, real = threading.Event(), threading.Event(), body.merged

    def slow(*given: Any) -> Any:
        begun.set()
        assert goes_on.wait(60)
        return real(*given)

    monkeypatch.setattr(body, "merged", slow)
    while not begun.is_set():
        answers(host, first, TEXTS)
    if by == "others":
        for _ in range(20):
            answers(host, second, TEXTS)
    else:
        host.hot.let_go(first.found.key)
    answers(host, first, TEXTS[:1])  # wanted again, but that one is over
    goes_on.set()
    building = host.hot._building
    assert building is not None
    building.join(60)

    assert host.hot.live is None
    assert first.engine.hot is None  # type: ignore[union-attr]
    # Who takes turns is not built for all day.
    assert host.hot._worth == (2 if by == "others" else 1) * hot._WORTH


def test_what_a_run_was_evaluated_on_is_read_evenly_and_from_nowhere_else(tmp_path: Path) -> None:
    version = "a" * 64
    folder = tmp_path / "datasets" / version
    folder.mkdir(parents=True)
    rows = [f"text {number}" for number in range(2_000)]
    parquet.write_table(
        pa.table({"text": rows, "text_pair": rows, "label": [0] * 2_000}), folder / "validation.parquet"
    )

    found = evaluated.texts_of(tmp_path, version)

    assert len(found) == 512
    assert found[:2] == [("text 0", "text 0"), ("text 3", "text 3")]
    (folder / "validation.parquet").write_bytes(b"PAR1 not at all")
    assert [evaluated.texts_of(tmp_path, one) for one in (version, "../" * 3, None, "b" * 64)] == [(), (), (), ()]


@pytest.mark.parametrize("merges", [True, False])
def test_info_adapters_and_metrics_tell(tmp_path: Path, tiny_model: Callable[[str], Path], merges: bool) -> None:
    with serving(tmp_path, tiny_model("bert"), {"SERVING_MERGE": merges}) as desk:
        desk.run(seed=3)
        until(lambda: desk.get("/ready").status_code == 200)
        assert desk.get("/info").json()["merged"] is False
        _asked_until(desk, merges)
        [told] = desk.get("/adapters").json()["adapters"]
        assert (told["merged"], told["not_merged"]) == (merges, None if merges else "SERVING_MERGE is off")
        assert desk.get("/info").json()["merged"] is merges
        assert f"finetune30_adapters_merged {float(merges)}" in desk.get("/metrics").text


def _asked_until(desk: Desk, merged: bool) -> None:
    for _ in range(4):
        assert desk.post("/predict", {"text": TEXTS}).status_code == 200
        assert desk.post("/predict", {"text": TEXTS[0]}).status_code == 200
    if merged:
        until(lambda: desk.get("/info").json()["merged"])
    assert torch.get_num_threads() >= 1
