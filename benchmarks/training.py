"""Training throughput: ``fit`` against PEFT's guide (stock Trainer, float32, batches padded to the longest).

Same base, same adapter, same data, same batch of 16, in one process, in turn; real
(attention-mask) tokens over step time, the first five steps of each round left out.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 3
STEPS = 25
WARM_UP = 5


def measure() -> dict[str, float]:
    """Medians of tokens per second and of the ratios, round by round."""
    ours, peer = [], []
    for _ in range(ROUNDS):
        ours.append(_ours())
        peer.append(_guide())
    ratios = [a / b for a, b in zip(ours, peer, strict=True)]
    return {
        "finetune30_tokens_per_s": statistics.median(ours),
        "peft_guide_tokens_per_s": statistics.median(peer),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def _experiment() -> Any:
    from finetune30.config import from_mapping

    return from_mapping(
        {
            "training": {
                "max_steps": STEPS,
                "eval_strategy": "no",
                "device": "cpu",
                "bf16": False,
                "logging_steps": STEPS,
            }
        }
    )


def _ours() -> float:
    from finetune30 import data, modeling
    from finetune30.training import fit

    config = _experiment()
    with tempfile.TemporaryDirectory() as folder:
        trained = fit(
            modeling.inspect(config.model.name),
            data.load(config),
            config,
            lambda _: None,
            artifacts=Path(folder),
            compute=modeling.choose("cpu", False),
        )
    return float(trained.figures["tokens_per_s"])


def _guide() -> float:
    """The recipe of PEFT's sequence classification guide."""
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    from finetune30 import data, modeling
    from finetune30.modeling.base import quiet_transformers

    config = _experiment()
    base = modeling.inspect(config.model.name)
    splits = data.load(config)
    encoded = base.tokenizer(list(splits.train.texts), truncation=True, max_length=config.data.max_length)
    rows = [
        {**{key: encoded[key][i] for key in encoded}, "labels": label} for i, label in enumerate(splits.train.labels)
    ]
    costs: list[tuple[int, float]] = []

    class Timed(Trainer):
        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            self.tokens = int(inputs["attention_mask"].sum())
            self.began = time.monotonic()
            return super().training_step(model, inputs, num_items_in_batch)

    class Clock(TrainerCallback):
        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            costs.append((trainer.tokens, time.monotonic() - trainer.began))

    with quiet_transformers(), tempfile.TemporaryDirectory() as folder:
        model = modeling.attach(modeling.load(base, splits.label_names, seed=config.seed), base, config)
        trainer = Timed(
            model,
            TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=config.training.per_device_train_batch_size,
                learning_rate=config.training.learning_rate,
                max_steps=STEPS,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                dataloader_pin_memory=False,
                logging_strategy="no",
            ),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(base.tokenizer),
            callbacks=[Clock()],
        )
        trainer.train()
    counted = costs[WARM_UP:]
    return sum(c[0] for c in counted) / sum(c[1] for c in counted)
