"""What is compared: our training, and three ways to do the same with Trainer and PEFT.

All train the same adapter on the same base and rows. The stock recipes are written as their users
write them: ``TrainingArguments`` and ``Trainer``, nothing of ours inside. Neighbours: ``worker``
runs a recipe in a process of its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune30 import data, modeling
from finetune30.config import ExperimentConfig
from finetune30.data import Splits
from finetune30.modeling.base import load as load_base
from finetune30.modeling.base import quiet_transformers
from finetune30.modeling.tokens import encode
from finetune30.training import fit
from finetune30.training.encode import StepBatches

# Steps at the beginning of a round that are not counted.
WARM_UP = 5


@dataclass(frozen=True)
class Round:
    """What one round of training took, warm-up left out.

    Attributes:
        tokens: Real ones; padding is not counted.
    """

    tokens: int
    samples: int
    seconds: float


@dataclass(frozen=True)
class Recipe:
    """A way to train.

    Attributes:
        batch_size: Texts of a batch.
        stock: Values for ``TrainingArguments``; None for our own training.
        pad_to_max: Pad every text to ``max_length``, as the seed of this project did.
    """

    name: str
    what: str
    batch_size: int
    precision: str
    stock: dict[str, Any] | None = None
    pad_to_max: bool = False


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("seed", "Trainer, batch 2, padded to max_length, float32", 2, "float32", {}, pad_to_max=True),
        Recipe("guide", "PEFT's guide: Trainer, batch 32, padded to the longest, float32", 32, "float32", {}),
        Recipe(
            "stock",
            "the best stock one: Trainer, batch 32, grouped by length, bfloat16, fused AdamW",
            32,
            "bfloat16",
            {"train_sampling_strategy": "group_by_length", "bf16": True, "optim": "adamw_torch_fused"},
        ),
        Recipe(
            "stock-float32",
            "Trainer, batch 32, grouped by length, float32, fused AdamW",
            32,
            "float32",
            {"train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused"},
        ),
        Recipe("ours", "finetune30, batch 32, bfloat16", 32, "bfloat16"),
        Recipe("ours-float32", "finetune30, batch 32, float32", 32, "float32"),
    )
}


def rounds_of(recipe: Recipe, config: ExperimentConfig, steps: int) -> Callable[[], Round]:
    """A function that trains for so many steps and says what they took; preparing is done here, once."""
    modeling.choose(config.training.device)  # a device that is not here is refused for every recipe alike
    splits = data.load(config)
    return _ours(recipe, config, splits, steps) if recipe.stock is None else _stock(recipe, config, splits, steps)


def _ours(recipe: Recipe, config: ExperimentConfig, splits: Splits, steps: int) -> Callable[[], Round]:
    base = modeling.inspect(config.model.name)
    values: dict[str, Any] = {
        "per_device_train_batch_size": recipe.batch_size,
        "max_steps": steps,
        "eval_strategy": "no",
        "logging_steps": steps,
    }
    config = config.model_copy(update={"training": config.training.model_copy(update=values)})
    compute = modeling.choose(config.training.device, recipe.precision == "bfloat16")
    tokens = encode(base.tokenizer, splits.train.texts, config.data.max_length)
    lengths = tokens.lengths().tolist()
    order = StepBatches(
        lengths,
        batch_size=recipe.batch_size,
        accumulation=1,
        seed=config.seed,
        by_length=config.training.train_sampling_strategy == "group_by_length",
    )
    batches = list(order)
    counted = [batches[step % len(batches)] for step in range(WARM_UP, steps)]

    def go() -> Round:
        ends: list[float] = []

        def after_step() -> None:
            ends.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            fit(
                base, splits, config, lambda _: None, artifacts=Path(folder), compute=compute, stop_requested=after_step
            )
        # Asked after every step but the last: one step less is counted.
        rows = counted[: len(ends) - WARM_UP]
        return Round(
            sum(lengths[row] for batch in rows for row in batch), sum(map(len, rows)), ends[-1] - ends[WARM_UP - 1]
        )

    return go


def _stock(recipe: Recipe, config: ExperimentConfig, splits: Splits, steps: int) -> Callable[[], Round]:
    with quiet_transformers():
        # Nothing is saved, so the folder is only named.
        trainer, costs = stock_trainer(
            recipe, config, splits, tempfile.gettempdir(), {"max_steps": steps, "save_strategy": "no"}
        )

    def go() -> Round:
        costs.clear()
        with quiet_transformers():
            trainer.train()
        counted = costs[WARM_UP:]
        return Round(sum(c[0] for c in counted), sum(c[1] for c in counted), counted[-1][2] - costs[WARM_UP - 1][2])

    return go


def stock_trainer(
    recipe: Recipe, config: ExperimentConfig, splits: Splits, folder: str, arguments: dict[str, Any]
) -> tuple[Any, list[tuple[int, int, float]]]:
    """transformers' Trainer on PEFT's model, as its users write it.

    Returns: The trainer; and a list that gets real tokens, texts and the time of every step's end.
    """
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments, set_seed

    base = modeling.inspect(config.model.name)
    tokenizer = base.tokenizer
    padding = "max_length" if recipe.pad_to_max else False
    read = tokenizer(list(splits.train.texts), truncation=True, max_length=config.data.max_length, padding=padding)
    rows = [{**{key: read[key][i] for key in read}, "labels": label} for i, label in enumerate(splits.train.labels)]
    costs: list[tuple[int, int, float]] = []

    class Counting(Trainer):
        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            self.counted = int(inputs["attention_mask"].sum()), len(inputs["labels"])
            return super().training_step(model, inputs, num_items_in_batch)

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            costs.append((*trainer.counted, time.perf_counter()))

    model = modeling.attach(load_base(base, splits.label_names, seed=config.seed), base, config)
    set_seed(config.seed)
    training = config.training
    trainer = Counting(
        model,
        TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=recipe.batch_size,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            warmup_steps=training.warmup_steps,
            lr_scheduler_type=training.lr_scheduler_type,
            max_grad_norm=training.max_grad_norm,
            seed=config.seed,
            report_to="none",
            disable_tqdm=True,
            use_cpu=training.device == "cpu",
            dataloader_pin_memory=training.device != "cpu",
            logging_strategy="no",
            **(recipe.stock or {}),
            **arguments,
        ),
        train_dataset=rows,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[Clock()],
    )
    return trainer, costs
