"""Uploads and the figures of runs as OpenAI's files.

Neighbours: ``data.uploads`` keeps what was sent, ``results`` reads what a run measured.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from finetune30.api.fine_tuning import names, results
from finetune30.api.fine_tuning.answers import FileObject
from finetune30.experiments import Experiment, ExperimentFolder

if TYPE_CHECKING:
    from finetune30.data.uploads import Upload

PAIR = "text_pair"
_STATUS: dict[str, Literal["uploaded", "processed", "error"]] = {"ready": "processed", "refused": "error"}
_FIRST_LINE_BYTES = 1 << 20


def of_upload(upload: Upload) -> FileObject:
    """An upload, whichever door it came by."""
    error = upload.error or {}
    return FileObject(
        id=names.file_of(upload.id),
        bytes=upload.bytes,
        created_at=int(upload.created_at),
        filename=upload.name,
        purpose="fine-tune",
        status=_STATUS.get(upload.state, "uploaded"),
        status_details=". ".join(str(error[key]) for key in ("where", "message", "hint") if error.get(key)) or None,
    )


def of_results(one: Experiment, results_dir: Path) -> FileObject:
    """The figures of a run."""
    return FileObject(
        id=names.results_of(one.id),
        bytes=len(results.table(ExperimentFolder(results_dir, one.id))),
        created_at=int(one.finished_at or one.created_at),
        filename="step_metrics.csv",
        purpose="fine-tune-results",
        status="processed",
    )


def has_pairs(path: Path, form: str) -> bool:
    """Whether the first row of a plain text file tells of a column ``text_pair``: then a row is two texts."""
    if form not in ("jsonl", "csv", "tsv"):
        return False
    with path.open("rb") as file:
        line = file.readline(_FIRST_LINE_BYTES).decode("utf-8-sig", "replace")
    if form != "jsonl":
        return PAIR in [cell.strip().strip('"') for cell in re.split(r"[,;\t|]", line)]
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False  # the check will say what is wrong with it
    return isinstance(row, dict) and PAIR in row
