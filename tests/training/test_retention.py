"""Which checkpoints stay: best, last, fastest; nothing else, and never none (mission: retention)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune30.training import checkpoints
from tests import tiny
from tests.training.conftest import Bench


def _save(artifacts: Path, step: int, accuracy: float | None, seconds: float) -> None:
    def fill(folder: Path) -> None:
        history = [{"step": step, "eval_accuracy": accuracy}] if accuracy is not None else []
        clock = {checkpoints.CLOCK: {"args": {}, "attributes": {"train_seconds": seconds}}}
        values = {"global_step": step, "log_history": history, "stateful_callbacks": clock}
        (folder / checkpoints.TRAINER_STATE).write_text(json.dumps(values))

    checkpoints.write(artifacts, step, fill)


def _kept(artifacts: Path) -> list[int]:
    return sorted(int(p.name.removeprefix("checkpoint-")) for p in artifacts.glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("accuracies", "within", "kept"),
    [
        ([0.80, 0.90, 0.85, 0.84], None, [1, 2, 4]),
        ([0.80, 0.85, 0.90, 0.92], None, [1, 4]),
        ([0.92, 0.85, 0.90, 0.91], None, [1, 4]),
        ([0.90, 0.90, 0.90, 0.90], None, [1, 4]),
        ([0.80, 0.91, 0.92, 0.85], 0.02, [2, 3, 4]),
        ([0.80, 0.85, 0.92, 0.85], 0.02, [3, 4]),
        ([0.80, 0.85, 0.92, 0.85], 0.0, [3, 4]),
    ],
)
def test_kept_are_best_last_and_fastest(
    tmp_path: Path, accuracies: list[float], within: float | None, kept: list[int]
) -> None:
    for step, accuracy in enumerate(accuracies, start=1):
        _save(tmp_path, step, accuracy, seconds=10.0 * step)
        checkpoints.retain(tmp_path, within)

    assert _kept(tmp_path) == kept


def test_fastest_is_told_by_training_time_and_not_by_step(tmp_path: Path) -> None:
    for step, seconds in [(1, 9.0), (2, 4.0), (3, 12.0), (4, 15.0)]:
        _save(tmp_path, step, 0.9 if step == 3 else 0.8, seconds)

    checkpoints.retain(tmp_path, None)

    assert _kept(tmp_path) == [2, 3, 4]


def test_best_and_last_are_told_by_content_and_not_by_file_times(tmp_path: Path) -> None:
    """reliability F29: the clock was set back between two saves."""
    import os

    for step, accuracy in [(1, 0.7), (2, 0.9), (3, 0.8)]:
        _save(tmp_path, step, accuracy, seconds=float(step))
        past = time.time() - 1000 * step
        os.utime(tmp_path / f"checkpoint-{step}", (past, past))

    checkpoints.retain(tmp_path, None)

    assert _kept(tmp_path) == [1, 2, 3]
    assert checkpoints.best(tmp_path).step == 2


def test_a_checkpoint_only_for_resuming_is_kept_while_it_is_the_last(tmp_path: Path) -> None:
    _save(tmp_path, 1, None, 1.0)
    _save(tmp_path, 2, 0.8, 2.0)
    _save(tmp_path, 3, None, 3.0)
    checkpoints.retain(tmp_path, None)
    assert _kept(tmp_path) == [2, 3]
    _save(tmp_path, 4, 0.9, 4.0)
    checkpoints.retain(tmp_path, None)
    assert _kept(tmp_path) == [2, 4]


def test_a_full_disk_while_saving_leaves_the_earlier_checkpoint(tmp_path: Path) -> None:
    _save(tmp_path, 1, 0.8, 1.0)

    def full(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoints.write(tmp_path, 2, full)

    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-1"]
    newest = checkpoints.newest(tmp_path, lambda _: None)
    assert newest is not None
    assert newest.step == 1


def test_the_best_checkpoint_becomes_the_trained_adapter(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench, weights_of: Callable[[Path], bytes]
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__num_train_epochs=3)

    trained = bench.fit(config, tmp_path)

    accuracies = {e.step: e.metrics["accuracy"] for e in bench.events if e.kind == "evaluation"}
    best = min(s for s in accuracies if accuracies[s] == max(accuracies.values()))
    assert trained.best_step == best
    assert weights_of(trained.folder) == weights_of(tmp_path / f"checkpoint-{best}")
    assert set(_kept(tmp_path)) == {best, 6, 18}
