"""When to evaluate, save and stop; and trackers that cannot hurt the run.

Everything is derived from the step number and the log history, both of which a checkpoint
holds, so a resumed run decides exactly as an uninterrupted one. Neighbours: ``trainer`` owns
the loop, ``fit`` puts these in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from finetune30.config import ExperimentConfig
from finetune30.errors import ConfigError
from finetune30.training.progress import StopRequested


class Schedule(TrainerCallback):
    """Evaluates and saves by the configuration; stops early, or when asked to.

    Attributes:
        stopped: Why training ended before its last step (``interrupted``, ``cancelled``,
            ``early``), or None.
    """

    def __init__(self, config: ExperimentConfig, stop_requested: StopRequested) -> None:
        self.config = config
        self.training = config.training
        self.stop_requested = stop_requested
        self.stopped: str | None = None

    def on_step_end(self, _args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """After each optimizer step."""
        last = state.global_step >= state.max_steps
        every = self.training.eval_steps or self.training.logging_steps
        # An evaluation saves the very step it scored; saving before it would keep one without its accuracy.
        evaluates_at_epoch_end = self.training.eval_strategy == "epoch" and (last or _ends_epoch(state))
        if self.training.eval_strategy == "steps" and (last or state.global_step % every == 0):
            control.should_evaluate = True
        elif self.training.save_steps and state.global_step % self.training.save_steps == 0:
            control.should_save = not evaluates_at_epoch_end
        if last:
            control.should_training_stop = True
        elif reason := self.stop_requested():
            self.stopped = reason
            control.should_save = not control.should_evaluate and not evaluates_at_epoch_end
            control.should_training_stop = True

    def on_epoch_end(self, _args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """After an epoch, or where training broke off inside one."""
        if state.global_step < state.max_steps and not _ends_epoch(state):
            return  # asked to stop inside the epoch
        if self.training.eval_strategy == "epoch":
            control.should_evaluate = True
        elif self.training.eval_strategy == "no":
            control.should_save = True

    def on_evaluate(self, _args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """After an evaluation: what was measured is kept, and judged."""
        control.should_save = True
        if self.stopped is None and state.global_step < state.max_steps:
            accuracies = [e["eval_accuracy"] for e in state.log_history if "eval_accuracy" in e]
            if out_of_patience(self.config, accuracies):
                self.stopped = "early"
                control.should_training_stop = True


def out_of_patience(config: ExperimentConfig, accuracies: Sequence[float]) -> bool:
    """Whether these evaluation accuracies end training early."""
    patience, threshold = config.training.early_stopping_patience, config.training.early_stopping_threshold
    return patience is not None and evaluations_without_gain(accuracies, threshold) >= patience


def evaluations_without_gain(accuracies: Sequence[float], threshold: float) -> int:
    """How many evaluations in a row, up to the last, did not beat the best before by more than ``threshold``."""
    best, waited = float("-inf"), 0
    for accuracy in accuracies:
        if accuracy > best + threshold:
            best, waited = accuracy, 0
        else:
            waited += 1
    return waited


def _ends_epoch(state: TrainerState) -> bool:
    return state.epoch is not None and abs(state.epoch - round(state.epoch)) < 1e-9


class StepClock(TrainerCallback):
    """Says when a step's account opens and, as soon as the weights are updated, closes."""

    def __init__(self, opens: Callable[[], None], closes: Callable[[], None]) -> None:
        self.opens = opens
        self.closes = closes

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.opens()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.closes()


class GuardedTracker(TrainerCallback):
    """One experiment tracker, switched off at its first failure: it must never stop a run.

    Asked for in mlflow#1760, mlflow#4693 and Lightning#12833, where an outage of the tracker
    killed the training.
    """

    def __init__(self, tracker: TrainerCallback, name: str, note: Callable[[str], None]) -> None:
        self.tracker: TrainerCallback | None = tracker
        self.name = name
        self.note = note

    def __getattribute__(self, attribute: str) -> Any:
        # Every event the trainer may send, today's and tomorrow's, goes through one guard.
        if attribute.startswith("on_"):
            return lambda *args, **kwargs: self._forward(attribute, *args, **kwargs)
        return super().__getattribute__(attribute)

    def _forward(self, event: str, *args: Any, **kwargs: Any) -> None:
        if self.tracker is None:
            return
        try:
            getattr(self.tracker, event)(*args, **kwargs)
        except Exception as fault:  # noqa: BLE001 - a third-party client may raise anything
            self.tracker = None
            self.note(f"{self.name} is unreachable and was switched off; training goes on ({type(fault).__name__})")


def trackers(config: ExperimentConfig, note: Callable[[str], None]) -> list[TrainerCallback]:
    """The trackers of ``training.report_to``, guarded.

    Raises: ConfigError if a tracker's package is not installed.
    """
    from transformers.integrations import get_reporting_integration_callbacks

    # A dead MLflow server is retried for minutes by default; its own settings, if set, win.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    guarded: list[TrainerCallback] = []
    for name in config.training.report_to:
        try:
            guarded += [GuardedTracker(cls(), name, note) for cls in get_reporting_integration_callbacks([name])]
        except (RuntimeError, ImportError) as cause:
            raise ConfigError(
                f"{name} is not installed", where="training.report_to", hint=f"pip install {name}"
            ) from cause
    return guarded
