"""transformers' Trainer with our batches, loss, evaluation, checkpoints and clocks.

Kept from it: gradient accumulation and clipping, schedulers, mixed precision, callbacks,
DDP. Replaced: the order of batches (fixed by the seed), evaluation (sorted by length, draws
no random numbers) and everything written to disk (no pickle, whole or not at all).
Neighbours: ``fit`` builds it, ``checkpoints`` stores, ``callbacks`` decides when.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainingArguments

from finetune30.errors import Diverged
from finetune30.modeling import lora, residual
from finetune30.modeling.predict import logits_of, softmax
from finetune30.training import checkpoints, state
from finetune30.training.encode import EpochLoader, LabelledRows, Padding, StepBatches
from finetune30.training.progress import Event, Progress
from finetune30.training.scores import score

_WARM_UP_STEPS = 5


class _StepClock(TrainerCallback):
    """Closes each step's account as soon as the weights are updated."""

    def __init__(self, trainer: AdapterTrainer) -> None:
        self.trainer = trainer

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.trainer.close_step()


class AdapterTrainer(Trainer):
    """Trains one adapter.

    Args:
        batches: The order of rows.
        label_names: Names of the label ids, for scores.
        class_weights: One weight a label, or None.
        seconds_before: Training seconds of earlier sittings (a resumed run).
        fastest_within: See ``checkpoints.retain``.
    """

    control: TrainerControl

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        *,
        train_rows: LabelledRows,
        eval_rows: LabelledRows,
        batches: StepBatches,
        tokenizer: Any,
        label_names: Sequence[str],
        class_weights: Sequence[float] | None,
        progress: Progress,
        seconds_before: float,
        fastest_within: float | None,
        **rest: Any,
    ) -> None:
        super().__init__(
            model,
            args,
            train_dataset=train_rows,
            eval_dataset=eval_rows,
            data_collator=Padding(tokenizer),
            compute_loss_func=self._mean_loss,
            **rest,
        )
        self.remove_callback(PrinterCallback)
        self.batches = batches
        self.tokenizer_for_padding = tokenizer
        self.label_names = label_names
        self.class_weights = torch.tensor(class_weights) if class_weights is not None else None
        self.progress = progress
        self.fastest_within = fastest_within
        self.seconds = seconds_before
        # (real tokens, rows, seconds) of each optimizer step of this sitting.
        self.step_costs: list[tuple[int, int, float]] = []
        self.open_step = (0, 0, 0.0)
        self.passes_done_at = 0.0
        self.losses: list[float] = []
        self.add_callback(_StepClock(self))

    # Batches and loss

    def get_train_dataloader(self) -> Any:
        """Our batches, spread over processes by accelerate."""
        loader = EpochLoader(self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)

    def _mean_loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """Cross-entropy per row of the whole optimizer step, however it is cut into batches."""
        weight = self.class_weights.to(outputs.logits.device) if self.class_weights is not None else None
        total = nn.functional.cross_entropy(outputs.logits.float(), labels, weight=weight, reduction="sum")
        return total / (num_items_in_batch if num_items_in_batch is not None else len(labels))

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One forward and backward pass, timed; a loss that is no number ends the run."""
        began = time.monotonic()
        tokens, rows = int(inputs["attention_mask"].sum()), len(inputs["labels"])
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not bool(torch.isfinite(loss)):
            raise Diverged(
                f"the loss is {float(loss)} at step {self.state.global_step + 1}",
                where="training.learning_rate",
                hint=f"lower it (it is {self.args.learning_rate:g}); try a tenth",
            )
        now = time.monotonic()
        self.open_step = (
            self.open_step[0] + tokens,
            self.open_step[1] + rows,
            self.open_step[2] + now - began,
        )
        self.passes_done_at = now
        return loss

    def close_step(self) -> None:
        """Right after the optimizer's update: books the step's tokens, rows and seconds."""
        tokens, rows, seconds = self.open_step
        seconds += time.monotonic() - self.passes_done_at
        self.open_step = (0, 0, 0.0)
        self.step_costs.append((tokens, rows, seconds))
        self.seconds += seconds

    def throughput(self) -> tuple[float, float]:
        """Attention-mask tokens and rows per second of step time, after the first five steps."""
        counted = self.step_costs[_WARM_UP_STEPS:] or self.step_costs
        seconds = sum(cost[2] for cost in counted)
        if not seconds:
            return 0.0, 0.0
        return sum(c[0] for c in counted) / seconds, sum(c[1] for c in counted) / seconds

    # Telling

    def log(self, logs: dict[str, float], *_: Any) -> None:
        """Keeps the log history of transformers and tells our listener."""
        super().log(logs)
        if "loss" not in logs:
            return
        self.losses.append(logs["loss"])
        recent = self.step_costs[-50:]
        pace = sum(cost[2] for cost in recent) / len(recent) if recent else 0.0
        self.progress(
            Event(
                "step",
                step=self.state.global_step,
                total=self.state.max_steps,
                epoch=float(self.state.epoch or 0.0),
                loss=logs["loss"],
                learning_rate=logs.get("learning_rate"),
                tokens_per_s=self.throughput()[0],
                eta_s=pace * (self.state.max_steps - self.state.global_step),
            )
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores of the validation rows under the weights of this step."""
        rows: LabelledRows = self.eval_dataset
        with self.accelerator.autocast():
            logits = logits_of(
                self.model,
                self.tokenizer_for_padding,
                rows.encoded,
                batch_size=self.args.per_device_eval_batch_size,
                device=str(self.args.device),
            )
        scores = score(softmax(logits), rows.labels, self.label_names)
        metrics = {"accuracy": scores.accuracy, "f1_macro": scores.f1_macro, "loss": scores.loss}
        self.log({f"eval_{name}": value for name, value in metrics.items()})
        self.progress(
            Event(
                "evaluation",
                f"evaluation at step {self.state.global_step}: accuracy {scores.accuracy:.4f}, "
                f"f1_macro {scores.f1_macro:.4f}, loss {scores.loss:.4f}",
                step=self.state.global_step,
                total=self.state.max_steps,
                epoch=float(self.state.epoch or 0.0),
                metrics=metrics,
            )
        )
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # Checkpoints

    def _save_checkpoint(self, *_: Any) -> None:
        """Whole or not at all; then keep best, last and fastest."""
        step, artifacts = self.state.global_step, Path(self.args.output_dir)
        self.state.stateful_callbacks[checkpoints.CLOCK] = {
            "args": {},
            "attributes": {"train_seconds": self.seconds},
        }
        checkpoints.write(artifacts, step, self._fill)
        gone = checkpoints.retain(artifacts, self.fastest_within)
        removed = f"; removed {', '.join(f'checkpoint-{s}' for s in gone)}" if gone else ""
        self.progress(Event("checkpoint", f"checkpoint-{step} saved{removed}", step=step, total=self.state.max_steps))

    def write_best(self, checkpoint: Path, folder: Path, start: residual.Start | None) -> None:
        """Save the adapter of a checkpoint so that it fits the unchanged base model.

        Args:
            start: See ``lora.save``.
        """
        weights = checkpoint / lora.WEIGHTS
        model = self.accelerator.unwrap_model(self.model)
        lora.load_weights(model, load_file(weights), where=str(weights), may_be_untrained=True)
        shutil.rmtree(folder, ignore_errors=True)
        lora.save(model, folder, start=start)

    def _fill(self, folder: Path) -> None:
        lora.save(self.accelerator.unwrap_model(self.model), folder)
        state.save_state(self.optimizer.state_dict(), folder / "optimizer")
        state.save_state(self.lr_scheduler.state_dict(), folder / "scheduler")
        state.save_state(state.random_states(str(self.args.device)), folder / "rng_state")
        scaler = getattr(self.accelerator, "scaler", None)
        if scaler is not None:
            state.save_state(scaler.state_dict(), folder / "scaler")
        self.state.save_to_json(str(folder / checkpoints.TRAINER_STATE))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *_: Any) -> None:
        weights = Path(resume_from_checkpoint) / lora.WEIGHTS
        lora.load_weights(self.model, load_file(weights), where=str(weights), may_be_untrained=True)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.optimizer.load_state_dict(state.load_state(Path(checkpoint) / "optimizer"))
            self.lr_scheduler.load_state_dict(state.load_state(Path(checkpoint) / "scheduler"))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            state.set_random_states(state.load_state(Path(checkpoint) / "rng_state"), str(self.args.device))

    def _load_scaler(self, checkpoint: str | None) -> None:
        scaler = getattr(self.accelerator, "scaler", None)
        if checkpoint is not None and scaler is not None:
            scaler.load_state_dict(state.load_state(Path(checkpoint) / "scaler"))
