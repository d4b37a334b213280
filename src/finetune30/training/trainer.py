"""transformers' Trainer with our batches, loss, evaluation, checkpoints and clocks.

Kept from it: gradient accumulation and clipping, schedulers, mixed precision, callbacks.
Replaced: the order of batches (fixed by the seed), evaluation (sorted by length, draws no
random numbers), everything written to disk (no pickle, whole or not at all), and what several
processes exchange (``step``): each of them runs a trainer that believes it is alone.
Neighbours: ``sitting`` builds it, ``checkpoints`` stores, ``callbacks`` decides when.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerControl, TrainingArguments

from finetune30.errors import Diverged
from finetune30.modeling import lora, residual
from finetune30.modeling.adapter import load_weights
from finetune30.modeling.memory import is_out_of_memory, release
from finetune30.modeling.predict import probabilities_of
from finetune30.modeling.task import Task
from finetune30.training import checkpoints, state
from finetune30.training.callbacks import StepClock
from finetune30.training.clock import Clock
from finetune30.training.encode import EpochLoader, LabelledRows, StepBatches
from finetune30.training.evaluating import logits_together
from finetune30.training.loss import RowLoss
from finetune30.training.peers import Peers
from finetune30.training.progress import Event, Progress
from finetune30.training.scores import score
from finetune30.training.step import SharedStep, StopTogether


def _diverged(what: str, learning_rate: float) -> Diverged:
    return Diverged(what, where="training.learning_rate", hint=f"lower it (it is {learning_rate:g}); try a tenth")


class AdapterTrainer(Trainer):
    """Trains one adapter.

    Args:
        batches: The order of rows.
        task: What the labels mean, for scores.
        loss: Of a batch, summed over its rows.
        peers: The processes that train this adapter together.
        stop: Agreed upon at every step.
        clock: Of the checkpoint that is resumed; empty for a new run.
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
        task: Task,
        loss: RowLoss,
        progress: Progress,
        peers: Peers,
        stop: StopTogether,
        clock: dict[str, float],
        fastest_within: float | None,
        **rest: Any,
    ) -> None:
        super().__init__(
            model,
            args,
            train_dataset=train_rows,
            eval_dataset=eval_rows,
            data_collator=train_rows.batch,
            compute_loss_func=self._mean_loss,
            **rest,
        )
        self.remove_callback(PrinterCallback)
        self.batches = batches
        self.task = task
        self.loss = loss
        self.progress = progress
        self.fastest_within = fastest_within
        self.clock = Clock(**clock)
        self.step_began = time.monotonic()
        self.step_tokens = self.step_rows = 0
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.peers = peers
        self.shared = SharedStep(peers, self.trained, stop)
        model.zero_grad = self._zero_grad  # type: ignore[method-assign]
        self.add_callback(StepClock(self.open_step, self.close_step))

    # Batches and loss

    def get_train_dataloader(self) -> Any:
        """Our batches: those of this process, which accelerate takes for the only one."""
        loader = EpochLoader(self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)

    def _mean_loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """Loss per row of the whole optimizer step, however it is cut into batches."""
        rows = num_items_in_batch if num_items_in_batch is not None else len(labels)
        return self.loss(outputs.logits, labels) / rows

    def _get_num_items_in_batch(self, _batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """Rows of the whole step: transformers would count each of a row's several labels, and no others' rows."""
        return torch.tensor(self.batches.rows_of(self.state.global_step), device=device)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One forward and backward pass; a loss that is no number ends the run.

        Returns: The loss; of several processes that of the whole step, at its last batch, and before that 0.
        """
        if self.peers.size == 1:
            loss = self._pass(model, inputs, num_items_in_batch)
        else:
            loss = torch.zeros((), device=self.args.device)
            if len(inputs["labels"]) and not self.shared.no_room:
                self._try_pass(model, inputs, num_items_in_batch)
            if self.accelerator.sync_gradients:
                step = self.shared.finish(self.step_tokens, self.step_rows)
                loss += step.loss
                self.step_tokens, self.step_rows = step.tokens, step.rows
        if not bool(torch.isfinite(loss)):
            raise _diverged(f"the loss is {float(loss)} at step {self.state.global_step + 1}", self.args.learning_rate)
        return loss

    def _pass(self, model: nn.Module, inputs: dict[str, Any], step_rows: Any) -> torch.Tensor:
        mask = inputs.get("attention_mask")
        first = inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]
        self.step_tokens += first.shape[0] * first.shape[1] if mask is None else int(mask.sum())
        self.step_rows += len(inputs["labels"])
        # What transformers does here besides is for pipelines, contexts and optimizers we do not have.
        loss: torch.Tensor = self.compute_loss(model, self._prepare_inputs(inputs), num_items_in_batch=step_rows)
        self.accelerator.backward(loss)
        return loss.detach()

    def _try_pass(self, model: nn.Module, inputs: dict[str, Any], step_rows: Any) -> None:
        """Without room for it this process still takes part in the exchange, where the others hear of it."""
        try:
            self.shared.add(self._pass(model, inputs, step_rows))
            return
        except (RuntimeError, MemoryError) as fault:
            if not is_out_of_memory(fault):
                raise
        # Outside the except clause, so that the fault's frames no longer hold the tensors.
        self.shared.no_room = True
        self._zero_grad()
        release()

    # Walking through the whole model at every step, to find the few parameters that are trained, costs as
    # much as an encoder layer.

    def _clip_grad_norm(self, _model: nn.Module) -> Any:
        return self.accelerator.clip_grad_norm_(self.trained, self.args.max_grad_norm)

    def _zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.trained:
            parameter.grad = None if set_to_none else torch.zeros_like(parameter)

    def floating_point_ops(self, _inputs: dict[str, Any]) -> int:
        """Not counted: nobody reads it, and counting walks through the model."""
        return 0

    def open_step(self) -> None:
        """Where an epoch begins: what came before is no part of a step."""
        self.step_began = time.monotonic()

    def close_step(self) -> None:
        """Right after the optimizer's update: books the step's tokens, rows and seconds."""
        self.clock.book(self.step_tokens, self.step_rows, time.monotonic() - self.step_began)
        self.step_tokens = self.step_rows = 0

    def _maybe_log_save_evaluate(self, *arguments: Any, **named: Any) -> None:
        super()._maybe_log_save_evaluate(*arguments, **named)
        # A step lasts from here to the next update: batching counts, evaluating and saving do not.
        self.open_step()

    # Telling

    def log(self, logs: dict[str, float], *_: Any) -> None:
        """Keeps the log history of transformers and tells our listener."""
        super().log(logs)
        if "loss" not in logs:
            return
        self.progress(
            Event(
                "step",
                step=self.state.global_step,
                total=self.state.max_steps,
                epoch=float(self.state.epoch or 0.0),
                loss=logs["loss"],
                learning_rate=logs.get("learning_rate"),
                tokens_per_s=self.clock.throughput()[0],
                eta_s=self.clock.pace_s * (self.state.max_steps - self.state.global_step),
            )
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Scores of the validation rows under the weights of this step."""
        rows: LabelledRows = self.eval_dataset
        with self.accelerator.autocast():
            logits = logits_together(
                self.peers,
                self.model,
                rows.inputs,
                labels=len(self.task.label_names),
                batch_size=self.args.per_device_eval_batch_size,
                device=str(self.args.device),
            )
        if not np.isfinite(logits).all():
            raise _diverged(f"the model gives NaN after step {self.state.global_step}", self.args.learning_rate)
        probabilities = probabilities_of(logits, multi_label=self.task.multi_label)
        scores = score(probabilities, rows.labels, self.task.label_names, self.task.threshold)
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
        drawn = state.gather_generators(self.peers, str(self.args.device))
        if self.peers.first:
            self._write_checkpoint(drawn)

    def _still_ours(self) -> None:
        """Whoever listens raises here when the run is another's by now, and nothing more is written."""
        self.progress(Event("saving", step=self.state.global_step, total=self.state.max_steps))

    def _write_checkpoint(self, drawn: list[dict[str, torch.Tensor]]) -> None:
        step, artifacts = self.state.global_step, Path(self.args.output_dir)
        self.state.stateful_callbacks[checkpoints.CLOCK] = {
            "args": {},
            "attributes": asdict(self.clock),
        }
        # transformers restores the checkpoint's figure; ours may be smaller since memory ran out.
        self.state.train_batch_size = self.args.per_device_train_batch_size
        checkpoints.write(artifacts, step, lambda folder: self._fill(folder, drawn), self._still_ours)
        self._still_ours()
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
        load_weights(model, load_file(weights), where=str(weights), may_be_untrained=True)
        shutil.rmtree(folder, ignore_errors=True)
        lora.save(model, folder, start=start)

    def _fill(self, folder: Path, drawn: list[dict[str, torch.Tensor]]) -> None:
        lora.save(self.accelerator.unwrap_model(self.model), folder)
        state.save_state(self.optimizer.state_dict(), folder / "optimizer")
        state.save_state(self.lr_scheduler.state_dict(), folder / "scheduler")
        state.save_generators(drawn, folder, str(self.args.device))
        scaler = getattr(self.accelerator, "scaler", None)
        if scaler is not None:
            state.save_state(scaler.state_dict(), folder / "scaler")
        self.state.save_to_json(str(folder / checkpoints.TRAINER_STATE))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *_: Any) -> None:
        weights = Path(resume_from_checkpoint) / lora.WEIGHTS
        load_weights(self.model, load_file(weights), where=str(weights), may_be_untrained=True)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.optimizer.load_state_dict(state.load_state(Path(checkpoint) / "optimizer"))
            self.lr_scheduler.load_state_dict(state.load_state(Path(checkpoint) / "scheduler"))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None and not state.load_generators(Path(checkpoint), self.peers, str(self.args.device)):
            state.seed_generators(self.args.seed, self.peers.rank, self.state.global_step)

    def _load_scaler(self, checkpoint: str | None) -> None:
        scaler = getattr(self.accelerator, "scaler", None)
        if checkpoint is not None and scaler is not None:
            scaler.load_state_dict(state.load_state(Path(checkpoint) / "scaler"))
