"""Files of a run's folder, opened for whoever asked from outside.

Promise: what is opened is a regular file inside the run's folder. No link is followed on the way, not even
one that is put there between a look and the opening; a pipe or a device is never waited for.
Neighbours: ``folder`` knows the names; the results folder itself is the operator's, and may be a link.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from finetune30.experiments.folder import ExperimentFolder

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A model or a checkpoint is a dozen files. More would take the handles of everybody else.
_MOST_FILES = 64
_MOST_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class OpenFile:
    """A regular file: its name in its folder, its size when it was opened."""

    name: str
    bytes: int
    file: BinaryIO

    def close(self) -> None:
        """Give the handle back."""
        self.file.close()


def open_file(folder: ExperimentFolder, path: Path) -> OpenFile | None:
    """``path``, one of the folder's own; None where it is not there, or is no regular file inside.

    The caller closes it.
    """
    with _inside(folder, path.parent) as parent:
        return None if parent is None else _opened(parent, path.name)


def open_files(folder: ExperimentFolder, path: Path) -> list[OpenFile]:
    """The regular files of one of its folders, by name; none where there is no such folder, or it holds too many.

    All are opened before the first is read: what is replaced meanwhile is read as it was.
    The caller closes them.
    """
    found: list[OpenFile] = []
    with _inside(folder, path) as parent:
        if parent is None:
            return []
        names = sorted(os.listdir(parent))  # noqa: PTH208 - of a handle
        if len(names) > _MOST_FILES:
            return []
        found += [one for name in names if not name.startswith(".") and (one := _opened(parent, name))]
    return found


def open_plain(path: Path) -> OpenFile | None:
    """A regular file at a path of ours, no link at its end; None where there is none. The caller closes it."""
    try:
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _opened(parent, path.name)
    finally:
        os.close(parent)


def names_in(folder: ExperimentFolder, path: Path) -> list[str]:
    """What is in one of its folders, by name; nothing where there is no such folder."""
    with _inside(folder, path) as parent:
        return [] if parent is None else sorted(os.listdir(parent))  # noqa: PTH208 - of a handle


def read_json(folder: ExperimentFolder, path: Path) -> Any:
    """What a JSON file of the folder holds; None where there is none that can be read."""
    found = open_file(folder, path)
    if found is None:
        return None
    with found.file:
        if found.bytes > _MOST_JSON_BYTES:
            return None
        try:
            return json.loads(found.file.read(_MOST_JSON_BYTES))
        except (OSError, ValueError, RecursionError):
            return None


@contextmanager
def _inside(folder: ExperimentFolder, path: Path) -> Iterator[int | None]:
    """A handle on a folder at or below the run's own, gone into step by step; None where that cannot be."""
    steps = [folder.id, *path.relative_to(folder.path).parts]
    handles: list[int] = []
    try:
        with suppress(OSError):
            handles.append(os.open(folder.results_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            for step in steps:
                handles.append(os.open(step, _FOLDER, dir_fd=handles[-1]))
        yield handles[-1] if len(handles) == len(steps) + 1 else None
    finally:
        for handle in handles:
            os.close(handle)


def _opened(parent: int, name: str) -> OpenFile | None:
    try:
        handle = os.open(name, _FILE, dir_fd=parent)
    except OSError:
        return None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        return None
    return OpenFile(name, found.st_size, os.fdopen(handle, "rb"))
