"""Rows with several labels, from training to an adapter that anybody can load."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune30 import modeling
from finetune30.errors import ModelError
from finetune30.modeling import parity
from finetune30.modeling.base import locate
from finetune30.training import score, task_of
from tests import tiny
from tests.training.conftest import Bench
from tests.training.test_engine_training import without_head_dropout

Models = Callable[[str], Path]


@pytest.fixture
def splits() -> Any:
    return tiny.several_labels()


def saved(trained: Any, config: Any, splits: Any) -> Path:
    """The folder as the pipeline would publish it."""
    modeling.save_description(modeling.inspect(config.model.name), task_of(splits, config), trained.folder)
    return trained.folder


def test_a_text_learns_all_of_its_labels(tmp_path: Path, bench: Bench) -> None:
    """With the built-in model, from separable texts."""
    try:
        locate("builtin:minilm")
    except ModelError:
        pytest.skip("the built-in model is not installed")
    splits = tiny.several_labels(192, 64)
    config = tiny.experiment(
        "builtin:minilm",
        "builtin:reviews",
        lora__target_modules="all-linear",
        lora__lora_dropout=0.0,
        training__learning_rate=2e-3,
        training__num_train_epochs=6,
    )

    folder = saved(bench.fit(config, tmp_path, splits), config, splits)

    assert bench.metrics()["accuracy"] > 0.95
    adapter = modeling.open_adapter(folder, config.model.name, None, max_length=32)
    found = adapter.probabilities(["we found the book and the film", "quite a bit", "very food"])
    assert (found >= 0.5).tolist() == [[True, True, False], [False] * 3, [False, False, True]]
    whole = score(adapter.probabilities(splits.validation.texts), splits.validation.labels, splits.label_names)
    assert whole.accuracy == pytest.approx(max(e.metrics["accuracy"] for e in bench.events if e.metrics))


def test_killed_and_resumed_gives_the_uninterrupted_weights(
    tiny_model: Models, tmp_path: Path, weights_of: Callable[[Path], bytes], splits: Any
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), "builtin:reviews", training__save_steps=2)
    whole = Bench()
    expected = weights_of(whole.fit(config, tmp_path / "whole", splits).folder)
    for step in (3, 6, 9):
        asked = iter([None] * (step - 1) + ["interrupted"] * 20)
        artifacts = tmp_path / str(step)
        stopped = Bench().fit(config, artifacts, splits, stop_requested=lambda asked=asked: next(asked))
        assert stopped.stopped == "interrupted"

        assert weights_of(Bench().fit(config, artifacts, splits).folder) == expected


@pytest.mark.parametrize("weights", [None, "balanced", {"book": 4.0}])
def test_loss_and_gradients_of_a_step_are_the_same_however_its_batch_is_cut(
    tiny_model: Models, tmp_path: Path, splits: Any, weights: Any
) -> None:
    seen = []
    for rows, batches in ((16, 1), (4, 4), (2, 8)):
        config = tiny.experiment(
            tiny_model("bert"),
            "builtin:reviews",
            lora__lora_dropout=0.0,
            training__per_device_train_batch_size=rows,
            training__gradient_accumulation_steps=batches,
            training__class_weights=weights,
            training__max_steps=1,
        )
        artifacts = tmp_path / str(rows)
        Bench().fit(config, artifacts, splits, load=without_head_dropout)
        state = json.loads((artifacts / "checkpoint-1" / "trainer_state.json").read_text())
        seen.append((state["log_history"][0]["loss"], state["log_history"][0]["grad_norm"]))

    assert seen[1] == pytest.approx(seen[0], rel=1e-5)
    assert seen[2] == pytest.approx(seen[0], rel=1e-5)
    if weights is None:
        assert seen[0][0] == pytest.approx(np.log(2), abs=0.05)  # the mean over rows and labels, of a new head


def test_the_best_checkpoint_is_chosen_under_the_threshold(
    tiny_model: Models, tmp_path: Path, bench: Bench, splits: Any
) -> None:
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews", model__threshold=0.99)

    bench.fit(config, tmp_path, splits)

    # Nothing is given: only rows without labels are right.
    assert bench.metrics()["accuracy"] == (splits.validation.labels.sum(axis=1) == 0).mean() > 0


def test_class_weights_change_what_is_learned(tiny_model: Models, tmp_path: Path, splits: Any) -> None:
    losses = {}
    for weights in (None, "balanced", {"book": 9.0}):
        bench = Bench()
        config = tiny.experiment(tiny_model("bert"), "builtin:reviews", training__class_weights=weights)
        bench.fit(config, tmp_path / str(weights), splits)
        losses[str(weights)] = bench.losses()[0] or 0.0
    assert losses["balanced"] > 1.1 * losses["None"]
    assert losses["{'book': 9.0}"] == pytest.approx(losses["None"] * 11 / 3, rel=0.1)


def test_frozen_layers_are_kept_for_several_labels_too(
    tiny_model: Models, tmp_path: Path, bench: Bench, splits: Any
) -> None:
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews", training__freeze_below=1)
    assert bench.fit(config, tmp_path, splits).figures["steps"] == 12
    assert "the outputs of the 1 lowest layers are kept" in bench.notes()


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_peft_and_transformers_alone_load_the_folder_and_answer_the_same(
    tiny_model: Models, tmp_path: Path, bench: Bench, splits: Any, architecture: str
) -> None:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config = tiny.experiment(tiny_model(architecture), "builtin:reviews", model__threshold=0.4)
    folder = saved(bench.fit(config, tmp_path, splits), config, splits)
    texts = splits.validation.texts
    adapter = modeling.open_adapter(folder, config.model.name, None, max_length=32)
    ours = adapter.probabilities(texts)
    assert adapter.task == modeling.Task(tiny.SEVERAL, multi_label=True, threshold=0.4)

    described = AutoConfig.from_pretrained(folder)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model(architecture), config=described)
    model = PeftModel.from_pretrained(base, folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    answer = model(**batch, labels=torch.from_numpy(splits.validation.labels).float())

    assert described.problem_type == "multi_label_classification"
    np.testing.assert_allclose(answer.logits.sigmoid().detach().numpy(), ours, atol=1e-5)
    # What others would train on with this configuration is what we evaluate.
    assert float(answer.loss) == pytest.approx(score(ours, splits.validation.labels, tiny.SEVERAL).loss, abs=1e-5)


def test_parity_knows_from_the_folder_that_a_row_has_several_labels(
    tiny_model: Models, tmp_path: Path, bench: Bench, splits: Any
) -> None:
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews")
    folder = saved(bench.fit(config, tmp_path, splits), config, splits)
    texts = splits.validation.texts[:4]
    expected = modeling.open_adapter(folder, config.model.name, None, max_length=32).probabilities(texts)

    assert parity.check(folder, config.model.name, None, texts, expected, 32) < 1e-5


def test_one_label_that_a_row_has_or_has_not_is_enough(tiny_model: Models, tmp_path: Path, bench: Bench) -> None:
    from dataclasses import replace

    whole = tiny.several_labels()
    parts = [replace(part, labels=part.labels[:, 1:2]) for part in (whole.train, whole.validation)]
    splits = replace(whole, train=parts[0], validation=parts[1], label_names=("film",))
    config = tiny.experiment(tiny_model("roberta"), "builtin:reviews")

    folder = saved(bench.fit(config, tmp_path, splits), config, splits)

    adapter = modeling.open_adapter(folder, config.model.name, None, max_length=32)
    assert adapter.probabilities(["the film"]).shape == (1, 1)
