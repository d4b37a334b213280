"""``fit``: from a base model and splits to the best adapter on disk.

The story: encode, train with checkpoints, give way when memory runs out, name the best
checkpoint. Killed at any step and called again it goes on from the newest whole checkpoint
and ends with the same weights. Neighbours: ``giving_way`` and ``sitting`` train in this process,
``several`` in many; the pipeline keeps the record.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from finetune30.config import ExperimentConfig
from finetune30.data import Splits
from finetune30.modeling import BaseModel, Compute, Task
from finetune30.modeling.tokens import Tokens, encode
from finetune30.training import giving_way, several
from finetune30.training.batch_size import choose_batch_size
from finetune30.training.encode import LabelledRows
from finetune30.training.launcher import RANK
from finetune30.training.order import Order
from finetune30.training.processes import processes
from finetune30.training.progress import Progress, StopRequested, note
from finetune30.training.sitting import Load, Sitting, TrainedAdapter, load_seeded


def fit(
    base: BaseModel,
    splits: Splits,
    config: ExperimentConfig,
    progress: Progress,
    *,
    artifacts: Path,
    compute: Compute,
    stop_requested: StopRequested = lambda: None,
    load: Load | None = None,
    rank: str = RANK,
    cache: Path | None = None,
) -> TrainedAdapter:
    """Train an adapter, or go on training where an earlier call stopped.

    Args:
        artifacts: Folder for checkpoints; those already there are resumed from.
        stop_requested: Asked after each optimizer step.
        cache: Folder for token ids, so that no text is read twice; None keeps them in memory.
        load: How the base gets into memory; ``modeling.load`` with the seed unless a test says otherwise.
        rank: The module that each of several processes runs, where the configuration asks for several.
    Raises: OutOfMemory at batch 1; Diverged; CheckpointRejected; ConfigError; Killed or Crashed if one of
        several processes dies.
    """
    if config.training.per_device_train_batch_size == "auto":
        config = choose_batch_size(base, splits, config, compute, progress)
    encoded = _read(base, splits, config, progress, cache)
    train_rows = LabelledRows(encoded["train"], splits.train.labels)
    eval_rows = LabelledRows(encoded["validation"], splits.validation.labels)
    task = task_of(splits, config)
    if processes(config) > 1:
        order = Order(config, task, compute, train_rows, eval_rows)
        trained = several.train(order, progress, artifacts=artifacts, stop_requested=stop_requested, rank=rank)
    else:
        load = load or load_seeded(config)
        trained = giving_way.train(
            Sitting(base, config, train_rows, eval_rows, task, progress, artifacts, compute, stop_requested, load)
        )
    return replace(trained, truncated={name: tokens.truncated for name, tokens in encoded.items()})


def task_of(splits: Splits, config: ExperimentConfig) -> Task:
    """What an adapter learns from this data: the kind of answer it will give."""
    return Task(
        splits.label_names,
        multi_label=splits.multi_label,
        text_pair=splits.train.pairs is not None,
        threshold=config.model.threshold,
    )


def _read(
    base: BaseModel, splits: Splits, config: ExperimentConfig, progress: Progress, cache: Path | None
) -> dict[str, Tokens]:
    """The texts of each split as tokens; says how many were cut."""
    longest = config.data.max_length
    read = {name: encode(base.tokenizer, split.texts, longest, cache, split.pairs) for name, split in splits.items()}
    for name, tokens in read.items():
        if tokens.truncated:
            what = "texts" if splits.train.pairs is None else "pairs"
            text = f"{tokens.truncated} of {len(tokens)} {name} {what} are longer than {longest} tokens and were cut"
            progress(note(text))
    return read
