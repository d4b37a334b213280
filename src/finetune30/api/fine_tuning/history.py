"""What happened to a job and which checkpoints it has, in OpenAI's words, the newest first.

Neighbours: ``results`` has the figures of a step; ``experiments.history`` keeps the events.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from finetune30.api.fine_tuning import names
from finetune30.api.fine_tuning.answers import CheckpointMetrics, JobCheckpoint, JobEvent
from finetune30.api.fine_tuning.results import Figures, figures_by_step
from finetune30.api.services import Services
from finetune30.experiments import Experiment, ExperimentFolder, Status
from finetune30.experiments import JobEvent as Happened

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")
_MANIFEST = "manifest.json"  # written last: a folder with one is whole


def events_of(one: Experiment, services: Services, after: str | None, limit: int) -> tuple[list[JobEvent], bool]:
    """Events behind ``after``, and whether there are more."""
    before = None if after is None else names.number_of(after)
    found = services.jobs.queue.latest_events(one.id, before, limit + 1)
    measured = any(event.kind == "evaluation" for event in found)
    figures = figures_by_step(_folder(one, services)) if measured else {}
    return [_event(event, figures) for event in found[:limit]], len(found) > limit


def checkpoints_of(
    one: Experiment, services: Services, after: str | None, limit: int
) -> tuple[list[JobCheckpoint], bool]:
    """Checkpoints behind ``after``, and whether there are more."""
    folder = _folder(one, services)
    made = {step: at for step, at in _made(folder).items() if after is None or step < names.step_of(after)}
    figures = figures_by_step(folder) if made else {}
    steps = sorted(made, reverse=True)
    return [_checkpoint(one, step, made[step], figures) for step in steps[:limit]], len(steps) > limit


def _event(event: Happened, figures: Mapping[int, Figures]) -> JobEvent:
    failed = event.status is Status.FAILURE
    level: Literal["info", "warn", "error"] = "error" if failed else "warn" if event.kind == "warning" else "info"
    data: dict[str, Any] = {} if event.step is None else {"step": event.step}
    measured = event.kind == "evaluation" and event.step is not None
    if measured:
        data |= {key: value for key, value in figures.get(event.step or 0, {}).items() if key != "learning_rate"}
    return JobEvent(
        id=names.event_of(event.number),
        created_at=int(event.at),
        level=level,
        message=event.message,
        type="metrics" if measured else "message",
        data=data,
    )


def _checkpoint(one: Experiment, step: int, at: float, figures: Mapping[int, Figures]) -> JobCheckpoint:
    losses = [row["train_loss"] for number, row in figures.items() if number <= step and "train_loss" in row]
    row = figures.get(step, {})
    loss, accuracy = row.get("valid_loss"), row.get("valid_accuracy")
    return JobCheckpoint(
        id=names.checkpoint_of(one.id, step),
        created_at=int(at),
        fine_tuning_job_id=names.job_of(one.id),
        fine_tuned_model_checkpoint=f"{names.fine_tuned(one)}:ckpt-step-{step}",
        step_number=step,
        metrics=CheckpointMetrics(
            step=float(step),
            train_loss=losses[-1] if losses else None,
            valid_loss=loss,
            valid_mean_token_accuracy=accuracy,
            full_valid_loss=loss,
            full_valid_mean_token_accuracy=accuracy,
        ),
    )


def _made(folder: ExperimentFolder) -> dict[int, float]:
    """When each whole checkpoint was made, by step."""
    found = {}
    try:
        entries = [entry.name for entry in os.scandir(folder.artifacts)]
    except OSError:
        return {}
    for name in entries:
        match = _CHECKPOINT.fullmatch(name)
        try:
            if match is not None:
                found[int(match[1])] = (folder.artifacts / name / _MANIFEST).lstat().st_mtime
        except OSError:  # retention was faster, or it is not whole
            continue
    return found


def _folder(one: Experiment, services: Services) -> ExperimentFolder:
    return ExperimentFolder(services.settings.results_dir, one.id)
