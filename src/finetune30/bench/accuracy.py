"""Whether fast is as good: accuracy of our training and of the same recipe in stock float32.

Same base, adapter, rows, learning rate, batch and epochs. The stock model keeps the base's own
dropout; ours leaves it out: that is part of what is compared. Neighbours: ``worker`` runs one training.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from finetune30 import data, modeling
from finetune30.bench.recipes import Recipe, stock_trainer
from finetune30.config import ExperimentConfig
from finetune30.data import Split, Splits
from finetune30.modeling.predict import logits_of
from finetune30.modeling.tokens import encode
from finetune30.training import fit, task_of


def accuracy_of(recipe: Recipe, config: ExperimentConfig, split: str) -> float:
    """Train with every row and epoch, and score a split, ``validation`` or ``test``.

    Scored are the last weights for both: choosing the best of several evaluations is another question.
    """
    splits = data.load(config)
    judged = splits.test if split == "test" and splits.test is not None else splits.validation
    if recipe.stock is None:
        return _ours(recipe, config, splits, judged)
    trainer, _ = stock_trainer(
        recipe,
        config,
        splits,
        tempfile.gettempdir(),  # nothing is saved
        {"num_train_epochs": config.training.num_train_epochs, "save_strategy": "no"},
    )
    trainer.train()
    base = modeling.inspect(config.model.name)
    tokens = encode(base.tokenizer, judged.texts, config.data.max_length)
    logits = logits_of(trainer.model, tokens, batch_size=64, device=str(trainer.args.device))
    return float((logits.argmax(axis=1) == np.asarray(judged.labels)).mean())


def _ours(recipe: Recipe, config: ExperimentConfig, splits: Splits, judged: Split) -> float:
    base = modeling.inspect(config.model.name)
    values = {"per_device_train_batch_size": recipe.batch_size, "eval_strategy": "no"}
    config = config.model_copy(update={"training": config.training.model_copy(update=values)})
    compute = modeling.choose(config.training.device, recipe.precision == "bfloat16")
    with tempfile.TemporaryDirectory() as folder:
        trained = fit(base, splits, config, lambda _: None, artifacts=Path(folder), compute=compute)
        assert trained.folder is not None  # noqa: S101 - nobody asked it to stop
        modeling.save_description(base, task_of(splits, config), trained.folder)
        adapter = modeling.open_adapter(
            trained.folder, config.model.name, None, max_length=config.data.max_length, device=compute.device
        )
        predicted = adapter.probabilities(judged.texts).argmax(axis=1)
    return float((predicted == np.asarray(judged.labels)).mean())
