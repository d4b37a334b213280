"""What training does when memory, numbers, trackers or the user get in its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from finetune30 import modeling
from finetune30.errors import ConfigError, Diverged, OutOfMemory
from finetune30.training import check_options
from finetune30.training.callbacks import evaluations_without_gain
from tests import tiny
from tests.training.conftest import Bench


def memory_for(rows: int) -> Callable[[modeling.BaseModel, Sequence[str]], modeling.LoadedBase]:
    """Loads the real model onto a device that has room for a batch of so many rows, while training."""

    def load(base: modeling.BaseModel, names: Sequence[str]) -> modeling.LoadedBase:
        loaded = modeling.load(base, names, seed=3)

        def limit(module: torch.nn.Module, _args: object, inputs: dict[str, torch.Tensor]) -> None:
            if len(inputs["input_ids"]) > rows:
                raise torch.OutOfMemoryError("fake device: out of memory")

        loaded.model.register_forward_pre_hook(limit, with_kwargs=True)
        return loaded

    return load


def test_out_of_memory_halves_the_batch_doubles_accumulation_says_so_and_goes_on(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, lora__lora_dropout=0.0)

    trained = bench.fit(config, tmp_path / "small", load=memory_for(5))

    assert trained.figures["per_device_train_batch_size"] == 4
    assert trained.figures["gradient_accumulation_steps"] == 4
    assert trained.figures["steps"] == 12
    assert "out of memory with batches of 16: going on with 8 texts x 2 accumulation" in bench.notes()
    assert "out of memory with batches of 8: going on with 4 texts x 4 accumulation" in bench.notes()


def test_out_of_memory_at_batch_1_fails_with_what_to_change(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data)

    with pytest.raises(OutOfMemory, match=r"(?s)not even one text of 32 tokens.*lower data\.max_length"):
        bench.fit(config, tmp_path, load=memory_for(0))


def test_a_batch_that_did_not_fit_is_not_tried_again_after_a_resume(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data)
    asked = iter([None] * 7 + ["interrupted"] * 9)
    first = bench.fit(config, tmp_path, load=memory_for(4), stop_requested=lambda: next(asked))
    assert first.stopped == "interrupted"

    resumed = Bench()
    resumed.fit(config, tmp_path, load=memory_for(4))

    assert "resuming from checkpoint-8" in resumed.notes()
    assert "out of memory" not in resumed.notes()
    once_more = Bench()
    assert once_more.fit(config, tmp_path, load=memory_for(4)).figures["per_device_train_batch_size"] == 4
    assert "out of memory" not in once_more.notes()


def test_a_loss_that_is_no_number_stops_the_run_with_a_hint(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    def broken(base: modeling.BaseModel, names: Sequence[str]) -> modeling.LoadedBase:
        loaded = modeling.load(base, names, seed=3)
        with torch.no_grad():
            loaded.model.distilbert.transformer.layer[0].ffn.lin1.weight[0, 0] = float("nan")
        return loaded

    with pytest.raises(Diverged, match=r"(?s)loss is nan at step 1.*lower it"):
        bench.fit(tiny.experiment(tiny_model("distilbert"), tiny_data), tmp_path, load=broken)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_over_long_texts_are_truncated_and_counted(tiny_model, tmp_path: Path, bench: Bench) -> None:
    data = tiny.write_dataset(tmp_path / "data")
    with (data / "train.csv").open("a") as file:
        file.write("good " + "film " * 500 + ",positive\n")
        file.write("good " + "film " * 29 + ",positive\n")  # exactly 32 tokens with the special ones
        file.write("bad " + "film " * 30 + ",negative\n")  # one too many
    trained = bench.fit(
        tiny.experiment(tiny_model("distilbert"), data, training__num_train_epochs=1), tmp_path / "artifacts"
    )

    assert trained.truncated == {"train": 2, "validation": 0}
    assert "2 of 99 train texts are longer than 32 tokens and were cut" in bench.notes()


@pytest.mark.parametrize(
    ("accuracies", "threshold", "waited"),
    [
        ([0.5], 0.0, 0),
        ([0.5, 0.5], 0.0, 1),
        ([0.5, 0.6, 0.6, 0.59], 0.0, 2),
        ([0.5, 0.52, 0.54], 0.05, 2),
        ([], 0.0, 0),
    ],
)
def test_patience_counts_evaluations_that_gain_too_little(
    accuracies: list[float], threshold: float, waited: int
) -> None:
    assert evaluations_without_gain(accuracies, threshold) == waited


def test_early_stopping_ends_training_with_the_best_checkpoint(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    config = tiny.experiment(
        tiny_model("distilbert"),
        tiny_data,
        training__learning_rate=1e-7,
        training__num_train_epochs=9,
        training__early_stopping_patience=2,
    )

    trained = bench.fit(config, tmp_path)

    assert trained.stopped == "early"
    assert trained.figures["steps"] == 18


@pytest.mark.parametrize(("strategy", "steps"), [("no", []), ("epoch", [6, 12]), ("steps", [5, 10, 12])])
def test_evaluation_follows_eval_strategy_and_the_last_step_is_always_saved(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench, strategy: str, steps: list[int]
) -> None:
    every = {"training__eval_steps": 5} if strategy == "steps" else {}
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__eval_strategy=strategy, **every)

    bench.fit(config, tmp_path)

    assert [e.step for e in bench.events if e.kind == "evaluation"] == steps
    assert (tmp_path / "checkpoint-12").is_dir()


def test_max_steps_ends_inside_an_epoch(tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench) -> None:
    trained = bench.fit(tiny.experiment(tiny_model("distilbert"), tiny_data, training__max_steps=4), tmp_path)

    assert trained.figures["steps"] == 4
    assert [e.step for e in bench.events if e.kind == "evaluation"] == [4]


def test_class_weights_change_what_is_learned_and_name_unknown_labels(
    tiny_model, tiny_data: Path, tmp_path: Path
) -> None:
    plain, weighted = Bench(), Bench()
    plain.fit(tiny.experiment(tiny_model("bert"), tiny_data), tmp_path / "plain")
    heavy = tiny.experiment(tiny_model("bert"), tiny_data, training__class_weights={"positive": 5.0})
    weighted.fit(heavy, tmp_path / "weighted")
    assert weighted.losses()[0] > 1.5 * plain.losses()[0]

    with pytest.raises(ConfigError, match="no label 'positve'; the labels are negative, positive"):
        check_options(
            tiny.experiment(tiny_model("bert"), tiny_data, training__class_weights={"positve": 2.0}),
            ("negative", "positive"),
            modeling.choose("cpu", False),
        )


def test_a_tracker_that_is_down_never_stops_a_run(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real MLflow client, a server that is not there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port}")
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__report_to=["mlflow"])

    trained = bench.fit(config, tmp_path)

    assert trained.figures["steps"] == 12
    assert "mlflow is unreachable and was switched off; training goes on" in bench.notes()


def test_a_tracker_that_is_not_installed_is_refused_before_training(tiny_model, tiny_data: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)wandb is not installed.*pip install wandb"):
        check_options(
            tiny.experiment(tiny_model("bert"), tiny_data, training__report_to=["wandb"]),
            ("negative", "positive"),
            modeling.choose("cpu", False),
        )


def test_a_model_that_gives_nan_at_an_evaluation_diverged(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    def breaks_when_judged(base: modeling.BaseModel, names: Sequence[str]) -> modeling.LoadedBase:
        loaded = modeling.load(base, names, seed=3)

        def nan(module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            return output if module.training else output * float("nan")

        loaded.model.pre_classifier.register_forward_hook(nan)
        return loaded

    with pytest.raises(Diverged, match="gives NaN after step 6"):
        bench.fit(tiny.experiment(tiny_model("distilbert"), tiny_data), tmp_path, load=breaks_when_judged)


@pytest.mark.parametrize(
    "lora",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "orthogonal"},
        {"layers_to_transform": [1]},
        {"loraplus_lr_ratio": 8.0},
        {"bias": "lora_only"},
        {"target_modules": "all-linear"},
    ],
    ids=lambda lora: "-".join(f"{k}={v}" for k, v in lora.items()),
)
def test_each_lora_variant_trains_resumes_and_reloads_on_the_unchanged_base(
    tiny_model, tiny_data: Path, tmp_path: Path, bench: Bench, lora: dict[str, object]
) -> None:
    config = tiny.experiment(tiny_model("bert"), tiny_data, **{f"lora__{key}": value for key, value in lora.items()})
    asked = iter([None] * 6 + ["interrupted"] * 9)
    assert bench.fit(config, tmp_path, stop_requested=lambda: next(asked)).stopped == "interrupted"

    trained = bench.fit(config, tmp_path)

    base = modeling.inspect(config.model.name)
    modeling.save_description(base, modeling.Task(("negative", "positive")), trained.folder)
    adapter = modeling.open_adapter(trained.folder, config.model.name, None, max_length=32)
    seen = max(e.metrics["accuracy"] for e in bench.events if e.kind == "evaluation")
    texts, labels = zip(*tiny.rows(96 + 32 + 16)[96:128], strict=True)
    predicted = [adapter.label_names[i] for i in adapter.probabilities(texts).argmax(axis=1)]
    assert sum(p == q for p, q in zip(predicted, labels, strict=True)) / 32 == pytest.approx(seen)
