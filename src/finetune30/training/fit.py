"""``fit``: from a base model and splits to the best adapter on disk.

The story: seed, attach, encode, train with checkpoints, give way when memory runs out, name
the best checkpoint. Killed at any step and called again it goes on from the newest whole
checkpoint and ends with the same weights. Neighbours: ``trainer`` is the loop, ``callbacks``
the schedule, ``checkpoints`` the files; the pipeline keeps the record.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import TrainingArguments, set_seed

from finetune30.config import ExperimentConfig
from finetune30.data import Splits
from finetune30.errors import ConfigError, OutOfMemory
from finetune30.modeling import BaseModel, Compute, LoadedBase, lora, residual
from finetune30.modeling.base import load as load_base
from finetune30.modeling.base import quiet_transformers
from finetune30.modeling.memory import is_out_of_memory, release
from finetune30.modeling.predict import encode
from finetune30.training import checkpoints
from finetune30.training.callbacks import Schedule, trackers
from finetune30.training.encode import LabelledRows, StepBatches
from finetune30.training.progress import Event, Progress, StopRequested
from finetune30.training.trainer import AdapterTrainer

Load = Callable[[BaseModel, Sequence[str]], LoadedBase]


@dataclass(frozen=True)
class TrainedAdapter:
    """What training left behind.

    Attributes:
        folder: The adapter of the best checkpoint, as PEFT loads it; the caller moves it to its place.
        best_step: Optimizer steps that made it.
        stopped: None at the last step, ``early``, or why it was asked to stop; then there is
            more to train.
        figures: The ``train`` part of ``metrics.json``.
        truncated: Split -> texts cut at ``data.max_length``.
    """

    folder: Path
    best_step: int
    stopped: str | None
    figures: dict[str, Any]
    truncated: dict[str, int]


@dataclass(frozen=True)
class _BatchShape:
    """Rows of one forward pass, and passes of one optimizer step."""

    rows: int
    accumulation: int

    def smaller(self) -> _BatchShape | None:
        """The largest batch of at most half the rows that leaves the optimizer step as it is."""
        step = self.rows * self.accumulation
        fitting = [n for n in range(self.rows // 2, 0, -1) if step % n == 0]
        return _BatchShape(fitting[0], step // fitting[0]) if fitting else None


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
) -> TrainedAdapter:
    """Train an adapter, or go on training where an earlier call stopped.

    Args:
        artifacts: Folder for checkpoints; those already there are resumed from.
        stop_requested: Asked after each optimizer step.
        load: How the base gets into memory; ``modeling.load`` with the seed unless a test says otherwise.
    Raises: OutOfMemory at batch 1; Diverged; CheckpointRejected; ConfigError.
    """
    load = load or (lambda base, names: load_base(base, names, seed=config.seed))
    encoded = {
        name: encode(base.tokenizer, split.texts, config.data.max_length)
        for name, split in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
        if split is not None
    }
    truncated = {name: rows.truncated for name, rows in encoded.items()}
    for name, count in truncated.items():
        if count:
            progress(
                _note(
                    f"{count} of {len(encoded[name])} {name} texts are longer than {config.data.max_length} tokens "
                    "and were cut"
                )
            )
    sitting = _Sitting(
        base,
        config,
        LabelledRows(encoded["train"].rows, splits.train.labels),
        LabelledRows(encoded["validation"].rows, splits.validation.labels),
        splits.label_names,
        progress,
        artifacts,
        compute,
        stop_requested,
        load,
    )
    shape = _BatchShape(config.training.per_device_train_batch_size, config.training.gradient_accumulation_steps)
    while True:
        try:
            trained = sitting.train(shape)
            return replace(trained, truncated=truncated)
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
            _note(
                f"out of memory with batches of {shape.rows}: going on with {smaller.rows} texts x "
                f"{smaller.accumulation} accumulation steps "
                f"(the optimizer sees the same {shape.rows * shape.accumulation})"
            )
        )
        shape = smaller
        release()


@dataclass(frozen=True)
class _Sitting:
    """All a stretch of training needs; ``train`` may be called again with smaller batches."""

    base: BaseModel
    config: ExperimentConfig
    train_rows: LabelledRows
    eval_rows: LabelledRows
    label_names: tuple[str, ...]
    progress: Progress
    artifacts: Path
    compute: Compute
    stop_requested: StopRequested
    load: Load

    def train(self, shape: _BatchShape) -> TrainedAdapter:
        checkpoints.clear_staging(self.artifacts)
        start = checkpoints.newest(self.artifacts, lambda text: self.progress(_note(text)))
        if start is not None:
            self.progress(_note(f"resuming from {start.folder.name}"))
            # What did not fit into memory before will not fit now.
            while start.batch_rows and shape.rows > start.batch_rows and (smaller := shape.smaller()):
                shape = smaller
        steps_per_epoch = -(-len(self.train_rows) // (shape.rows * shape.accumulation))
        total = self._total_steps(steps_per_epoch)
        schedule = Schedule(self.config, self.stop_requested)
        with quiet_transformers():
            trainer, untrained = self._trainer(shape, total, schedule, start)
            if start is None or start.step < total:
                trainer.train(resume_from_checkpoint=str(start.folder) if start else None)
            best = checkpoints.best(self.artifacts)
            figures = {**self._figures(trainer, shape, total), "best_step": best.step}
            folder = self.artifacts / f"{checkpoints.STAGING}final_model"
            trainer.write_best(best.folder, folder, untrained)
        return TrainedAdapter(folder, best.step, schedule.stopped, figures, {})

    def _trainer(
        self, shape: _BatchShape, total: int, schedule: Schedule, start: checkpoints.Checkpoint | None
    ) -> tuple[AdapterTrainer, residual.Start | None]:
        config = self.config
        model = lora.attach(self.load(self.base, self.label_names), self.base, config)
        untrained = residual.start_of(model) if residual.changes_base(config) else None
        # Attaching may have drawn more or fewer random numbers; training starts from the seed alone.
        set_seed(config.seed)
        trainer = AdapterTrainer(
            model,
            self._arguments(shape, total),
            train_rows=self.train_rows,
            eval_rows=self.eval_rows,
            batches=StepBatches(
                self.train_rows.lengths(),
                batch_size=shape.rows,
                accumulation=shape.accumulation,
                seed=config.seed,
                by_length=config.training.train_sampling_strategy == "group_by_length",
            ),
            tokenizer=self.base.tokenizer,
            label_names=self.label_names,
            class_weights=_class_weights(config, self.train_rows.labels, self.label_names),
            progress=self.progress,
            seconds_before=start.train_seconds if start else 0.0,
            fastest_within=config.training.fastest_within,
            callbacks=[schedule, *trackers(config, lambda text: self.progress(_note(text)))],
            optimizers=(self._optimizer(model), None),
        )
        self.progress(
            _note(
                f"training {lora.trainable_parameters(model):,} of {sum(p.numel() for p in model.parameters()):,} "
                f"parameters for {total} steps of {shape.rows * shape.accumulation} texts"
            )
        )
        return trainer, untrained

    def _total_steps(self, steps_per_epoch: int) -> int:
        training = self.config.training
        if training.max_steps > 0:
            return training.max_steps
        return math.ceil(training.num_train_epochs * steps_per_epoch)

    def _arguments(self, shape: _BatchShape, total: int) -> TrainingArguments:
        training = self.config.training
        warmup = training.warmup_steps
        # accelerate picks the device of a process from here; an index is honoured too.
        os.environ["ACCELERATE_TORCH_DEVICE"] = self.compute.device
        arguments = TrainingArguments(
            output_dir=str(self.artifacts),
            learning_rate=training.learning_rate,
            num_train_epochs=training.num_train_epochs,
            max_steps=total,
            per_device_train_batch_size=shape.rows,
            per_device_eval_batch_size=training.per_device_eval_batch_size,
            gradient_accumulation_steps=shape.accumulation,
            # Rounded down: the only step of a one-step run is no warm-up.
            warmup_steps=int(warmup * total) if warmup < 1 else min(int(warmup), total - 1),
            lr_scheduler_type=training.lr_scheduler_type,
            weight_decay=training.weight_decay,
            max_grad_norm=training.max_grad_norm,
            logging_steps=training.logging_steps,
            logging_first_step=True,
            logging_nan_inf_filter=False,
            # Schedule decides both.
            eval_strategy="no",
            save_strategy="no",
            seed=self.config.seed,
            bf16=self.compute.precision == "bfloat16",
            fp16=self.compute.precision == "float16",
            use_cpu=self.compute.device == "cpu",
            dataloader_pin_memory=self.compute.device.startswith("cuda"),
            report_to="none",  # our guarded trackers instead
            run_name=self.config.experiment_name,
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        # Several GPUs in one process would be DataParallel, which changes batches and results.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        return arguments

    def _optimizer(self, model: Any) -> Any:
        """LoRA+ has its own parameter groups; otherwise the Trainer makes its AdamW."""
        ratio = self.config.lora.loraplus_lr_ratio
        if ratio is None:
            return None
        import torch
        from peft.optimizers import create_loraplus_optimizer

        training = self.config.training
        return create_loraplus_optimizer(
            model,
            torch.optim.AdamW,
            lr=training.learning_rate,
            loraplus_lr_ratio=ratio,
            loraplus_weight_decay=training.weight_decay,
        )

    def _figures(self, trainer: AdapterTrainer, shape: _BatchShape, total: int) -> dict[str, Any]:
        tokens_per_s, samples_per_s = trainer.throughput()
        return {
            "runtime_s": round(trainer.seconds, 3),
            "samples_per_s": round(samples_per_s, 3) or None,
            "tokens_per_s": round(tokens_per_s, 3) or None,
            "loss": trainer.losses[-1] if trainer.losses else None,
            "steps": trainer.state.global_step,
            "total_steps": total,
            "epochs": float(trainer.state.epoch or 0.0),
            "per_device_train_batch_size": shape.rows,
            "gradient_accumulation_steps": shape.accumulation,
            "trainable_parameters": lora.trainable_parameters(trainer.model),
        }


def _class_weights(config: ExperimentConfig, labels: Sequence[int], names: Sequence[str]) -> list[float] | None:
    """One weight a label: None, given by name, or rows / (labels x rows of the label) (scikit-learn's "balanced")."""
    asked = config.training.class_weights
    if asked is None:
        return None
    if asked == "balanced":
        counts = Counter(labels)
        return [len(labels) / (len(counts) * counts[i]) if counts[i] else 0.0 for i in range(len(names))]
    if unknown := sorted(set(asked) - set(names)):
        raise ConfigError(
            f"there is no label {unknown[0]!r}; the labels are {', '.join(names[:20])}",
            where="training.class_weights",
        )
    return [float(asked.get(name, 1.0)) for name in names]


def check_options(config: ExperimentConfig, label_names: Sequence[str]) -> None:
    """Refuse, before anything is made, training options that this machine or these labels rule out.

    Raises: ConfigError.
    """
    _class_weights(config, [], label_names)
    trackers(config, lambda _: None)


def _note(text: str) -> Event:
    return Event("note", text)


def copy_checkpoints(source: Path, target: Path) -> list[str]:
    """Copy the whole checkpoints of an ended run, for a new run that goes on from them.

    Returns: Names of those copied.
    Raises: CheckpointRejected if the source has checkpoints but none is whole.
    """
    checkpoints.newest(source, lambda _: None)
    target.mkdir(parents=True, exist_ok=True)
    copied = []
    for folder in sorted(source.glob("checkpoint-*")):
        if checkpoints.verify(folder) is None:
            shutil.copytree(folder, target / f"{checkpoints.STAGING}{folder.name}")
            os.rename(target / f"{checkpoints.STAGING}{folder.name}", target / folder.name)  # noqa: PTH104
            copied.append(folder.name)
    return copied
