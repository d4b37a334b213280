"""What takes space in the results folder and belongs to no experiment any more.

Promise: only what is surely ours and surely nobody's is named: folders of runs without a row,
staging folders of checkpoints that no process is writing, trash of interrupted deletes. A strange
file, a link, a folder of somebody else's database stays, and so do checkpoints from which an unfinished run
goes on. Neighbours: ``folder``, ``store``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from finetune30.experiments.folder import (
    TRASH,
    ExperimentFolder,
    is_run_folder,
    remove,
    size_bytes,
    storage_faults,
)
from finetune30.experiments.record import ID_SHAPE
from finetune30.experiments.store import ExperimentStore


class Kind(StrEnum):
    """Why something is garbage."""

    ORPHAN = "run without a row"
    STAGING = "unfinished checkpoint"
    TRASH = "interrupted delete"


@dataclass(frozen=True)
class Garbage:
    """One folder to remove, its reason and its size."""

    path: Path
    kind: Kind
    size_bytes: int


def find_garbage(results_dir: Path, store: ExperimentStore, *, store_is_here: bool) -> list[Garbage]:
    """Everything in ``results_dir`` that may go, by name.

    Args:
        store_is_here: The database lies in ``results_dir``. Another one (``DATABASE_URL``) must first
            show that it belongs to this folder, by knowing at least one run in it: else a wrong
            address would make every run an orphan.
    Raises: StorageError if folder or database cannot be read.
    """
    with storage_faults(results_dir):
        places = sorted(results_dir.iterdir()) if results_dir.is_dir() else []
    rows = store.overview()
    live = {found.id: found.lease_live for found in rows}
    inherited = {found.resumed_from for found in rows if found.continues and not found.status.is_terminal}
    known = [place.name for place in places if place.name in live]
    garbage = []
    for place in places:
        trashed = place.name.removeprefix(TRASH)
        if place.is_symlink() or not place.is_dir():
            continue
        if place.name in live:
            garbage += [] if live[place.name] else _staging(ExperimentFolder(results_dir, place.name))
        elif trashed != place.name and ID_SHAPE.fullmatch(trashed):
            garbage.append(_judged(place, Kind.TRASH))
        elif is_run_folder(place) and (store_is_here or known) and place.name not in inherited:
            garbage.append(_judged(place, Kind.ORPHAN))
    return garbage


def remove_garbage(garbage: Garbage) -> int:
    """Delete it; bytes freed.

    Raises: StorageError.
    """
    with storage_faults(garbage.path):
        return remove(garbage.path)


def _staging(folder: ExperimentFolder) -> list[Garbage]:
    """Checkpoints and files that a kill left half-written; the next attempt begins its own."""
    found = sorted(folder.artifacts.glob(".staging-*"))
    return [_judged(place, Kind.STAGING) for place in found if not place.is_symlink()]


def _judged(place: Path, kind: Kind) -> Garbage:
    return Garbage(place, kind, size_bytes(place))
