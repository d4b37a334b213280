"""Where the checkpoints of an ended experiment are: with itself, or with the one it was to go on from.

A run that failed before its first checkpoint has none of its own, and those it was to take over may
never have been copied. Who goes on from it must go on from where they are, or say that there are none.
Neighbours: ``jobs.retry`` and ``pipeline.resume`` ask; ``training`` writes and verifies checkpoints.
"""

from __future__ import annotations

import re
from pathlib import Path

from finetune30.errors import NotFound
from finetune30.experiments.folder import ExperimentFolder
from finetune30.experiments.record import Experiment
from finetune30.experiments.store import ExperimentStore

_CHECKPOINT = re.compile(r"checkpoint-\d+")


def with_checkpoints(store: ExperimentStore, experiment: Experiment, results_dir: Path) -> Experiment | None:
    """The experiment itself or the nearest one it continues that has checkpoints; None where none has."""
    found = experiment
    while not _has_checkpoints(results_dir, found.id):
        if found.resumed_from is None or not found.continues:
            return None
        try:
            found = store.get(found.resumed_from)
        except NotFound:  # deleted, and its folder with it
            return None
    return found


def way_on(ended: Experiment, source: Experiment | None) -> str:
    """How a new run follows the ended one, where ``source`` is what ``with_checkpoints`` found."""
    if source is None:
        return "it left no checkpoint, beginning at step 0 as a new run"
    whose = "its checkpoints" if source.id == ended.id else f"the checkpoints of {source.id}"
    return f"going on from {whose} as a new run"


def _has_checkpoints(results_dir: Path, experiment_id: str) -> bool:
    artifacts = ExperimentFolder(results_dir, experiment_id).artifacts
    return any(_CHECKPOINT.fullmatch(path.name) for path in artifacts.glob("checkpoint-*"))
