"""Files of a run, to be fetched: by a closed list of names, and no other string becomes a path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from finetune30.api import downloads, services
from finetune30.api.answers_artifacts import Artifact, Artifacts, StoredFile
from finetune30.api.deps import CurrentUser, OwnTask
from finetune30.experiments import ExperimentFolder
from finetune30.experiments.opened import OpenFile, open_file, open_files
from finetune30.web.problems import Problem

FINAL_MODEL = "final_model.zip"
_HASHED_BYTES = 64 << 20


@dataclass(frozen=True)
class _Kind:
    """A file that may be fetched: which of the folder's it is, and what is in it."""

    path: str
    media_type: str


_FILES = {
    "metrics.json": _Kind("metrics_json", "application/json"),
    "config.yaml": _Kind("config_yaml", "application/yaml"),
    "quality.json": _Kind("quality_json", "application/json"),
    "logs.txt": _Kind("logs_txt", "text/plain; charset=utf-8"),
    "progress.jsonl": _Kind("progress_jsonl", "application/x-ndjson"),
    "eval_predictions.parquet": _Kind("eval_predictions", "application/vnd.apache.parquet"),
}
NAMES = (FINAL_MODEL, *_FILES)
Name = Annotated[str, Path(json_schema_extra={"enum": list(NAMES)}, description="One of the list")]
# What is in the others is the run's own: no schema is promised.
_CONTENTS: dict[str, dict[str, Any]] = {downloads.ZIP: {"schema": {"type": "string", "format": "binary"}}}
_CONTENTS |= {kind.media_type.partition(";")[0]: {} for kind in _FILES.values()}
SENT: dict[int | str, dict[str, Any]] = {200: {"content": _CONTENTS, "description": "The file"}}


def router() -> APIRouter:
    """``/experiments/{task_id}/artifacts``."""
    found = APIRouter(tags=["artifacts"])
    add = found.add_api_route
    add("/experiments/{task_id}/artifacts", artifacts, methods=["GET"], name="artifact.list")
    add(
        "/experiments/{task_id}/artifacts/{name}",
        artifact,
        methods=["GET"],
        name="artifact.fetch",
        response_class=Response,
        responses=SENT,
    )
    return found


def artifacts(request: Request, task: OwnTask) -> Artifacts:
    """What there is to fetch of a run just now; ``final_model.zip`` comes with its end."""
    folder = ExperimentFolder(services.of(request).settings.results_dir, task.id)
    listed = [*_model(folder)]
    for name, kind in _FILES.items():
        if (found := open_file(folder, _path(folder, kind))) is not None:
            told = _described(found)
            listed.append(Artifact(**told.model_dump() | {"name": name}, media_type=kind.media_type, files=[]))
    return Artifacts(experiment_id=task.id, artifacts=listed)


def artifact(request: Request, task: OwnTask, user: CurrentUser, name: Name) -> Response:
    """One file, as it is. ``final_model.zip`` is made while it is sent, and holds a plain PEFT folder."""
    folder = ExperimentFolder(services.of(request).settings.results_dir, task.id)
    if name == FINAL_MODEL:
        sources = open_files(folder, folder.final_model)
        if sources:
            return downloads.of_files(user.id, "final_model", f"{task.id}-{FINAL_MODEL}", sources)
    elif (kind := _FILES.get(name)) is not None:
        found = open_file(folder, _path(folder, kind))
        if found is not None:
            return downloads.of_file(user.id, found, kind.media_type, f"{task.id}-{name}")
    raise Problem(
        404,
        "not_found",
        "there is no such artifact of this experiment",
        hint="GET /experiments/{task_id}/artifacts lists what there is",
    )


def _model(folder: ExperimentFolder) -> list[Artifact]:
    files = [_described(one) for one in open_files(folder, folder.final_model)]
    if not files:
        return []
    size = sum(one.bytes for one in files)
    return [Artifact(name=FINAL_MODEL, bytes=size, sha256=None, media_type=downloads.ZIP, files=files)]


def _described(found: OpenFile) -> StoredFile:
    """What an open file is; it is closed."""
    with found.file:
        small = found.bytes <= _HASHED_BYTES
        digest = hashlib.file_digest(found.file, "sha256").hexdigest() if small else None  # type: ignore[arg-type]
    return StoredFile(name=found.name, bytes=found.bytes, sha256=digest)


def _path(folder: ExperimentFolder, kind: _Kind) -> FilePath:
    path: FilePath = getattr(folder, kind.path)
    return path
