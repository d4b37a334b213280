"""What the name of a dataset means, told without reading it: a built-in, a stored version, an upload, a path, the hub.

An existing path always wins, and what looks like a path is never looked up on the hub, so a
misspelt file name fetches nothing. Neighbours: ``sources`` reads what is named.
"""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from finetune30.data.local import check_entry
from finetune30.data.reading.opening import FILE_ENDINGS
from finetune30.data.table import did_you_mean, shortened
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

BUILTIN_PREFIX = "builtin:"
VERSION_PREFIX = "version:"
UPLOAD_PREFIX = "upload:"
BUILTIN = {"reviews": "reviews.tsv", "reviews-zh": "reviews_zh.tsv"}
_ALIKE = 0.8  # of two names: an ending in common is not enough


def upload_ids(name: str) -> list[str]:
    """The uploads that ``upload:ID`` or ``upload:ID+ID`` names: the second one's rows validate.

    Raises: DataError for more of them.
    """
    found = name.removeprefix(UPLOAD_PREFIX).split("+")
    if len(found) > 2:
        raise DataError(
            f"{len(found)} uploads are named, expected one, or two whose second one validates",
            where="data.dataset_name",
            hint=f"{UPLOAD_PREFIX}TRAIN+VALIDATION",
        )
    return found


def glance(config: ExperimentConfig) -> None:
    """Refuse at once, before heavy libraries load, a dataset that no reading could make good.

    Raises: DataError for a path that is not there, a pipe, a link, a pickle, an unknown built-in.
    """
    name = config.data.dataset_name
    if name.startswith(BUILTIN_PREFIX):
        check_builtin(name.removeprefix(BUILTIN_PREFIX))
    elif name.startswith((VERSION_PREFIX, UPLOAD_PREFIX)):
        return
    elif os.path.lexists(name):
        check_entry(name)
    else:
        refuse_missing_path(name)


def refuse_missing_path(name: str) -> None:
    """Refuse a path that is not there, before it is taken for a name of the hub.

    Raises: DataError.
    """
    if _looks_like_path(name) or _is_misspelt(name):
        raise DataError("no such file or folder", where=name, hint=_near(name))


def check_builtin(name: str) -> None:
    """Refuse the name of a built-in dataset that is none.

    Raises: DataError.
    """
    if name not in BUILTIN:
        there = ", ".join(f"{BUILTIN_PREFIX}{known}" for known in BUILTIN)
        near = did_you_mean(name, BUILTIN)
        raise DataError(
            f"no such built-in dataset; there is {there}",
            where=f"{BUILTIN_PREFIX}{name}",
            hint=near or f"use {there}",
        )


def _looks_like_path(name: str) -> bool:
    return (
        name.startswith((".", "/", "~"))
        or name.count("/") > 1
        or name.endswith("/")
        or name.lower().endswith(FILE_ENDINGS)
    ) and "://" not in name


def _is_misspelt(name: str) -> bool:
    """Whether it is nearly the name of a file or folder: ``plain.cvs`` beside ``plain.csv``."""
    if not Path(name).suffix or "://" in name:
        return False
    with suppress(OSError):
        return bool(_alike(name))
    return False


def _alike(name: str) -> list[str]:
    """Files and folders beside it that are called nearly so."""
    path = Path(name)
    by_folded = {entry.name.casefold(): str(entry) for entry in sorted(path.parent.iterdir())}
    near = difflib.get_close_matches(path.name.casefold(), by_folded, n=3, cutoff=_ALIKE)
    return [by_folded[folded] for folded in near]


def _near(name: str) -> str:
    if name.startswith("~"):
        return "~ is not expanded here; write the whole path"
    folder = Path(name).parent
    try:
        if near := _alike(name):
            return f"did you mean {' or '.join(map(repr, near))}?"
        return f"{folder} holds {shortened(sorted(entry.name for entry in folder.iterdir())) or 'nothing'}"
    except OSError as cause:
        return f"the folder {folder} cannot be read: {(cause.strerror or 'check its name').lower()}"
