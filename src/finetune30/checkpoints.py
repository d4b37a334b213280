"""What a checkpoint says of itself, and which of several are the best, the last and the fastest.

Said once, for those who keep checkpoints and those who show them. No torch, no file is opened here but the
one ``read`` is asked for. Neighbours: ``training.checkpoints`` writes, checks and deletes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
TRAINER_STATE = "trainer_state.json"
CLOCK = "TrainingClock"
NAME = re.compile(r"checkpoint-([0-9]{1,15})")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder and what its ``trainer_state.json`` says.

    Attributes:
        accuracy: Evaluation accuracy at this very step; None if it was not evaluated.
        clock: ``train_seconds`` of all sittings up to this step, and what of them counts as throughput.
        batch_rows: Rows of one forward pass when it was written.
        accuracies: Of every evaluation up to it.
    """

    folder: Path
    step: int
    accuracy: float | None
    clock: dict[str, float]
    batch_rows: int | None = None
    accuracies: tuple[float, ...] = ()


def read(folder: Path) -> Checkpoint:
    """What a checkpoint's ``trainer_state.json`` says of it."""
    return told(folder, json.loads((folder / TRAINER_STATE).read_text(encoding="utf-8")))


def told(folder: Path, state: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint whose ``trainer_state.json`` holds this.

    Raises: KeyError, TypeError, ValueError, AttributeError for what no trainer has written.
    """
    step = int(state["global_step"])
    scored = {e["step"]: float(e["eval_accuracy"]) for e in state["log_history"] if "eval_accuracy" in e}
    clock = state.get("stateful_callbacks", {}).get(CLOCK, {}).get("attributes", {})
    return Checkpoint(
        folder,
        step,
        scored.get(step),
        {name: float(value) for name, value in clock.items()},
        state.get("train_batch_size"),
        tuple(scored[s] for s in sorted(scored)),
    )


def folders(artifacts: Path) -> list[Path]:
    """The folders that are named like checkpoints, by step."""
    found = [(int(m.group(1)), p) for p in artifacts.glob("checkpoint-*") if (m := NAME.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def best_of(checkpoints: list[Checkpoint]) -> Checkpoint:
    """The one with the highest accuracy, the earliest of equals; the last where none was evaluated."""
    scored = [c for c in checkpoints if c.accuracy is not None]
    return max(scored, key=lambda c: (c.accuracy or 0.0, -c.step)) if scored else checkpoints[-1]


def fastest_of(checkpoints: list[Checkpoint], within: float | None) -> Checkpoint:
    """The one with the shortest training time, of those whose accuracy is at most ``within`` below the best."""
    # A checkpoint written only to resume from, without an evaluation, is nobody's quick experiment.
    candidates = [c for c in checkpoints if c.accuracy is not None] or checkpoints
    top = best_of(checkpoints).accuracy
    if within is not None and top is not None:
        candidates = [c for c in candidates if (c.accuracy or 0.0) >= top - within]
    # Steps only break ties between clocks that read the same.
    return min(candidates, key=lambda c: (c.clock.get("train_seconds", 0.0), c.step))


def roles_of(checkpoints: list[Checkpoint], within: float | None) -> dict[int, list[str]]:
    """Why each is kept: ``best``, ``last``, ``fastest``, by its step. ``checkpoints`` are in order."""
    if not checkpoints:
        return {}
    kept = {"best": best_of(checkpoints), "last": checkpoints[-1], "fastest": fastest_of(checkpoints, within)}
    return {one.step: [role for role, it in kept.items() if it.step == one.step] for one in checkpoints}
