"""Rows of two texts, read together, from training to an adapter that anybody can load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune30 import modeling
from finetune30.errors import BadInput
from finetune30.modeling import parity
from finetune30.training import choose_batch_size, task_of
from tests import tiny
from tests.training.conftest import Bench
from tests.training.test_several_labels import saved

Models = Callable[[str], Path]


@pytest.fixture
def splits() -> Any:
    return tiny.pairs_of_texts(96, 32)


def test_the_second_text_is_read_and_told_from_the_first(tiny_model: Models, tmp_path: Path, bench: Bench) -> None:
    """The first text is full of words that would say the wrong thing."""
    splits = tiny.pairs_of_texts()
    config = tiny.experiment(
        tiny_model("bert"),
        "builtin:reviews",
        lora__target_modules="all-linear",
        lora__lora_dropout=0.0,
        lora__modules_to_save=["word_embeddings"],
        training__num_train_epochs=8,
    )

    folder = saved(bench.fit(config, tmp_path, splits), config, splits)

    assert bench.metrics()["accuracy"] > 0.9  # to the last row it hangs on how a device rounds
    adapter = modeling.open_adapter(folder, config.model.name, None, max_length=32)
    judged = splits.validation
    right = adapter.probabilities(judged.texts, judged.pairs).argmax(axis=1) == judged.labels
    assert right.mean() == bench.metrics()["accuracy"]
    turned = adapter.probabilities(judged.pairs, judged.texts).argmax(axis=1) == judged.labels
    assert turned.mean() < 0.7


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_peft_and_transformers_alone_load_the_folder_and_answer_the_same(
    tiny_model: Models, tmp_path: Path, bench: Bench, splits: Any, architecture: str
) -> None:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config = tiny.experiment(tiny_model(architecture), "builtin:reviews")
    folder = saved(bench.fit(config, tmp_path, splits), config, splits)
    texts, pairs = splits.validation.texts, splits.validation.pairs
    ours = modeling.open_adapter(folder, config.model.name, None, max_length=32).probabilities(texts, pairs)

    described = AutoConfig.from_pretrained(folder)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model(architecture), config=described)
    model = PeftModel.from_pretrained(base, folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(texts, pairs, padding=True, return_tensors="pt")

    assert described.problem_type == "single_label_classification"
    np.testing.assert_allclose(model(**batch).logits.softmax(-1).detach().numpy(), ours, atol=1e-5)


def test_parity_reads_the_pairs_in_its_fresh_process(
    tiny_model: Models, tmp_path: Path, bench: Bench, splits: Any
) -> None:
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews")
    folder = saved(bench.fit(config, tmp_path, splits), config, splits)
    texts, pairs = splits.validation.texts[:4], splits.validation.pairs[:4]
    expected = modeling.open_adapter(folder, config.model.name, None, max_length=32).probabilities(texts, pairs)

    assert parity.check(folder, config.model.name, None, texts, expected, 32, pairs=pairs) < 1e-5


def test_pairs_for_single_texts_and_single_texts_for_pairs_are_refused(
    tiny_model: Models, tmp_path: Path, bench: Bench, splits: Any
) -> None:
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews")
    folder = saved(bench.fit(config, tmp_path / "pairs", splits), config, splits)
    of_pairs = modeling.open_adapter(folder, config.model.name, None, max_length=32)
    single = replace(splits, train=replace(splits.train, pairs=None), validation=replace(splits.validation, pairs=None))
    folder = saved(bench.fit(config, tmp_path / "single", single), config, single)
    of_texts = modeling.open_adapter(folder, config.model.name, None, max_length=32)

    with pytest.raises(BadInput, match=r"(?s)trained on pairs of texts and was given one.*--pair"):
        of_pairs.probabilities(["good film"])
    with pytest.raises(BadInput, match=r"(?s)trained on single texts.*data\.text_pair_column"):
        of_texts.truncated(["good film"], ["fine"])
    with pytest.raises(BadInput, match="there are 2 texts and 1 second texts, expected as many of each"):
        of_pairs.probabilities(["good", "bad"], ["fine"])


def test_pairs_are_cut_together_counted_and_cached(
    tiny_model: Models, tmp_path: Path, bench: Bench, splits: Any
) -> None:
    longer = replace(splits.train, pairs=[*splits.train.pairs[:-1], "film " * 60])
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews", training__num_train_epochs=1)

    trained = bench.fit(config, tmp_path / "a", replace(splits, train=longer), cache=tmp_path / "cache")

    assert trained.truncated == {"train": 1, "validation": 0}
    assert "1 of 96 train pairs are longer than 32 tokens and were cut" in bench.notes()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_batch_size_is_measured_with_both_texts(tiny_model: Models, splits: Any) -> None:
    config = tiny.experiment(
        tiny_model("bert"), "builtin:reviews", training__per_device_train_batch_size="auto", training__freeze_below=1
    )
    base, compute = modeling.inspect(config.model.name), modeling.choose("cpu", False)

    chosen = choose_batch_size(base, splits, config, compute, lambda _: None)

    assert chosen.training.per_device_train_batch_size in (8, 16)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_resumed_run_on_pairs_with_frozen_layers_ends_with_the_uninterrupted_weights(
    tiny_model: Models, tmp_path: Path, weights_of: Callable[[Path], bytes], splits: Any, architecture: str
) -> None:
    config = tiny.experiment(tiny_model(architecture), "builtin:reviews", training__freeze_below=1)
    expected = weights_of(Bench().fit(config, tmp_path / "whole", splits).folder)
    asked = iter([None] * 4 + ["interrupted"] * 9)
    assert Bench().fit(config, tmp_path / "cut", splits, stop_requested=lambda: next(asked)).stopped == "interrupted"

    assert weights_of(Bench().fit(config, tmp_path / "cut", splits).folder) == expected


def test_the_folder_says_that_a_row_is_a_pair(tiny_model: Models, splits: Any) -> None:
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews")
    assert task_of(splits, config) == modeling.Task(("negative", "positive"), text_pair=True)
