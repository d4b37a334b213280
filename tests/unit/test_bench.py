"""Benchmarks: what the figures mean, and that every recipe really trains (no time is asserted)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests import tiny

from finetune30.bench.report import Spread, accuracies, figures, flop_per_token, mfu, ratio, table
from finetune30.bench.schedule import Contender, Process, Seen, interleave
from finetune30.bench.training import QUICK, run
from finetune30.errors import BadInput, Finetune30Error


def seen(recipe: str, tokens_per_s: list[float], rate: float = 1e9, adapter: str = "query-value") -> Seen:
    found = Seen(Contender(recipe, adapter, {}, "float32", 10))
    found.tokens_per_s, found.samples_per_s = tokens_per_s, [t / 20 for t in tokens_per_s]
    found.rates, found.peak_bytes = [rate] * len(tokens_per_s), 3 << 20
    return found


def test_a_ratio_compares_neighbouring_rounds_and_not_the_best_of_each() -> None:
    """The machine slowed down by half in round 2: the ratio did not change."""
    assert ratio(seen("ours", [400.0, 200.0, 420.0]), seen("guide", [100.0, 50.0, 100.0])) == Spread(4.0, 4.0, 4.2)


def test_the_arithmetic_of_a_token_is_four_flop_a_parameter() -> None:
    """performance.md: 10.6 M parameters of MiniLM outside the embeddings, 42.6 MFLOP a token."""
    shapes = {(384, 384): 4, (1536, 384): 1, (384, 1536): 1}
    assert flop_per_token(shapes, 6) == pytest.approx(42.6e6, rel=0.01)
    assert mfu(seen("ours", [10.0], rate=1000.0), flop_per_token=50.0) == Spread(0.5, 0.5, 0.5)


def test_the_table_has_a_line_for_each_and_compares_within_an_adapter_only() -> None:
    rows = [seen("guide", [100.0]), seen("ours", [500.0]), seen("ours", [300.0], adapter="all-linear")]
    lines = table(rows, 1e6)

    assert len(lines) == 5
    assert "| 5.00 (5.00-5.00) |" in lines[2]
    assert [f["over_peers"] for f in figures(rows, 1e6)] == [{"ours": 0.2}, {"guide": 5.0}, {}]
    json.dumps(figures(rows, 1e6))


def test_accuracies_are_shown_by_seed_with_their_mean() -> None:
    assert accuracies({"sst2": {"ours": [0.8, 0.9]}})[2] == "| sst2 | ours | 0.8000, 0.9000 | 0.8500 |"


def test_every_recipe_trains_in_a_process_of_its_own(tiny_model: Callable[[str], Path], tiny_data: Path) -> None:
    config = {
        "model": {"name": str(tiny_model("distilbert"))},
        "data": {"dataset_name": str(tiny_data), "max_length": 32},
        "training": {"device": "cpu"},
    }
    contenders = [Contender(recipe, "all-linear", config, "float32", 9) for recipe in ("seed", "stock", "ours")]
    told: list[str] = []

    def rate(process: Process, precision: str) -> float:
        return process.ask("rate", shapes=[[32, 32, 2]], tokens=64, precision=precision, device="cpu")["rate"]

    found = interleave(contenders, 2, rate, told.append, profiled=["ours"])

    assert [row.contender.recipe for row in found] == ["seed", "stock", "ours"]
    for row in found:
        assert len(row.tokens_per_s) == len(row.rates) == 2
        assert all(math.isfinite(t) and t > 0 for t in (*row.tokens_per_s, *row.samples_per_s, *row.rates))
        assert row.peak_bytes > 50 << 20
    assert "Self CPU" in (found[2].profile or "")
    assert told[-1] == "round 2 of 2"


def test_accuracy_of_both_ways_is_that_of_the_named_split(tiny_model: Callable[[str], Path], tiny_data: Path) -> None:
    from finetune30.bench.accuracy import accuracy_of
    from finetune30.bench.recipes import RECIPES

    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__num_train_epochs=1)

    for recipe in ("ours-float32", "stock-float32"):
        assert (accuracy_of(RECIPES[recipe], config, "validation") * 32).is_integer()
        assert (accuracy_of(RECIPES[recipe], config, "test") * 16).is_integer()


def test_a_process_that_dies_is_told_with_its_last_words(tiny_data: Path) -> None:
    with closing(Process()) as process, pytest.raises(Finetune30Error, match="KeyError: 'fastest'"):
        process.ask("prepare", recipe="fastest", config={"data": {"dataset_name": str(tiny_data)}}, steps=9)


def test_a_process_that_says_more_than_a_pipe_holds_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Libraries print at every round; whoever reads only answers must not stop them."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.stderr.write('x' * 300_000)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with closing(Process()) as process:
        answer = process.ask("rate", shapes=[[8, 8, 1]], tokens=4, precision="float32", device="cpu")
    assert answer["rate"] > 0


def test_bad_input_in_a_process_is_bad_input_here_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with closing(Process()) as process, pytest.raises(BadInput, match=r"nowhere.csv: no such file") as caught:
        process.ask("prepare", recipe="guide", config={"data": {"dataset_name": "./nowhere.csv"}}, steps=9)
    assert (caught.value.code, caught.value.exit_code) == ("data_invalid", 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("device", "says"), [("banana", "training.device"), ("cuda:63", "usable CUDA")])
def test_a_device_that_is_not_here_is_bad_input(device: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        run(QUICK, device, lambda _: None)


def test_a_folder_of_data_that_was_named_must_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE30_DATA", str(tmp_path))
    with pytest.raises(BadInput, match="has no folder sst2_sent"):
        run(QUICK, "cpu", lambda _: None)
