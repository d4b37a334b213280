"""Passes that are replayed answer as those that are launched, whoever's rows they are of.

On a machine without a GPU a tape stands for CUDA: it keeps the operations and their operands in memory, as a graph
does, and runs them again; whatever a pass reads elsewhere is as it was when it was taped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from finetune30 import modeling
from finetune30.modeling.shared import Row, SharedBase, graphs
from finetune30.modeling.shared.body import Format
from finetune30.modeling.shared.rows import batch_of
from finetune30.modeling.tokens import encode
from tests import tiny
from tests.modeling.test_shared import save_adapter, together

Models = Callable[[str], Path]
TEXTS = [text for text, _ in tiny.rows(40)]
ENOUGH = graphs._WORTH + 1


class Tape:
    """A recorder of operations."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.captures = 0
        self.nbytes = 0
        self.fault: Exception | None = None
        self.forgets = False

    def warm(self, run: Callable[[], None]) -> None:
        run()

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        self.captures += 1
        self.nbytes += 1000
        if self.fault is not None:
            raise self.fault
        taped: list[tuple[Any, Any, Any, Any]] = []

        class Taping(TorchDispatchMode):
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                found = func(*args, **(kwargs or {}))
                taped.append((func, args, kwargs or {}, found))
                return found

        with Taping():
            run()

        def replay() -> None:
            for func, args, kwargs, found in taped[: len(taped) // 2 if self.forgets else None]:
                again = func(*args, **kwargs)
                if isinstance(found, torch.Tensor) and found.data_ptr() != again.data_ptr():
                    found.copy_(again)
                elif isinstance(found, (tuple, list)):
                    for to, one in zip(found, again, strict=True):
                        if isinstance(to, torch.Tensor) and to.data_ptr() != one.data_ptr():
                            to.copy_(one)

        return replay


def both(model: Path, precision: str = "float32") -> tuple[SharedBase, SharedBase, Tape]:
    """A base that launches, and one that replays."""
    base, tape = modeling.inspect(str(model)), Tape()
    return SharedBase(base, "cpu", precision), SharedBase(base, "cpu", precision, tape), tape


def alike(engine: SharedBase | Format, base: SharedBase, asked: Sequence[tuple[Any, Any]]) -> list[Any]:
    """Logits of (adapter, text or pair of texts)."""
    rows = []
    for adapter, text in asked:
        first, second = text if isinstance(text, tuple) else (text, None)
        tokens = encode(base.base.tokenizer, [first], 32, pairs=None if second is None else [second])
        rows.append(Row(tokens.ids, tokens.types, adapter))
    return engine.logits(rows)


def replayed(shared: SharedBase) -> int:
    return sum(one.replayed for one in shared.graphs)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert"])
def test_g22_one_graph_answers_for_all_adapters_of_a_kind(
    tiny_model: Models, tmp_path: Path, architecture: str, precision: str
) -> None:
    """Also for those that were loaded after it was taped, and of texts of other lengths."""
    model = tiny_model(architecture)
    plain, shared, tape = both(model, precision)
    kind = {"target_modules": "all-linear"}
    folders = [save_adapter(tmp_path / str(seed), model, seed=seed, **kind) for seed in range(3)]
    plains = [plain.load(folder) for folder in folders]
    adapters = [shared.load(folders[0])]
    for _ in range(ENOUGH):
        alike(shared.fast, shared, [(adapters[0], TEXTS[0])])
    assert (tape.captures, replayed(shared)) == (1, 1)
    adapters += [shared.load(folder) for folder in folders[1:]]
    words = TEXTS[0].split()

    for number, adapter in enumerate(adapters):
        for text in (" ".join(words[:3]), " ".join(words[:2]), TEXTS[0]):
            found = alike(shared.fast, shared, [(adapter, text)])
            wanted = alike(plain.fast, plain, [(plains[number], text)])
            np.testing.assert_allclose(found, wanted, atol=1e-5 if precision == "float32" else 0.06)
    assert replayed(shared) >= 1 + 3
    assert tape.captures <= 2


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_g22_mixed_batches_are_replayed_each_row_with_its_own_adapter(
    tiny_model: Models, tmp_path: Path, architecture: str
) -> None:
    model = tiny_model(architecture)
    plain, shared, tape = both(model)
    folders = [save_adapter(tmp_path / str(seed), model, seed=seed, labels=2 + seed % 2) for seed in range(12)]
    plains, adapters = [plain.load(one) for one in folders], [shared.load(one) for one in folders]

    for size in (3, 11, 13, 11, 16, 9, 3, 4, 4, 10):  # few and many adapters, rounded up to 4 and to 16 rows
        for turn in range(ENOUGH):
            asked = [((at * 5 + turn) % 12, TEXTS[at]) for at in range(size)]
            found = together(shared, [(adapters[whose], text) for whose, text in asked])
            wanted = together(plain, [(plains[whose], text) for whose, text in asked])
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-5)

    assert replayed(shared) > 20
    assert tape.captures < 8


def test_pairs_and_rows_that_are_doubted_are_replayed(tiny_model: Models, tmp_path: Path) -> None:
    model = tiny_model("bert")
    plain, shared, _ = both(model, "bfloat16")
    folder = save_adapter(tmp_path / "pair", model, text_pair=True)
    one, other = plain.load(folder), shared.load(folder)

    pairs = list(zip(TEXTS, TEXTS[5:9], strict=False))
    for _ in range(ENOUGH + 1):
        found = alike(shared.exact, shared, [(other, pair) for pair in pairs])
        np.testing.assert_allclose(found, alike(plain.exact, plain, [(one, pair) for pair in pairs]), atol=1e-5)
    assert shared.graphs[0].replayed > 0


def test_a_merged_copy_is_replayed_and_its_graphs_go_with_it(tiny_model: Models, tmp_path: Path) -> None:
    model = tiny_model("bert")
    plain, shared, _ = both(model)
    folders = [save_adapter(tmp_path / str(seed), model, seed=seed) for seed in range(2)]
    wanted = [together(plain, [(plain.load(folder), text) for text in TEXTS[:5]]) for folder in folders]
    first, second = (shared.load(folder) for folder in folders)

    for number, adapter in enumerate((first, second, first)):
        shared.hot = shared.merge(adapter)
        for _ in range(ENOUGH):
            found = together(shared, [(adapter, text) for text in TEXTS[:5]])
            np.testing.assert_allclose(found, wanted[number % 2], atol=1e-5)
        assert shared.graphs[-1].replayed > 0
        other = (first, second)[1 - number % 2]
        for _ in range(ENOUGH):
            found = together(shared, [(other, text) for text in TEXTS[:5]])
            np.testing.assert_allclose(found, wanted[1 - number % 2], atol=1e-5)
    before = len(shared.graphs)
    shared.hot = None
    assert len(shared.graphs) == before - 1


def test_graphs_are_few_and_counted_in_memory(
    tiny_model: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "_MOST_GRAPHS", 3)
    model = tiny_model("bert")
    _, shared, tape = both(model)
    adapter = shared.load(save_adapter(tmp_path / "one", model))
    nothing = shared.graph_bytes
    for size in (1, 2, 3, 5, 9, 17):
        for _ in range(ENOUGH):
            together(shared, [(adapter, text) for text in TEXTS[:size]])
    assert (shared.graphs[0].count, tape.captures) == (3, 6)
    assert shared.graph_bytes > nothing + 6000
    for _ in range(2):  # the newest are still there
        together(shared, [(adapter, text) for text in TEXTS[:17]])
    assert tape.captures == 6


def test_a_shape_that_cannot_be_taped_is_launched_and_told_once(
    tiny_model: Models, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model("bert")
    plain, shared, tape = both(model)
    folder = save_adapter(tmp_path / "one", model)
    one, other = plain.load(folder), shared.load(folder)
    tape.fault = RuntimeError("capture failed")
    with caplog.at_level(logging.WARNING, "finetune30.serving"):
        for _ in range(ENOUGH + 3):
            found = together(shared, [(other, TEXTS[0])])
            np.testing.assert_allclose(found, together(plain, [(one, TEXTS[0])]), atol=1e-5)
    assert (tape.captures, replayed(shared)) == (1, 0)
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == len(caplog.records) == 1
    tape.fault, tape.forgets = None, True  # a replay that is not what the pass computes
    for _ in range(ENOUGH + 3):
        np.testing.assert_allclose(
            together(shared, [(other, text) for text in TEXTS[:3]]),
            together(plain, [(one, text) for text in TEXTS[:3]]),
            atol=1e-5,
        )
    assert (tape.captures, replayed(shared)) == (2, 0)


def test_what_another_thread_replays_is_not_waited_for(tiny_model: Models, tmp_path: Path) -> None:
    model = tiny_model("bert")
    _, shared, tape = both(model)
    adapter = shared.load(save_adapter(tmp_path / "one", model))
    for _ in range(ENOUGH):
        wanted = together(shared, [(adapter, TEXTS[0])])
    with tape.lock:
        found = together(shared, [(adapter, TEXTS[0])])
    assert replayed(shared) == 1
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_cannot_be_one_graph_is_launched(tiny_model: Models, tmp_path: Path) -> None:
    """Adapters of as many numbers that lie otherwise, and a base with a layer that transformers computes (ALBERT)."""
    kinds: list[tuple[str, list[dict[str, Any]]]] = [
        ("bert", [{"target_modules": ["query", "value"]}, {"target_modules": ["query", "key"]}]),
        ("albert", [{}, {}]),
    ]
    for architecture, changes in kinds:
        model = tiny_model(architecture)
        plain, shared, tape = both(model)
        folders = [save_adapter(tmp_path / f"{architecture}{at}", model, **one) for at, one in enumerate(changes)]
        ones, others = [plain.load(one) for one in folders], [shared.load(one) for one in folders]
        for _ in range(ENOUGH):
            found = together(shared, list(zip(others, TEXTS, strict=False)))
            wanted = together(plain, list(zip(ones, TEXTS, strict=False)))
            np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert tape.captures == 0
        assert replayed(shared) == 0


def test_what_a_replay_gave_stays_when_the_next_begins(tiny_model: Models, tmp_path: Path) -> None:
    model = tiny_model("bert")
    _, shared, _ = both(model)
    adapter = shared.load(save_adapter(tmp_path / "one", model))
    batches = []
    for text in TEXTS[:2]:
        tokens = encode(shared.base.tokenizer, [text], 8)
        batches.append(batch_of([Row(tokens.ids, tokens.types, adapter)], shared.padder, "cpu", cuts=False))
    with torch.inference_mode():
        for _ in range(ENOUGH):
            first = shared._forward(batches[0])
        kept = first.clone()
        second = shared._forward(batches[1])
    assert replayed(shared) == 2
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


def test_on_a_cpu_nothing_is_replayed(tiny_model: Models) -> None:
    assert SharedBase(modeling.inspect(str(tiny_model("bert"))), "cpu", "float32").graphs == []


@pytest.mark.parametrize(("count", "rows", "tokens"), [(1, 1, 8), (3, 4, 8), (9, 16, 16), (33, 64, 40), (65, 96, 80)])
def test_few_shapes_occur(count: int, rows: int, tokens: int) -> None:
    assert (graphs.rounded_rows(count), graphs.rounded_tokens(count)) == (rows, tokens)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_replays_what_it_would_launch(tiny_model: Models, tmp_path: Path, precision: str) -> None:
    """While another thread loads adapters; one adapter, and many."""
    model = tiny_model("bert")
    base = modeling.inspect(str(model))
    plain, shared = SharedBase(base, "cpu", "float32"), SharedBase(base, "cuda:0", precision)
    folders = [save_adapter(tmp_path / str(seed), model, seed=seed, target_modules="all-linear") for seed in range(6)]
    adapters, plains = [shared.load(one) for one in folders], [plain.load(one) for one in folders]
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            shared.load(folders[0])

    loading = threading.Thread(target=load)
    loading.start()
    try:
        for whose in ([0], [1, 2, 3, 4, 5]):
            for size in (1, 2, 7, 8, 30):
                for _ in range(ENOUGH + 2):
                    asked = [(whose[at % len(whose)], TEXTS[at]) for at in range(size)]
                    found = alike(shared.exact, shared, [(adapters[one], text) for one, text in asked])
                    wanted = alike(plain, plain, [(plains[one], text) for one, text in asked])
                    for a, b in zip(found, wanted, strict=True):
                        np.testing.assert_allclose(a, b, atol=1e-4)
                    together(shared, [(adapters[one], text) for one, text in asked])
    finally:
        done.set()
        loading.join()
    assert all(one.replayed > 20 and not one._refused for one in shared.graphs)
    assert shared.graph_bytes > 0
