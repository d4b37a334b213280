"""What a run measured, step by step: from its journal, as the table that OpenAI's result files are.

A step that was trained again after a resume counts as it was the last time.
Neighbours: ``pipeline`` writes the journal; ``history`` and ``files`` show what is read here.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from finetune30.api import reading
from finetune30.experiments import ExperimentFolder

COLUMNS = (
    "step",
    "train_loss",
    "train_accuracy",  # not measured; readers of such files expect the column
    "valid_loss",
    "valid_accuracy",
    "valid_f1_macro",
    "learning_rate",
)
_MOST_BYTES = 16 << 20
_EVALUATED = {"valid_loss": "loss", "valid_accuracy": "accuracy", "valid_f1_macro": "f1_macro"}
_STEPPED = {"train_loss": "loss", "learning_rate": "learning_rate"}

Figures = Mapping[str, Any]


def figures_by_step(folder: ExperimentFolder) -> dict[int, dict[str, Any]]:
    """Figures of each step that has some, in order; of a very long run the last ones."""
    found: dict[int, dict[str, Any]] = {}
    last = 0
    for line in reading.last_lines(folder.progress_jsonl, 1_000_000, _MOST_BYTES).splitlines():
        told = _object(line)
        step = told.get("step")
        if not isinstance(step, int):
            continue
        if step < last:  # begun again from a checkpoint
            found = {number: row for number, row in found.items() if number < step}
        last = step
        row = found.setdefault(step, {"step": step})
        evaluated = told.get("kind") == "evaluation"
        values = told.get("metrics") if evaluated else told
        for name, key in (_EVALUATED if evaluated else _STEPPED).items():
            if isinstance(values, dict) and isinstance(value := values.get(key), int | float):
                row[name] = value
    return found


def table(folder: ExperimentFolder) -> bytes:
    """The figures as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(figures_by_step(folder).values())
    return text.getvalue().encode()


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}  # the line that is being written
    return found if isinstance(found, dict) else {}
