"""Checkpoints that are whole or not there at all, and which of them are kept.

Written to a staging folder, flushed, described by a manifest (sha256 of every file) written
last, then renamed: a crash at any instant leaves the checkpoints that were. ``newest`` reads
the manifest back and refuses a damaged one by file. Retention keeps the three that matter,
best, last and fastest, and deletes only after the new one is in place.
Neighbours: ``trainer`` fills the folder; the room ``checkpoints`` knows what one says, and which is the best.
No torch here.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune30.checkpoints import (
    CLOCK as CLOCK,
)
from finetune30.checkpoints import (
    MANIFEST as MANIFEST,
)
from finetune30.checkpoints import (
    TRAINER_STATE as TRAINER_STATE,
)
from finetune30.checkpoints import (
    Checkpoint as Checkpoint,
)
from finetune30.checkpoints import (
    best_of,
    folders,
    roles_of,
)
from finetune30.checkpoints import (
    read as read,
)
from finetune30.durable import put_in_place, remove
from finetune30.errors import CheckpointRejected

STAGING = ".staging-"
REJECTED = ".rejected-"
# Names what this process makes.
_MINE = secrets.token_hex(4)


def staging_for(artifacts: Path, name: str) -> Path:
    """Where this process makes ``name``: another one that was thought dead cannot touch it by accident."""
    return artifacts / f"{STAGING}{_MINE}-{name}"


def write(
    artifacts: Path, step: int, fill: Callable[[Path], None], still_ours: Callable[[], object] = lambda: None
) -> Path:
    """Make ``checkpoint-<step>`` durable: all of it or nothing.

    Args:
        fill: Writes the checkpoint's files into the folder it is given.
        still_ours: Asked before it is put into place; raises where the run is another's by now.
    Returns: The finished folder. One that is already there is left alone.
    Raises: OSError (ENOSPC and others) with every earlier checkpoint untouched.
    """
    final = artifacts / f"checkpoint-{step}"
    if final.exists():  # whole: ``newest`` has set damaged ones aside
        return final
    staging = staging_for(artifacts, f"checkpoint-{step}")
    remove(staging)
    staging.mkdir(parents=True)
    try:
        fill(staging)
        _seal(staging, step)
        still_ours()
        put_in_place(staging, final)
    finally:
        remove(staging)
    return final


def verify(folder: Path) -> str | None:
    """What is wrong with a checkpoint, naming the file; None if every byte is as it was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = manifest["files"]
        step = manifest["step"]
        promised = {name: (entry["bytes"], entry["sha256"]) for name, entry in files.items()}
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    if folder.name != f"checkpoint-{step}":
        return f"{MANIFEST} belongs to step {step}"
    there = {p.name for p in folder.iterdir()} - {MANIFEST}
    if surplus := sorted(there - promised.keys()):
        return f"{surplus[0]} is not in the manifest"
    for name, (size, digest) in sorted(promised.items()):
        path = folder / name
        if name not in there or path.is_symlink() or not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes, the manifest says {size}"
        if _sha256(path) != digest:
            return f"{name} has changed (sha256 differs)"
    return None


def newest(artifacts: Path, note: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint; None if the run has none yet. Damaged ones are set aside.

    Args:
        note: Told each checkpoint that is refused, and why.
    Raises: CheckpointRejected if there are checkpoints but every one is damaged, because
        starting again from zero in silence is what users lose days to.
    """
    whole: list[Path] = []
    refused: dict[Path, str] = {}
    for folder in folders(artifacts):
        if fault := verify(folder):
            refused[folder] = fault
            note(f"refused {folder.name}: {fault}")
        else:
            whole.append(folder)
    if refused and not whole:
        faults = "; ".join(f"{folder.name}: {fault}" for folder, fault in refused.items())
        raise CheckpointRejected(
            f"none of the {len(refused)} checkpoints is whole ({faults})",
            where=str(artifacts),
            hint="restore the folder from a backup, or start the run again with finetune30 train",
        )
    for folder in refused:
        # Out of the way of ``best``, ``retain`` and of the step that will be saved again.
        aside = folder.with_name(f"{REJECTED}{folder.name}")
        remove(aside)
        folder.rename(aside)
    return read(whole[-1]) if whole else None


def best(artifacts: Path) -> Checkpoint:
    """The checkpoint with the highest evaluation accuracy, the earliest of equals; else the last.

    Raises: CheckpointRejected if that one was damaged since it was written.
    """
    chosen = best_of([read(folder) for folder in folders(artifacts)])
    if fault := verify(chosen.folder):
        raise CheckpointRejected(
            f"the best checkpoint, {chosen.folder.name}, is damaged: {fault}",
            where=str(chosen.folder),
            hint="resume the run: it goes on from the checkpoints that are whole",
        )
    return chosen


def last(artifacts: Path) -> Path:
    """The folder of the last checkpoint; training always ends with one."""
    return folders(artifacts)[-1]


def retain(artifacts: Path, fastest_within: float | None) -> list[int]:
    """Delete all checkpoints but best, last and fastest.

    Args:
        fastest_within: Fastest means the shortest training time; with a margin, the shortest
            among those whose accuracy is at most this far below the best.
    Returns: The steps that were deleted.
    """
    checkpoints = [read(folder) for folder in folders(artifacts)]
    roles = roles_of(checkpoints, fastest_within)
    gone = [c for c in checkpoints if not roles[c.step]]
    for checkpoint in gone:
        # Out of sight first: a crash while deleting must not leave half a checkpoint under its name.
        doomed = artifacts / f"{STAGING}deleted-{checkpoint.step}"
        checkpoint.folder.rename(doomed)
        remove(doomed)
    return [c.step for c in gone]


def clear_staging(artifacts: Path) -> None:
    """Remove what a killed process left unfinished, files and folders."""
    for leftover in artifacts.glob(f"{STAGING}*"):
        remove(leftover)


def copy_checkpoints(source: Path, target: Path) -> list[str]:
    """Copy the whole checkpoints of an ended run, for a new run that goes on from them.

    Returns: Names of those copied; none if the target has checkpoints already.
    Raises: CheckpointRejected if the source has checkpoints but none is whole.
    """
    if folders(target):
        return []
    clear_staging(target)
    newest(source, lambda _: None)
    copied = []
    # The newest first: a copy that is cut short still goes on from the right place.
    for folder in reversed(folders(source)):
        staging = target / f"{STAGING}{folder.name}"
        shutil.copytree(folder, staging)
        put_in_place(staging, target / folder.name)
        copied.append(folder.name)
    return copied


def _seal(staging: Path, step: int) -> None:
    files = {p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in sorted(staging.iterdir())}
    (staging / MANIFEST).write_text(json.dumps({"step": step, "files": files}, indent=1), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
