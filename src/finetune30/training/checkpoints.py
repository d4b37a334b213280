"""Checkpoints that are whole or not there at all, and which of them are kept.

Written to a staging folder, flushed, described by a manifest (sha256 of every file) written
last, then renamed: a crash at any instant leaves the checkpoints that were. ``newest`` reads
the manifest back and refuses a damaged one by file. Retention keeps the three that matter,
best, last and fastest, and deletes only after the new one is in place.
Neighbours: ``trainer`` fills the folder; no torch here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune30.errors import CheckpointRejected

MANIFEST = "manifest.json"
TRAINER_STATE = "trainer_state.json"
STAGING = ".staging-"
CLOCK = "TrainingClock"
_NAME = re.compile(r"^checkpoint-(\d+)$")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder and what its ``trainer_state.json`` says.

    Attributes:
        accuracy: Evaluation accuracy at this very step; None if it was not evaluated.
        train_seconds: Seconds of training up to this step, over all resumptions.
        batch_rows: Rows of one forward pass when it was written.
    """

    folder: Path
    step: int
    accuracy: float | None
    train_seconds: float
    batch_rows: int | None = None


def write(artifacts: Path, step: int, fill: Callable[[Path], None]) -> Path:
    """Make ``checkpoint-<step>`` durable: all of it or nothing.

    Args:
        fill: Writes the checkpoint's files into the folder it is given.
    Returns: The finished folder. One that is already there is left alone.
    Raises: OSError (ENOSPC and others) with every earlier checkpoint untouched.
    """
    final = artifacts / f"checkpoint-{step}"
    if final.exists():
        return final
    staging = artifacts / f"{STAGING}checkpoint-{step}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        fill(staging)
        _seal(staging, step)
        os.rename(staging, final)  # noqa: PTH104 - the rename is the commit; name it as such
        _flush(artifacts)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
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
    """The newest whole checkpoint; None if the run has none yet.

    Args:
        note: Told each checkpoint that is refused, and why.
    Raises: CheckpointRejected if there are checkpoints but every one is damaged, because
        starting again from zero in silence is what users lose days to.
    """
    refused: list[str] = []
    for folder in reversed(_folders(artifacts)):
        fault = verify(folder)
        if fault is None:
            return read(folder)
        refused.append(f"{folder.name}: {fault}")
        note(f"refused {refused[-1]}")
    if refused:
        raise CheckpointRejected(
            f"none of the {len(refused)} checkpoints is whole ({'; '.join(refused)})",
            where=str(artifacts),
            hint="restore the folder from a backup, or start the run again with finetune30 train",
        )
    return None


def read(folder: Path) -> Checkpoint:
    """What a checkpoint's ``trainer_state.json`` says of it."""
    state = json.loads((folder / TRAINER_STATE).read_text(encoding="utf-8"))
    step = int(state["global_step"])
    accuracy = None
    for entry in state["log_history"]:
        if entry.get("step") == step and "eval_accuracy" in entry:
            accuracy = float(entry["eval_accuracy"])
    clock = state.get("stateful_callbacks", {}).get(CLOCK, {}).get("attributes", {})
    return Checkpoint(folder, step, accuracy, float(clock.get("train_seconds", 0.0)), state.get("train_batch_size"))


def best(artifacts: Path) -> Checkpoint:
    """The checkpoint with the highest evaluation accuracy, the earliest of equals; else the last."""
    return _best([read(folder) for folder in _folders(artifacts)])


def retain(artifacts: Path, fastest_within: float | None) -> list[int]:
    """Delete all checkpoints but best, last and fastest.

    Args:
        fastest_within: Fastest means the shortest training time; with a margin, the shortest
            among those whose accuracy is at most this far below the best.
    Returns: The steps that were deleted.
    """
    checkpoints = [read(folder) for folder in _folders(artifacts)]
    if not checkpoints:
        return []
    keep = {c.step for c in (_best(checkpoints), checkpoints[-1], _fastest(checkpoints, fastest_within))}
    gone = [c for c in checkpoints if c.step not in keep]
    for checkpoint in gone:
        # Out of sight first: a crash while deleting must not leave half a checkpoint under its name.
        doomed = artifacts / f"{STAGING}deleted-{checkpoint.step}"
        os.rename(checkpoint.folder, doomed)  # noqa: PTH104 - as above
        shutil.rmtree(doomed)
    return [c.step for c in gone]


def clear_staging(artifacts: Path) -> None:
    """Remove what a killed process left unfinished."""
    for leftover in artifacts.glob(f"{STAGING}*"):
        shutil.rmtree(leftover)


def copy_checkpoints(source: Path, target: Path) -> list[str]:
    """Copy the whole checkpoints of an ended run, for a new run that goes on from them.

    Returns: Names of those copied.
    Raises: CheckpointRejected if the source has checkpoints but none is whole.
    """
    newest(source, lambda _: None)
    target.mkdir(parents=True, exist_ok=True)
    copied = []
    for folder in sorted(source.glob("checkpoint-*")):
        if verify(folder) is None:
            shutil.copytree(folder, target / f"{STAGING}{folder.name}")
            os.rename(target / f"{STAGING}{folder.name}", target / folder.name)  # noqa: PTH104
            copied.append(folder.name)
    return copied


def _best(checkpoints: list[Checkpoint]) -> Checkpoint:
    scored = [c for c in checkpoints if c.accuracy is not None]
    return max(scored, key=lambda c: (c.accuracy or 0.0, -c.step)) if scored else checkpoints[-1]


def _fastest(checkpoints: list[Checkpoint], within: float | None) -> Checkpoint:
    # A checkpoint written only to resume from, without an evaluation, is nobody's quick experiment.
    candidates = [c for c in checkpoints if c.accuracy is not None] or checkpoints
    top = _best(checkpoints).accuracy
    if within is not None and top is not None:
        candidates = [c for c in candidates if (c.accuracy or 0.0) >= top - within]
    # Steps only break ties between clocks that read the same.
    return min(candidates, key=lambda c: (c.train_seconds, c.step))


def _folders(artifacts: Path) -> list[Path]:
    found = [(int(m.group(1)), p) for p in artifacts.glob("checkpoint-*") if (m := _NAME.match(p.name))]
    return [path for _, path in sorted(found)]


def _seal(staging: Path, step: int) -> None:
    files = {}
    for path in sorted(staging.iterdir()):
        # save_pretrained writes 0600 or 0644 as it likes; others serve these files, under the umask.
        path.chmod(0o666 & ~_umask())
        files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        _flush(path)
    manifest = staging / MANIFEST
    manifest.write_text(json.dumps({"step": step, "files": files}, indent=1), encoding="utf-8")
    _flush(manifest)
    _flush(staging)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    # The only way to read the umask is to set it; threads that create files meanwhile get the safe one.
    current = os.umask(0o022)
    os.umask(current)
    return current
