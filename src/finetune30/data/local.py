"""A path on this machine as tables: one file, or a folder of split files.

In a folder only the files named like a split count (train, dev, valid, validation, val, test);
whatever else lies there is left alone, and said.
Neighbours: opening refuses what is no plain file, roles says which split is which, files reads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from finetune30.data.files import read_table
from finetune30.data.opening import READABLE, check_name, is_folder, open_entry
from finetune30.data.prepare import Found
from finetune30.data.roles import Candidate, Role, assign, told_splits
from finetune30.data.table import Columns, Table, shortened
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig


def read_local(name: str, config: ExperimentConfig) -> Found:
    """The tables of a file (train alone) or of a folder with split files.

    Raises: DataError for links, pipes, devices, unreadable formats, and missing or double splits.
    """
    wanted = Columns(config.data.text_column, config.data.label_column)
    descriptor = open_entry(Path(name), shown=name)
    try:
        if is_folder(descriptor):
            return _folder(descriptor, name, config, wanted)
        _refuse_split_names(name, config)
        ending = check_name(name, shown=name)
        return Found(name, {"train": _table(descriptor, ending, name, wanted)})
    finally:
        os.close(descriptor)


def check_entry(name: str) -> None:
    """Refuse what is no readable kind of file and no folder, without reading it.

    Raises: DataError.
    """
    descriptor = open_entry(Path(name), shown=name)
    try:
        if not is_folder(descriptor):
            check_name(name, shown=name)
    finally:
        os.close(descriptor)


def _folder(folder: int, name: str, config: ExperimentConfig, wanted: Columns) -> Found:
    entries = sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))
    files = [Candidate(Path(entry).stem, entry) for entry in entries if Path(entry).suffix.lower() in READABLE]
    _explain_missing_train(files, entries, name, config)
    roles = assign(files, config, name)
    tables: dict[Role, Table] = {}
    for role, candidate in roles.items():
        # The train file has chosen the columns; another file may not choose others.
        columns = tables["train"].columns if "train" in tables else wanted
        tables[role] = _split_file(folder, candidate.shown, f"{name.rstrip('/')}/{candidate.shown}", columns)
    used = {candidate.shown for candidate in roles.values()}
    ignored = [entry for entry in entries if entry not in used]
    notes = (f"ignored in {name}: {shortened(ignored)}; only split files count",) if ignored else ()
    return Found(name, tables, notes)


def _split_file(folder: int, entry: str, shown: str, wanted: Columns) -> Table:
    # Relative to the open folder: its name may have been swapped since.
    descriptor = open_entry(Path(entry), shown=shown, within=folder)
    try:
        if is_folder(descriptor):
            raise DataError("is a folder, expected a file", where=shown, hint="put the split file itself here")
        return _table(descriptor, check_name(entry, shown=shown), shown, wanted)
    finally:
        os.close(descriptor)


def _table(descriptor: int, ending: str, shown: str, wanted: Columns) -> Table:
    with os.fdopen(descriptor, "rb", closefd=False) as handle:
        return read_table(handle, ending, where=shown, wanted=wanted)


def _refuse_split_names(name: str, config: ExperimentConfig) -> None:
    for role in told_splits(config):
        raise DataError(
            f"data.{role}_split is set, but a single file has no splits",
            where=name,
            hint=f"leave data.{role}_split out, or name the folder that holds the split files",
        )


def _explain_missing_train(
    files: Sequence[Candidate], entries: Sequence[str], name: str, config: ExperimentConfig
) -> None:
    """Say why ``train.pkl`` or ``train.csv.gz`` is no train file before saying there is none."""
    if config.data.train_split is None and all(file.name.casefold() != "train" for file in files):
        for entry in entries:
            if entry.casefold().startswith("train.") and Path(entry).suffix.lower() not in READABLE:
                check_name(entry, shown=f"{name.rstrip('/')}/{entry}")
