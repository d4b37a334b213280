"""Adapters in memory: each answer by exactly the adapter asked for, whatever is switched meanwhile."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from finetune30.errors import BadInput, Busy, ModelError
from finetune30.modeling.device import Compute
from finetune30.modeling.predict import probabilities_of
from finetune30.modeling.shared import SharedBase
from finetune30.serving.following import Following
from finetune30.serving.host import AdapterHost, Live
from finetune30.serving.lane import Lane, Limits
from tests import tiny
from tests.modeling.test_graphs import Tape
from tests.serving.shelf import Shelf, change_weights

TEXTS = [text for text, _ in tiny.rows(40)]
COMPUTE = Compute("cpu", "float32", "in a test")


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane(Limits(waiting_rows=100_000))
    yield lane
    lane.close()


@pytest.fixture
def host(lane: Lane) -> AdapterHost:
    return AdapterHost(COMPUTE, lane, 1 << 30)


@pytest.fixture
def shelf(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Shelf:
    return Shelf(tmp_path / "shelf", tiny_model("bert"))


def answers(host: AdapterHost, live: Live, texts: list[str]) -> np.ndarray[Any, Any]:
    return _sure(np.stack(host.ask(live, texts).future.result(60)))


def _sure(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return probabilities_of(logits, multi_label=False)


def test_g22_each_answer_is_of_the_adapter_it_names_while_names_move(host: AdapterHost, shelf: Shelf) -> None:
    """500 requests at once over 20 names, each moved again and again."""
    for number in range(20):
        shelf.add(f"run-{number}", labels=2 + number % 3, seed=number)
    expected = {f"run-{number}": answers(host, host.live(shelf.find(f"run-{number}")), TEXTS) for number in range(20)}
    for number in range(20):
        shelf.move(f"m{number}@champion", f"run-{number}")
    following = Following(shelf, host, None, 3600)
    ending = threading.Event()

    def swap() -> None:
        draw = random.Random(1)
        while not ending.wait(0.05):
            shelf.move(f"m{draw.randrange(20)}@champion", f"run-{draw.randrange(20)}")
            following.refresh()

    def ask(number: int) -> None:
        live = following.live(f"m{number % 20}@champion")
        at = number % len(TEXTS)
        asking = host.ask(live, [TEXTS[at]])
        found = asking.future.result(60)[0]
        np.testing.assert_allclose(_sure(found), expected[asking.live.found.experiment_id][at], atol=1e-4)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        with ThreadPoolExecutor(50) as pool:
            for done in [pool.submit(ask, number) for number in range(500)]:
                done.result()
        while following.swaps == 0:
            following.refresh()
    finally:
        ending.set()
        swapper.join()


def test_g24_a_request_ends_on_the_adapter_it_began_with(lane: Lane, host: AdapterHost, shelf: Shelf) -> None:
    shelf.add("old", seed=1)
    shelf.add("new", seed=2)
    shelf.move("m@champion", "old")
    following = Following(shelf, host, None, 3600)
    before = answers(host, following.live("m@champion"), TEXTS)

    asking = host.ask(following.live("m@champion"), TEXTS * 5)
    shelf.move("m@champion", "new")
    assert following.refresh() == ["m@champion"]
    host.memory_bytes = 0
    host.pin(frozenset())

    assert host.there() == []
    np.testing.assert_allclose(_sure(np.stack(asking.future.result(60)))[:40], before, atol=1e-4)
    after = answers(host, following.live("m@champion"), TEXTS)
    assert not np.allclose(after, before, atol=1e-3)


def _bad_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def _bad_weights(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda folder: change_weights(folder, change)


def _bytes(change: Callable[[bytes], bytes], name: str = "adapter_model.safetensors") -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


def _first(weights: dict[str, Any], side: str) -> str:
    return next(name for name in weights if side in name)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "no weights": lambda f: (f / "adapter_model.safetensors").unlink(),
    "no adapter_config": lambda f: (f / "adapter_config.json").unlink(),
    "no config": lambda f: (f / "config.json").unlink(),
    "empty weights": _bytes(lambda b: b""),
    "truncated": _bytes(lambda b: b[:-7]),
    "padded": _bytes(lambda b: b + b"\0" * 8),
    "huge header": _bytes(lambda b: (2**60).to_bytes(8, "little") + b[8:]),
    "header no JSON": _bytes(lambda b: b[:8] + b"!" + b[9:]),
    "pickle": lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"),
    "link to elsewhere": lambda f: (
        (f / "adapter_config.json").unlink(),
        (f / "adapter_config.json").symlink_to("/dev/zero"),
    ),
    "folder for file": lambda f: ((f / "config.json").unlink(), (f / "config.json").mkdir()),
    "other base": _bad_config(base_model_name_or_path="bert-base-uncased"),
    "other revision": _bad_config(revision="0" * 40),
    "r of a million": _bad_config(r=10**6),
    "r of another size": _bad_config(r=5),
    "r is text": _bad_config(r="4"),
    "alpha zero": _bad_config(lora_alpha=0),
    "pattern": _bad_config(target_modules="(a+)+$"),
    "remote code": _bad_config(auto_mapping={"parent_library": "os"}),
    "unknown key": _bad_config(surprise=1),
    "another kind": _bad_config(peft_type="IA3"),
    "another task": _bad_config(task_type="CAUSAL_LM"),
    "other targets": _bad_config(target_modules=["query"]),
    "no such target": _bad_config(target_modules=["nothing"]),
    "NaN in A": _bad_weights(lambda w: w[_first(w, "lora_A")].fill_(float("nan"))),
    "NaN in the head": _bad_weights(lambda w: w["base_model.model.classifier.bias"].fill_(float("nan"))),
    "infinity": _bad_weights(lambda w: w[_first(w, "lora_B")].fill_(float("inf"))),
    "missing tensor": _bad_weights(lambda w: w.pop(_first(w, "lora_B"))),
    "no head": _bad_weights(lambda w: w.pop("base_model.model.classifier.weight")),
    "surplus tensor": _bad_weights(lambda w: w.update(other=torch.ones(1))),
    "other shape": _bad_weights(lambda w: w.update({_first(w, "lora_A"): torch.ones(4, 31)})),
    "whole numbers": _bad_weights(lambda w: w.update({_first(w, "lora_A"): torch.ones(4, 32, dtype=torch.int8)})),
    "zeros": _bad_weights(lambda w: [w[name].zero_() for name in w if "lora_B" in name]),
    "labels without order": lambda f: (f / "config.json").write_text('{"id2label": {"0": "a", "7": "b"}}'),
    "config of another size": lambda f: (f / "config.json").write_text(
        json.dumps({**json.loads((f / "config.json").read_text()), "id2label": {str(n): str(n) for n in range(9)}})
    ),
}


def test_g23_a_bad_adapter_is_refused_and_the_old_one_goes_on(host: AdapterHost, shelf: Shelf) -> None:
    assert len(DAMAGE) >= 30
    shelf.add("good", seed=1)
    shelf.move("m@champion", "good")
    following = Following(shelf, host, None, 3600)
    before = answers(host, following.live("m@champion"), TEXTS)
    for number, (name, change) in enumerate(DAMAGE.items()):
        shelf.damage(f"bad-{number}", "good", change)
        with pytest.raises(ModelError):
            host.live(shelf.find(f"bad-{number}"))
        shelf.move("m@champion", f"bad-{number}")

        assert following.refresh() == [], name

        [refused] = following.refused
        assert refused.experiment_id == f"bad-{number}"
        assert refused.message
        assert following.live("m@champion").found.experiment_id == "good"
    np.testing.assert_array_equal(answers(host, following.live("m@champion"), TEXTS), before)
    shelf.move("m@champion", "good")
    following.refresh()
    assert following.refused == []


def test_g23_memory_is_back_after_a_hundred_failed_swaps(host: AdapterHost, shelf: Shelf) -> None:
    shelf.add("good", seed=1)
    shelf.damage("bad", "good", DAMAGE["NaN in the head"])
    shelf.move("m@champion", "good")
    following = Following(shelf, host, None, 3600)
    following.live("m@champion")
    shelf.move("m@champion", "bad")

    def fail(times: int) -> int:
        for _ in range(times):
            following.refresh()
        return int(psutil.Process(os.getpid()).memory_info().rss)

    settled = fail(30)
    assert fail(100) - settled < 8 << 20
    assert len(host.there()) == 1


def test_those_used_longest_ago_are_let_go_and_pinned_ones_are_not(host: AdapterHost, shelf: Shelf) -> None:
    for number in range(4):
        shelf.add(f"run-{number}", seed=number)
    shelf.move("m@champion", "run-0")
    following = Following(shelf, host, None, 3600)
    size = following.live("m@champion").adapter.nbytes
    host.memory_bytes = 3 * size

    for name in ("run-1", "run-2", "run-1", "run-3"):
        host.live(shelf.find(name))

    assert {live.found.experiment_id for live in host.there()} == {"run-0", "run-1", "run-3"}
    assert host.evictions == 1
    assert sum(live.adapter.nbytes for live in host.there()) <= 3 * size
    host.live(shelf.find("run-2"))
    assert len(host.there()) == 3


def test_an_adapter_is_loaded_once_however_many_ask(host: AdapterHost, shelf: Shelf) -> None:
    shelf.add("run-0")
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: host.live(shelf.find("run-0")), range(32)))
    assert host.loads == 1
    assert all(live.adapter is found[0].adapter for live in found)


def test_more_than_plain_lora_answers_with_a_model_of_its_own(
    host: AdapterHost, shelf: Shelf, tiny_model: Callable[[str], Path]
) -> None:
    from tests.modeling.test_shared import alone, save_adapter

    shelf.add("plain", seed=2)
    save_adapter(shelf.folder / "dora", shelf.model, seed=3, use_dora=True)
    mixed = [host.ask(host.live(shelf.find(name)), TEXTS) for name in ("plain", "dora", "plain")]
    found = [_sure(np.stack(asking.future.result(60))) for asking in mixed]
    np.testing.assert_allclose(found[1], alone(shelf.folder / "dora", shelf.model, TEXTS), atol=1e-4)
    np.testing.assert_allclose(found[0], alone(shelf.folder / "plain", shelf.model, TEXTS), atol=1e-4)


def test_pairs_are_refused_where_single_texts_are_read(host: AdapterHost, shelf: Shelf) -> None:
    shelf.add("run-0")
    with pytest.raises(BadInput, match="pairs"):
        host.ask(host.live(shelf.find("run-0")), TEXTS[:2], TEXTS[:2])


def test_s99_a_full_queue_is_refused_and_a_request_given_up_frees_its_place(shelf: Shelf) -> None:
    lane = Lane(Limits(batch_rows=1, waiting_rows=50))
    host = AdapterHost(COMPUTE, lane, 1 << 30)
    shelf.add("run-0")
    live = host.live(shelf.find("run-0"))
    gate = threading.Event()

    class Stuck:
        mixes = True

        def logits(self, rows: Any) -> Any:
            gate.wait()
            return [np.ones(2)] * len(rows)

    from finetune30.modeling.shared import Row

    row = Row(np.zeros(3, np.int32), None, live.adapter)
    first = lane.ask(Stuck(), [row])
    while lane.waiting:
        pass
    waiting = lane.ask(Stuck(), [row] * 50)
    with pytest.raises(Busy):
        lane.ask(Stuck(), [row])

    assert waiting.cancel()
    assert lane.waiting == 0
    last = host.ask(live, TEXTS[:3])
    gate.set()

    assert len(first.result(60)) == 1
    assert len(last.future.result(60)) == 3
    lane.close()


def test_a_batch_that_fails_fails_alone(lane: Lane, host: AdapterHost, shelf: Shelf) -> None:
    class Broken:
        mixes = True

        def logits(self, rows: Any) -> Any:
            raise ValueError("broken")

    from finetune30.modeling.shared import Row

    shelf.add("run-0")
    live = host.live(shelf.find("run-0"))
    broken = lane.ask(Broken(), [Row(np.zeros(3, np.int32), None, live.adapter)])
    with pytest.raises(ValueError, match="broken"):
        broken.result(60)
    assert len(host.ask(live, TEXTS).future.result(60)) == 40


def test_a_batch_too_large_for_the_memory_is_halved(lane: Lane) -> None:
    class Small:
        mixes = True

        def logits(self, rows: Any) -> Any:
            if len(rows) > 3:
                raise MemoryError
            return [np.full(2, len(row.ids)) for row in rows]

    from finetune30.modeling.shared import Row

    rows = [Row(np.zeros(n, np.int32), None, "adapter") for n in range(1, 30)]
    found = lane.ask(Small(), rows).result(60)
    assert [int(one[0]) for one in found] == list(range(1, 30))


def test_ids_are_those_that_training_reads(tiny_model: Callable[[str], Path]) -> None:
    from finetune30 import modeling
    from finetune30.modeling.shared.reading import Reader
    from finetune30.modeling.tokens import encode

    for name in (str(tiny_model("bert")), str(tiny_model("roberta")), "builtin:minilm"):
        base = modeling.inspect(name)
        reader = Reader(base)
        texts = [*TEXTS, "", "word " * 100, "Übergrößen 電影 很好 🎬", "a\nb\tc"]
        pairs = [text[::-1] or "x" for text in texts]
        for length, seconds in ((32, None), (8, None), (16, pairs), (32, pairs)):
            tokens = encode(base.tokenizer, texts, length, pairs=seconds)
            read = reader.read(texts, seconds, length)
            assert [one.ids.tolist() for one in read] == [
                tokens.ids[tokens.starts[at] : tokens.starts[at + 1]].tolist() for at in range(len(texts))
            ]
            assert [at for at, one in enumerate(read) if one.truncated] == tokens.cut.tolist()
            for at, one in enumerate(read):
                part = slice(tokens.starts[at], tokens.starts[at + 1])
                theirs = None if tokens.types is None else tokens.types[part]
                assert (one.types is None or not one.types.any()) if theirs is None else (one.types == theirs).all()
            assert reader.read(texts[:1], None if seconds is None else seconds[:1], length)[0].ids.tolist() == (
                read[0].ids.tolist()
            )


def test_the_services_own_rows_are_a_batch_of_their_own_between_batches_of_requests() -> None:
    lane, gate, begun = Lane(Limits(batch_rows=8)), threading.Event(), threading.Event()
    batches: list[tuple[str, int]] = []

    class Noting:
        mixes = True

        def __init__(self, name: str) -> None:
            self.name = name

        def logits(self, rows: Any) -> Any:
            begun.set()
            gate.wait(60)
            batches.append((self.name, len(rows)))
            return [np.ones(2)] * len(rows)

    from finetune30.modeling.shared import Row

    row, theirs, own = Row(np.zeros(3, np.int32), None, "adapter"), Noting("theirs"), Noting("own")
    first = lane.ask(theirs, [row])
    assert begun.wait(60)
    asked = [first, *(lane.ask(theirs, [row]) for _ in range(16)), lane.ask(own, [row] * 6, bounded=False)]
    assert lane.waiting == 22
    gate.set()
    for future in asked:
        future.result(60)
    lane.close()

    assert batches == [("theirs", 1), ("own", 6), ("theirs", 8), ("theirs", 8)]
    assert lane.waiting == 0


def test_an_adapter_is_tried_a_few_rows_at_a_time(host: AdapterHost, shelf: Shelf) -> None:
    from finetune30.serving.host import PROBES

    shelf.add("run-0")
    host.live(shelf.find("run-0"))

    assert host.lane.figures.rows == len(PROBES)
    assert host.lane.figures.batches > 1


def test_threads_are_the_callers_again_after_a_load(host: AdapterHost, shelf: Shelf) -> None:
    shelf.add("good")
    shelf.damage("bad", "good", DAMAGE["no config"])
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        host.live(shelf.find("good"))
        with pytest.raises(ModelError):
            host.live(shelf.find("bad"))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_what_is_replayed_is_counted_in_memory(host: AdapterHost, shelf: Shelf) -> None:
    shelf.add("run", seed=1)
    live = host.live(shelf.find("run"))
    engine = live.engine
    assert isinstance(engine, SharedBase)
    before, tape = host.nbytes, Tape()
    engine._recorder = tape
    tape.nbytes += 5000
    assert host.nbytes - before >= 5000
