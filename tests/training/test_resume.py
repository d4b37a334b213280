"""A run that was killed and resumed is the run that was never killed (reliability G12, G13, G14)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from finetune30 import data, modeling
from finetune30.errors import CheckpointRejected, LeaseLost
from finetune30.training import Event, checkpoints, fit, state
from tests import tiny
from tests.training.conftest import Bench


class PowerCut(BaseException):
    """Ends training at once, as a kill would; nothing catches it."""


def dies_after(step: int) -> Callable[[], None]:
    """A stop button that pulls the plug after the given number of steps."""
    asked = iter(range(1, 10_000))

    def pull() -> None:
        if next(asked) == step:
            raise PowerCut

    return pull


@pytest.mark.parametrize("strategy", ["group_by_length", "random"])
def test_g13_killed_after_each_step_and_resumed_gives_the_uninterrupted_weights(
    tiny_model, tiny_data: Path, tmp_path: Path, weights_of, strategy: str
) -> None:
    config = tiny.experiment(
        tiny_model("distilbert"),
        tiny_data,
        training__save_steps=2,
        training__train_sampling_strategy=strategy,
    )
    whole = Bench()
    expected = weights_of(whole.fit(config, tmp_path / "whole").folder)
    assert len(whole.losses()) == 12

    for step in range(1, 12):
        artifacts = tmp_path / f"killed-{step}"
        with pytest.raises(PowerCut):
            Bench().fit(config, artifacts, stop_requested=dies_after(step))
        resumed = Bench()
        trained = resumed.fit(config, artifacts)

        assert weights_of(trained.folder) == expected
        # G14: at most one checkpoint interval is trained twice.
        assert len(resumed.losses()) <= 12 - step + 2


@pytest.mark.parametrize("strategy", ["epoch", "steps", "no"])
def test_stopped_by_the_user_at_any_step_and_resumed_gives_the_uninterrupted_weights(
    tiny_model, tiny_data: Path, tmp_path: Path, weights_of, strategy: str
) -> None:
    """Steps 6 and 12 end an epoch: what is measured there must not be lost by stopping."""
    every = {"training__eval_steps": 5} if strategy == "steps" else {}
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__eval_strategy=strategy, **every)
    whole = Bench()
    expected = whole.fit(config, tmp_path / "whole")

    for step in (5, 6, 7, 12):
        asked = iter([None] * (step - 1) + ["interrupted"] * 20)
        first, second = Bench(), Bench()
        stopped = first.fit(config, tmp_path / str(step), stop_requested=lambda asked=asked: next(asked))
        assert stopped.stopped == ("interrupted" if step < 12 else None)
        trained = second.fit(config, tmp_path / str(step))

        assert (trained.best_step, weights_of(trained.folder)) == (expected.best_step, weights_of(expected.folder))
        evaluated = [e.step for b in (first, second) for e in b.events if e.kind == "evaluation"]
        assert evaluated == [e.step for e in whole.events if e.kind == "evaluation"]


def test_a_run_killed_after_it_stopped_early_does_not_go_on(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench, weights_of
) -> None:
    config = tiny.experiment(
        tiny_model("distilbert"),
        tiny_data,
        training__learning_rate=1e-7,
        training__num_train_epochs=5,
        training__early_stopping_patience=1,
    )
    first = bench.fit(config, tmp_path)
    kept = weights_of(first.folder)

    again = Bench()
    assert again.fit(config, tmp_path).stopped == "early"
    assert again.losses() == []
    assert weights_of(first.folder) == kept


def test_g13_uses_every_random_state(tiny_model, tiny_data: Path, tmp_path: Path, weights_of) -> None:
    """The control: without the random states in the checkpoint, the weights differ (dropout is on)."""
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__save_steps=2)
    expected = weights_of(Bench().fit(config, tmp_path / "whole").folder)
    with pytest.raises(PowerCut):
        Bench().fit(config, tmp_path / "killed", stop_requested=dies_after(5))
    newest = tmp_path / "killed" / "checkpoint-4"
    states = state.load_state(newest / "rng_state")
    torch.manual_seed(99)
    states["torch"] = torch.get_rng_state()
    if "cuda" in states:  # there dropout draws from the device's
        states["cuda"] = torch.cuda.get_rng_state()
    state.save_state(states, newest / "rng_state")
    reseal(newest)

    assert weights_of(Bench().fit(config, tmp_path / "killed").folder) != expected


def reseal(folder: Path) -> None:
    """Rewrite a checkpoint's manifest after a deliberate change."""
    (folder / checkpoints.MANIFEST).unlink()
    checkpoints._seal(folder, checkpoints.read(folder).step)


def test_two_runs_with_one_seed_give_identical_files(tiny_model, tiny_data: Path, tmp_path: Path, weights_of) -> None:
    config = tiny.experiment(tiny_model("bert"), tiny_data)
    other = tiny.experiment(tiny_model("bert"), tiny_data, seed=4)

    first, second = (weights_of(Bench().fit(config, tmp_path / name).folder) for name in ("a", "b"))

    assert first == second
    assert weights_of(Bench().fit(other, tmp_path / "c").folder) != first


def test_the_optimizer_step_is_the_same_however_its_batch_is_cut(tiny_model, tiny_data: Path, tmp_path: Path) -> None:
    whole, cut = Bench(), Bench()
    plain = {"lora__lora_dropout": 0.0}
    whole.fit(tiny.experiment(tiny_model("albert"), tiny_data, **plain), tmp_path / "whole")
    cut.fit(
        tiny.experiment(
            tiny_model("albert"),
            tiny_data,
            training__per_device_train_batch_size=4,
            training__gradient_accumulation_steps=4,
            **plain,
        ),
        tmp_path / "cut",
    )

    assert cut.losses() == pytest.approx(whole.losses(), abs=0.05)


def test_g12_a_damaged_checkpoint_is_refused_by_file_and_the_one_before_is_used(
    tiny_model, tiny_data: Path, tmp_path: Path, weights_of, bench: Bench
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__save_steps=2)
    expected = weights_of(Bench().fit(config, tmp_path / "whole").folder)
    with pytest.raises(PowerCut):
        Bench().fit(config, tmp_path / "killed", stop_requested=dies_after(9))
    optimizer = tmp_path / "killed" / "checkpoint-8" / "optimizer.safetensors"
    damaged = bytearray(optimizer.read_bytes())
    damaged[-3] ^= 1
    optimizer.write_bytes(damaged)

    trained = bench.fit(config, tmp_path / "killed")

    assert "refused checkpoint-8: optimizer.safetensors has changed" in bench.notes()
    assert "resuming from checkpoint-6" in bench.notes()
    assert weights_of(trained.folder) == expected


def test_g12_a_damaged_best_checkpoint_is_set_aside_and_never_published(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench, weights_of
) -> None:
    """Not the newest one: nobody resumes from it, but its weights would have become the final model."""
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__num_train_epochs=3)
    bench.fit(config, tmp_path)
    best = checkpoints.best(tmp_path).folder
    if best == checkpoints.last(tmp_path):
        best = next(p for p in sorted(tmp_path.glob("checkpoint-*")) if p != best)
    damaged = bytearray((best / "adapter_model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (best / "adapter_model.safetensors").write_bytes(damaged)

    again = Bench()
    trained = again.fit(config, tmp_path)

    assert f"refused {best.name}: adapter_model.safetensors has changed" in again.notes()
    assert (tmp_path / f".rejected-{best.name}").is_dir()
    assert weights_of(trained.folder) != bytes(damaged)


@pytest.mark.parametrize("damage", ["trainer_state.json", "manifest.json"])
def test_g12_a_checkpoint_without_its_state_does_not_stop_the_others(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench, damage: str
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__save_steps=2)
    with pytest.raises(PowerCut):
        Bench().fit(config, tmp_path, stop_requested=dies_after(9))
    (tmp_path / "checkpoint-6" / damage).write_bytes(b"{")

    assert bench.fit(config, tmp_path).figures["steps"] == 12


def test_leftovers_of_a_killed_process_are_removed_files_and_folders(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    (tmp_path / ".staging-eval_predictions.parquet").write_bytes(b"half")
    (tmp_path / ".staging-checkpoint-3").mkdir()

    bench.fit(tiny.experiment(tiny_model("distilbert"), tiny_data), tmp_path)

    assert not (tmp_path / ".staging-eval_predictions.parquet").exists()
    assert not (tmp_path / ".staging-checkpoint-3").exists()


@pytest.mark.parametrize("nth", [1, 2])
def test_g4_who_lost_the_run_puts_no_checkpoint_into_place_and_removes_none(
    tiny_model, tiny_data: Path, tmp_path: Path, nth: int
) -> None:
    """Asked before the rename, and before others are removed."""
    asked: list[int] = []

    def listen(event: Event) -> None:
        if event.kind == "saving":
            asked.append(event.step)
            if len(asked) == 4 + nth:  # twice a checkpoint, and three are kept
                raise LeaseLost("another attempt has it")

    config = tiny.experiment(tiny_model("bert"), tiny_data, training__eval_strategy="steps", training__eval_steps=1)
    with pytest.raises(LeaseLost):
        fit(
            modeling.inspect(config.model.name),
            data.load(config),
            config,
            listen,
            artifacts=tmp_path,
            compute=modeling.choose("cpu", False),
        )

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"checkpoint-{step}" for step in range(1, 2 + nth)]


def test_a_run_killed_after_its_last_step_keeps_its_figures(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data)
    first = bench.fit(config, tmp_path).figures

    again = Bench().fit(config, tmp_path).figures

    assert again == first
    assert again["loss"] > 0
    assert again["tokens_per_s"] > 0


def test_g12_a_run_whose_checkpoints_are_all_damaged_does_not_start_again_in_silence(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__save_steps=2)
    with pytest.raises(PowerCut):
        Bench().fit(config, tmp_path, stop_requested=dies_after(3))
    (tmp_path / "checkpoint-2" / "optimizer.json").unlink()

    with pytest.raises(CheckpointRejected, match=r"checkpoint-2: optimizer\.json is missing"):
        bench.fit(config, tmp_path)


def test_s91_a_pickle_planted_in_a_checkpoint_is_never_loaded(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__save_steps=2)
    with pytest.raises(PowerCut):
        Bench().fit(config, tmp_path / "run", stop_requested=dies_after(3))
    canary = tmp_path / "canary"
    for name in ("optimizer.pt", "rng_state.pth", "scheduler.pt", "training_args.bin"):
        payload = b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
        (tmp_path / "run" / "checkpoint-2" / name).write_bytes(payload)

    with pytest.raises(CheckpointRejected, match="is not in the manifest"):
        bench.fit(config, tmp_path / "run")
    assert not canary.exists()


def test_a_checkpoint_holds_no_pickle(tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench) -> None:
    bench.fit(tiny.experiment(tiny_model("distilbert"), tiny_data), tmp_path)

    suffixes = {p.suffix for folder in tmp_path.glob("checkpoint-*") for p in folder.iterdir()}
    assert suffixes == {".json", ".safetensors"}


def _write_until_killed(artifacts: Path, at: int) -> int:
    """Write checkpoint-2 in a child that kills itself at its ``at``-th file operation; its exit status."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    seen = 0

    def hook(event: str, _args: object) -> None:
        nonlocal seen
        if event in (
            "open",
            "os.rename",
            "os.mkdir",
            "os.remove",
            "os.rmdir",
            "os.chmod",
            "os.listdir",
            "os.scandir",
        ):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    import sys

    sys.addaudithook(hook)
    checkpoints.write(artifacts, 2, lambda folder: _fill(folder, step=2))
    checkpoints.retain(artifacts, None)
    os._exit(0)


def _fill(folder: Path, step: int) -> None:
    (folder / "adapter_model.safetensors").write_bytes(os.urandom(64))
    history = [{"step": step, "eval_accuracy": 0.5 + step / 100}]
    values = {"global_step": step, "log_history": history, "stateful_callbacks": {}}
    (folder / checkpoints.TRAINER_STATE).write_text(json.dumps(values))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_g12_a_kill_at_any_file_operation_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    survived_at: list[int] = []
    for at in range(1, 200):
        artifacts = tmp_path / str(at)
        artifacts.mkdir()
        checkpoints.write(artifacts, 1, lambda folder: _fill(folder, step=1))

        status = _write_until_killed(artifacts, at)

        found = checkpoints.newest(artifacts, lambda _: None)
        assert found is not None
        assert checkpoints.verify(found.folder) is None
        checkpoints.clear_staging(artifacts)
        assert {p.name for p in artifacts.iterdir()} <= {"checkpoint-1", "checkpoint-2"}
        survived_at.append(found.step)
        if status == 0:
            break
    assert survived_at[0] == 1
    assert survived_at[-1] == 2
    assert len(survived_at) > 10


def test_g12_any_changed_byte_of_any_file_is_noticed(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path, 3, lambda folder: _fill(folder, step=3))
    for path in sorted(folder.iterdir()):
        original = path.read_bytes()
        for position in range(0, len(original), 7):
            changed = bytearray(original)
            changed[position] ^= 0x20
            path.write_bytes(changed)
            fault = checkpoints.verify(folder)
            assert fault is not None or json.loads(changed) == json.loads(original), (path.name, position)
        path.write_bytes(original[: len(original) // 2])
        assert checkpoints.verify(folder) is not None
        path.write_bytes(original)
    assert checkpoints.verify(folder) is None
