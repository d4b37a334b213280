"""The checkpoints of a run: which are kept and why, and one of them as an archive.

No checkpoint holds anything that runs when it is read (ADR 0003), so it may be handed out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from finetune30 import checkpoints as kept
from finetune30.api import downloads, services
from finetune30.api.answers_artifacts import Checkpoints, KeptCheckpoint, StoredFile
from finetune30.api.deps import CurrentUser, OwnTask
from finetune30.experiments import Experiment, ExperimentFolder
from finetune30.experiments.opened import names_in, open_files, read_json
from finetune30.web.problems import Problem, unavailable

_ENDING = ".zip"
Archive = Annotated[
    str, Path(json_schema_extra={"pattern": r"^checkpoint-[0-9]{1,15}\.zip$"}, description="checkpoint-STEP.zip")
]
_SENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {downloads.ZIP: {"schema": {"type": "string", "format": "binary"}}}, "description": "The archive"}
}


def router() -> APIRouter:
    """``/experiments/{task_id}/checkpoints``."""
    found = APIRouter(tags=["artifacts"])
    add = found.add_api_route
    add("/experiments/{task_id}/checkpoints", checkpoints, methods=["GET"], name="checkpoint.list")
    add(
        "/experiments/{task_id}/checkpoints/{name}",
        checkpoint,
        methods=["GET"],
        name="checkpoint.fetch",
        response_class=Response,
        responses=_SENT,
    )
    return found


def checkpoints(request: Request, task: OwnTask) -> Checkpoints:
    """The checkpoints that are kept: the best, the last, the one that was reached fastest.

    Damaged ones are left out.
    """
    folder = ExperimentFolder(services.of(request).settings.results_dir, task.id)
    found = {}
    for name in names_in(folder, folder.artifacts):
        one = _told(folder, name) if kept.NAME.fullmatch(name) else None
        if one is not None:
            found[one.step] = one, _promised(folder, name)
    ordered = [found[step] for step in sorted(found)]
    roles = kept.roles_of([one for one, _ in ordered], _margin(task))
    listed = [_shown(one, files, roles[one.step]) for one, files in ordered]
    return Checkpoints(experiment_id=task.id, checkpoints=listed)


def checkpoint(request: Request, task: OwnTask, user: CurrentUser, name: Archive) -> Response:
    """One checkpoint, after a look that every byte is as it was written."""
    folder = ExperimentFolder(services.of(request).settings.results_dir, task.id)
    step = name.removesuffix(_ENDING)
    sources = open_files(folder, folder.artifacts / step) if _is_name(name) else []
    promised = _promised(folder, step) if sources else {}
    if not promised:
        for one in sources:
            one.close()
        raise Problem(
            404,
            "not_found",
            "there is no such checkpoint of this experiment",
            hint="GET /experiments/{task_id}/checkpoints lists those that are kept",
        )

    def check(digests: Mapping[str, str]) -> None:
        there = {file: digest for file, digest in digests.items() if file != kept.MANIFEST}
        if there != {file: digest for file, (_, digest) in promised.items()}:
            hint = "fetch another one; the server's operator can restore it from a backup"
            raise unavailable("checkpoint_rejected", "the checkpoint is damaged", hint)

    return downloads.of_files(user.id, step, f"{task.id}-{name}", sources, check)


def _is_name(name: str) -> bool:
    return name.endswith(_ENDING) and bool(kept.NAME.fullmatch(name.removesuffix(_ENDING)))


def _told(folder: ExperimentFolder, name: str) -> kept.Checkpoint | None:
    path = folder.artifacts / name
    try:
        one = kept.told(path, read_json(folder, path / kept.TRAINER_STATE))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return one if name == f"checkpoint-{one.step}" else None


def _promised(folder: ExperimentFolder, name: str) -> dict[str, tuple[int, str]]:
    """Bytes and sha256 of each file by the manifest; nothing where there is none."""
    try:
        files = read_json(folder, folder.artifacts / name / kept.MANIFEST)["files"]
        return {str(file): (int(told["bytes"]), str(told["sha256"])) for file, told in files.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return {}


def _shown(one: kept.Checkpoint, files: Mapping[str, tuple[int, str]], roles: list[str]) -> KeptCheckpoint:
    return KeptCheckpoint(
        step=one.step,
        roles=roles,
        accuracy=one.accuracy,
        train_seconds=one.clock.get("train_seconds"),
        bytes=sum(size for size, _ in files.values()),
        archive=f"{one.folder.name}{_ENDING}",
        files=[StoredFile(name=name, bytes=size, sha256=digest) for name, (size, digest) in files.items()],
    )


def _margin(task: Experiment) -> float | None:
    found = (task.config.get("training") or {}).get("fastest_within")
    return float(found) if isinstance(found, int | float) else None
