"""Ids and names there and back: a job is ``ftjob-<experiment>``, a file ``file-<upload>``, a model ``ft:…``.

Each can be read back, so nothing has to be kept. Names that come from a client are looked up, never trusted.
Neighbours: ``jobs`` and ``history`` make them, the routes read them.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path
from pydantic import Field

from finetune30.experiments import Experiment
from finetune30.web.faults import expects

UPLOAD = "upload:"
_JOB, _FILE, _RESULTS, _EVENT, _CHECKPOINT = "ftjob-", "file-", "file-results-", "ftevent-", "ftckpt-"
_DAY_AND_TIME = re.compile(r"_\d{8}_\d{6}(_\d+)?$")
_UPLOAD_ID = re.compile(r"ds-[0-9a-f]{16}")
FILE_ID = re.compile(expects(r"^file-[0-9a-f]{16}$", "the id of a file that was sent: file- and 16 of 0-9 and a-f"))

_EVENT_PATTERN = expects(r"^ftevent-[0-9]{1,9}$", "the id of an event: ftevent-…")
_CHECKPOINT_PATTERN = expects(r"^ftckpt-[a-z0-9_-]{1,80}-[0-9]{1,12}$", "the id of a checkpoint: ftckpt-…")
JOB_PATTERN = expects(r"^ftjob-[a-z0-9_-]{1,80}$", "the id of a job: ftjob-…")
JobId = Annotated[str, Path(pattern=JOB_PATTERN)]
JobCursor = Annotated[str, Field(pattern=JOB_PATTERN, description="The last id of the page before")]
EventCursor = Annotated[
    str,
    Field(
        pattern=_EVENT_PATTERN,
        description="The last id of the page before",
    ),
]
CheckpointCursor = Annotated[
    str,
    Field(
        pattern=_CHECKPOINT_PATTERN,
        description="The last id of the page before",
    ),
]
FILE_PATTERN = expects(r"^file-[a-z0-9_-]{1,88}$", "the id of a file: file-…")
FileId = Annotated[str, Path(pattern=FILE_PATTERN)]
FileCursor = Annotated[str, Field(pattern=FILE_PATTERN, description="The last id of the page before")]
ModelName = Annotated[str, Path(pattern=expects(r"^[A-Za-z0-9._@+:/-]{1,300}$", "the name of a model"))]


def job_of(experiment_id: str) -> str:
    """The id of the job that an experiment is."""
    return f"{_JOB}{experiment_id}"


def experiment_of(job_id: str) -> str:
    """The experiment that a job is."""
    return job_id.removeprefix(_JOB)


def file_of(upload_id: str) -> str:
    """The id of the file that an upload is."""
    return f"{_FILE}{upload_id.removeprefix('ds-')}"


def upload_of(file_id: str) -> str | None:
    """The upload that a file is; None for a file that is none."""
    return f"ds-{file_id.removeprefix(_FILE)}" if FILE_ID.fullmatch(file_id) else None


def results_of(experiment_id: str) -> str:
    """The id of the file with the figures of a run."""
    return f"{_RESULTS}{experiment_id}"


def run_of(file_id: str) -> str | None:
    """The experiment whose figures a file holds; None for any other file."""
    return file_id.removeprefix(_RESULTS) if file_id.startswith(_RESULTS) else None


def event_of(number: int) -> str:
    """The id of an event."""
    return f"{_EVENT}{number}"


def number_of(event_id: str) -> int:
    """The number of the event with this id."""
    return int(event_id.removeprefix(_EVENT))


def checkpoint_of(experiment_id: str, step: int) -> str:
    """The id of a checkpoint."""
    return f"{_CHECKPOINT}{experiment_id}-{step}"


def step_of(checkpoint_id: str) -> int:
    """The step of the checkpoint with this id."""
    return int(checkpoint_id.rpartition("-")[2])


def dataset_of(training_file: str, validation_file: str | None) -> str:
    """``data.dataset_name`` of these files; what is no file's id is taken for the name of a dataset."""
    uploads = [upload_of(one) for one in (training_file, validation_file) if one is not None]
    if uploads[0] is None:
        return training_file
    return UPLOAD + "+".join(one or "none" for one in uploads)


def files_of(dataset: str) -> tuple[str, str | None]:
    """The training file and the validation file of a dataset; one that is no upload goes by its name."""
    uploads = dataset.removeprefix(UPLOAD).split("+") if dataset.startswith(UPLOAD) else []
    if not 1 <= len(uploads) <= 2 or not all(_UPLOAD_ID.fullmatch(one) for one in uploads):
        return dataset, None
    files = [file_of(one) for one in uploads]
    return files[0], files[1] if len(files) > 1 else None


def fine_tuned(experiment: Experiment) -> str:
    """``ft:<base>:<owner>:<suffix>:<experiment>``; what it is read back by is the last part."""
    base = experiment.base_model.removeprefix("builtin:").rstrip("/").rpartition("/")[2]
    suffix = _DAY_AND_TIME.sub("", experiment.id)
    return ":".join(["ft", _plain(base), _plain(experiment.owner), suffix, experiment.id])


def trained_by(model: str) -> str | None:
    """The experiment that a fine-tuned model's name says; None for a name of another kind."""
    parts = model.split(":")
    return parts[-1] if len(parts) == 5 and parts[0] == "ft" else None


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@+-]", "-", text)[:64] or "-"
