"""One sitting: training with a given batch shape, from the start or the newest whole checkpoint to the end.

Builds transformers' arguments, optimizer and trainer from the configuration; nothing here
knows why it is called a second time. Neighbours: ``giving_way`` calls it, ``trainer`` is the loop.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState, TrainingArguments, set_seed

from finetune30.config import ExperimentConfig
from finetune30.modeling import BaseModel, Compute, LoadedBase, Task, engine, lora, residual
from finetune30.modeling.base import load as load_base
from finetune30.modeling.base import quiet_transformers
from finetune30.training import checkpoints, state
from finetune30.training.callbacks import Schedule, out_of_patience, trackers
from finetune30.training.encode import LabelledRows, StepBatches
from finetune30.training.loss import row_loss
from finetune30.training.lower import LowerOutputs, why_not_kept
from finetune30.training.peers import ALONE, Peers
from finetune30.training.placing import put_engine
from finetune30.training.progress import Progress, StopRequested, note
from finetune30.training.step import StopTogether
from finetune30.training.trainer import AdapterTrainer

Load = Callable[[BaseModel, Sequence[str]], LoadedBase]


def load_seeded(config: ExperimentConfig) -> Load:
    """The base with a head that is initialised from the seed."""
    return lambda base, names: load_base(base, names, seed=config.seed)


@dataclass(frozen=True)
class TrainedAdapter:
    """What training left behind.

    Attributes:
        folder: The adapter of the best checkpoint, as PEFT loads it; the caller moves it to its place.
            None if training was asked to stop.
        best_step: Optimizer steps that made it.
        stopped: None at the last step, ``early``, or why it was asked to stop; then there is
            more to train.
        figures: The ``train`` part of ``metrics.json``.
        truncated: Split -> texts cut at ``data.max_length``.
    """

    folder: Path | None
    best_step: int
    stopped: str | None
    figures: dict[str, Any]
    truncated: dict[str, int]


@dataclass(frozen=True)
class BatchShape:
    """Rows of one forward pass, and passes of one optimizer step."""

    rows: int
    accumulation: int

    def smaller(self) -> BatchShape | None:
        """The largest batch of at most half the rows that leaves the optimizer step as it is."""
        step = self.rows * self.accumulation
        fitting = [n for n in range(self.rows // 2, 0, -1) if step % n == 0]
        return BatchShape(fitting[0], step // fitting[0]) if fitting else None


@dataclass(frozen=True)
class Sitting:
    """All a stretch of training needs; ``train`` may be called again with smaller batches.

    Attributes:
        artifacts: Folder for checkpoints; of several processes only the first writes there.
        peers: The processes that train this adapter together.
    """

    base: BaseModel
    config: ExperimentConfig
    train_rows: LabelledRows
    eval_rows: LabelledRows
    task: Task
    progress: Progress
    artifacts: Path
    compute: Compute
    stop_requested: StopRequested
    load: Load
    peers: Peers = ALONE

    def train(self, shape: BatchShape) -> TrainedAdapter:
        start = self._start()
        if start is not None:
            self.progress(note(f"resuming from {start.folder.name}"))
            # What did not fit into memory before will not fit now.
            while start.batch_rows and shape.rows > start.batch_rows and (smaller := shape.smaller()):
                shape = smaller
        steps_per_epoch = -(-len(self.train_rows) // (shape.rows * shape.accumulation * self.peers.size))
        total = self._total_steps(steps_per_epoch)
        stop = StopTogether(self.stop_requested, self.peers)
        schedule = Schedule(self.config, stop)
        with quiet_transformers():
            trainer, untrained = self._trainer(shape, total, schedule, stop, start)
            if start is not None and out_of_patience(self.config, start.accuracies):
                schedule.stopped = "early"  # killed between that decision and the end of the run
            elif start is None or start.step < total:
                trainer.train(resume_from_checkpoint=str(start.folder) if start else None)
            if schedule.stopped not in (None, "early") or not self.peers.first:
                return TrainedAdapter(None, 0, schedule.stopped, {}, {})
            best = checkpoints.best(self.artifacts)
            figures = {**self._figures(trainer, shape, total), "best_step": best.step}
            folder = checkpoints.staging_for(self.artifacts, "final_model")
            trainer.write_best(best.folder, folder, untrained)
        return TrainedAdapter(folder, best.step, schedule.stopped, figures, {})

    def _start(self) -> checkpoints.Checkpoint | None:
        """The checkpoint to go on from; the first process looks, for a damaged one is set aside by it."""
        name = None
        if self.peers.first:
            checkpoints.clear_staging(self.artifacts)
            found = checkpoints.newest(self.artifacts, lambda text: self.progress(note(text)))
            name = None if found is None else found.folder.name
        name = self.peers.told(name)
        return None if name is None else checkpoints.read(self.artifacts / name)

    def _trainer(
        self,
        shape: BatchShape,
        total: int,
        schedule: Schedule,
        stop: StopTogether,
        start: checkpoints.Checkpoint | None,
    ) -> tuple[AdapterTrainer, residual.Start | None]:
        config = self.config
        model = lora.attach(self.load(self.base, self.task.label_names), self.base, config)
        untrained = residual.start_of(model) if residual.changes_base(config) else None
        model.to(self.compute.device)
        encoder = put_engine(model, config, self.compute, self.progress)
        model.train()  # all of it: transformers loads a model for answering
        train_rows, eval_rows = self._rows(encoder)
        # Attaching may have drawn more or fewer random numbers; training starts from the seed alone.
        set_seed(config.seed)
        callbacks = [schedule, *(trackers(config, lambda text: self.progress(note(text))) if self.peers.first else [])]
        trainer = AdapterTrainer(
            model,
            self._arguments(shape, total, autocast=encoder is None),
            train_rows=train_rows,
            eval_rows=eval_rows,
            batches=StepBatches(
                self.train_rows.tokens.lengths().tolist(),
                batch_size=shape.rows,
                accumulation=shape.accumulation,
                seed=config.seed,
                by_length=config.training.train_sampling_strategy == "group_by_length",
                peers=self.peers,
            ),
            task=self.task,
            loss=row_loss(config, self.train_rows.labels, self.task.label_names),
            progress=self.progress,
            peers=self.peers,
            stop=stop,
            clock=start.clock if start else {},
            fastest_within=config.training.fastest_within,
            callbacks=callbacks,
            optimizers=(self._optimizer(model), None),
        )
        if not self.peers.first:  # not before: the trainer has set all to the seed once more
            state.seed_generators(config.seed, self.peers.rank)
        self.progress(
            note(
                f"training {lora.trainable_parameters(model):,} of {sum(p.numel() for p in model.parameters()):,} "
                f"parameters for {total} steps of {shape.rows * shape.accumulation * self.peers.size} texts"
                + (f" in {self.peers.size} processes" if self.peers.size > 1 else "")
            )
        )
        return trainer, untrained

    def _rows(self, encoder: engine.Encoder | None) -> tuple[LabelledRows, LabelledRows]:
        """The rows as the model takes them: as tokens, or as what the frozen lower layers made of them."""
        layers = self.config.training.freeze_below
        if layers is None or encoder is None:
            return self.train_rows, self.eval_rows
        if reason := why_not_kept(encoder, self.train_rows.tokens):
            self.progress(note(f"the {layers} lowest layers are computed at every step: {reason}"))
            return self.train_rows, self.eval_rows
        # A mapped file is one file on one machine only.
        near = self.peers if self.config.training.num_nodes == 1 else ALONE
        made = []
        for rows in (self.train_rows, self.eval_rows):
            outputs = LowerOutputs(encoder, rows.tokens, layers, self.artifacts, self.compute.device, near)
            made.append(LabelledRows(rows.tokens, rows.labels, outputs))
        encoder.below = layers
        self.progress(note(f"the outputs of the {layers} lowest layers are kept; only the layers above are computed"))
        return made[0], made[1]

    def _total_steps(self, steps_per_epoch: int) -> int:
        training = self.config.training
        if training.max_steps > 0:
            return training.max_steps
        return math.ceil(training.num_train_epochs * steps_per_epoch)

    def _arguments(self, shape: BatchShape, total: int, *, autocast: bool) -> TrainingArguments:
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
            bf16=autocast and self.compute.precision == "bfloat16",
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
        if self.compute.device.startswith("cuda"):
            # transformers always answers cuda:0 here, while accelerate follows the variable above.
            device = torch.device(self.compute.device)
            torch.cuda.set_device(device)
            vars(arguments)["_setup_devices"] = device
        return arguments

    def _optimizer(self, model: Any) -> Any:
        """LoRA+ has its own parameter groups; otherwise the Trainer makes its AdamW."""
        ratio = self.config.lora.loraplus_lr_ratio
        if ratio is None:
            return None
        from peft.optimizers import create_loraplus_optimizer

        training = self.config.training
        return create_loraplus_optimizer(
            model,
            torch.optim.AdamW,
            lr=training.learning_rate,
            loraplus_lr_ratio=ratio,
            loraplus_weight_decay=training.weight_decay,
        )

    def _figures(self, trainer: AdapterTrainer, shape: BatchShape, total: int) -> dict[str, Any]:
        # From the last checkpoint, because a sitting that only publishes has trained nothing itself.
        state = TrainerState.load_from_json(str(checkpoints.last(self.artifacts) / checkpoints.TRAINER_STATE))
        tokens_per_s, samples_per_s = trainer.clock.throughput()
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        return {
            "runtime_s": round(trainer.clock.train_seconds, 3),
            "samples_per_s": samples_per_s,
            "tokens_per_s": tokens_per_s,
            "loss": losses[-1] if losses else None,
            "steps": state.global_step,
            "total_steps": total,
            "epochs": float(state.epoch or 0.0),
            "per_device_train_batch_size": shape.rows,
            "gradient_accumulation_steps": shape.accumulation,
            "processes": self.peers.size,
            "trainable_parameters": lora.trainable_parameters(trainer.model),
        }
