"""``fit``: from a base model and splits to the best adapter on disk.

The story: encode, train with checkpoints, give way when memory runs out, name the best
checkpoint. Killed at any step and called again it goes on from the newest whole checkpoint
and ends with the same weights. Neighbours: ``sitting`` builds the trainer, ``callbacks`` the
schedule, ``checkpoints`` the files; the pipeline keeps the record.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from finetune30.config import ExperimentConfig
from finetune30.data import Splits
from finetune30.errors import OutOfMemory
from finetune30.modeling import BaseModel, Compute, Task
from finetune30.modeling.base import load as load_base
from finetune30.modeling.memory import is_out_of_memory, release
from finetune30.modeling.tokens import Tokens, encode
from finetune30.training.batch_size import choose_batch_size
from finetune30.training.encode import LabelledRows
from finetune30.training.progress import Progress, StopRequested, note
from finetune30.training.sitting import BatchShape, Load, Sitting, TrainedAdapter


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
    cache: Path | None = None,
) -> TrainedAdapter:
    """Train an adapter, or go on training where an earlier call stopped.

    Args:
        artifacts: Folder for checkpoints; those already there are resumed from.
        stop_requested: Asked after each optimizer step.
        cache: Folder for token ids, so that no text is read twice; None keeps them in memory.
        load: How the base gets into memory; ``modeling.load`` with the seed unless a test says otherwise.
    Raises: OutOfMemory at batch 1; Diverged; CheckpointRejected; ConfigError.
    """
    load = load or (lambda base, names: load_base(base, names, seed=config.seed))
    if config.training.per_device_train_batch_size == "auto":
        config = choose_batch_size(base, splits, config, compute, progress)
    encoded = _read(base, splits, config, progress, cache)
    sitting = Sitting(
        base,
        config,
        LabelledRows(encoded["train"], splits.train.labels),
        LabelledRows(encoded["validation"], splits.validation.labels),
        task_of(splits, config),
        progress,
        artifacts,
        compute,
        stop_requested,
        load,
    )
    shape = BatchShape(_rows(config), config.training.gradient_accumulation_steps)
    while True:
        try:
            trained = sitting.train(shape)
            return replace(trained, truncated={name: tokens.truncated for name, tokens in encoded.items()})
        except (RuntimeError, MemoryError) as fault:
            if not is_out_of_memory(fault):
                raise
            smaller = shape.smaller()
            if smaller is None:
                raise OutOfMemory(
                    f"not even one text of {config.data.max_length} tokens fits into the memory of {compute.device}",
                    where="training.per_device_train_batch_size",
                    hint="lower data.max_length, choose a smaller model.name or lora.r, or train on a larger device",
                ) from fault
        # Outside the except clause, so that the fault's frames no longer hold the tensors.
        progress(
            note(
                f"out of memory with batches of {shape.rows}: going on with {smaller.rows} texts x "
                f"{smaller.accumulation} accumulation steps "
                f"(the optimizer sees the same {shape.rows * shape.accumulation})"
            )
        )
        shape = smaller
        release()


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


def _rows(config: ExperimentConfig) -> int:
    size = config.training.per_device_train_batch_size
    assert size != "auto"  # noqa: S101 - chosen above
    return size
