"""A path on this machine as tables: one file, a folder of split files, or an archive of them.

In a folder only the files named like a split count (train, dev, valid, validation, val, test);
whatever else lies there is left alone, and said. An archive is read like a folder, without being
unpacked. Neighbours: opening refuses what is no plain file, roles says which split is which, files,
archives and unpacking read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from finetune30.data.prepare import Found
from finetune30.data.reading.archives import members
from finetune30.data.reading.files import read_table
from finetune30.data.reading.opening import (
    ARCHIVES,
    START_BYTES,
    Form,
    check_name,
    check_packed,
    data_file,
    is_folder,
    open_entry,
)
from finetune30.data.reading.unpacking import unpacked
from finetune30.data.roles import Candidate, Role, assign, told_splits
from finetune30.data.table import Columns, Table, columns_wanted, shortened
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig


def read_local(name: str, config: ExperimentConfig, shown: str | None = None) -> Found:
    """The tables of a file (train alone), or of a folder or an archive with split files.

    Args:
        shown: What tables and errors call it, where its path is nobody's business.
    Raises: DataError for links, pipes, devices, unreadable formats, and missing or double splits.
    """
    wanted = columns_wanted(config)
    shown = shown or name
    descriptor = open_entry(Path(name), shown=shown)
    try:
        if is_folder(descriptor):
            return _folder(descriptor, shown, config, wanted)
        form = check_name(name, shown=shown)
        with os.fdopen(descriptor, "rb", closefd=False) as handle:
            if form.ending in ARCHIVES:
                return _archive(handle, form, shown, config, wanted)
            _refuse_split_names(shown, config)
            return Found(shown, {"train": _table(handle, form, shown, config, wanted)})
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
    def read(entry: str, shown: str, columns: Columns) -> Table:
        # Relative to the open folder: its name may have been swapped since.
        descriptor = open_entry(Path(entry), shown=shown, within=folder)
        try:
            if is_folder(descriptor):
                raise DataError("is a folder, expected a file", where=shown, hint="put the split file itself here")
            with os.fdopen(descriptor, "rb", closefd=False) as handle:
                return _table(handle, check_name(entry, shown=shown), shown, config, columns)
        finally:
            os.close(descriptor)

    entries = [entry for entry in os.listdir(folder) if not entry.startswith(".")]
    return _splits(entries, read, name, config, wanted)


def _archive(handle: BinaryIO, form: Form, name: str, config: ExperimentConfig, wanted: Columns) -> Found:
    check_packed(handle.read(START_BYTES), form, shown=name)
    file = unpacked(handle, form.compressed, name) if form.compressed else handle
    found = [one for one in members(file, form.ending, name) if not _is_hidden(one.name)]
    top = _top_folder([one.name for one in found])
    by_name = {one.name.removeprefix(top): one for one in found}

    def read(entry: str, shown: str, columns: Columns) -> Table:
        with by_name[entry].open() as content:
            entry_form = check_name(entry, shown=shown)
            if entry_form.ending == ".parquet":
                hint = "Parquet files are compressed inside: take it out of the archive"
                raise DataError("a Parquet file in an archive is not read", where=shown, hint=hint)
            return _table(content, entry_form, shown, config, columns)

    data_files = [entry for entry in by_name if "/" not in entry and data_file(entry)]
    if len(data_files) == 1 and not told_splits(config):
        shown = f"{name}/{data_files[0]}"
        return Found(name, {"train": read(data_files[0], shown, wanted)}, _ignored(by_name, data_files, name))
    return _splits(by_name, read, name, config, wanted)


def _is_hidden(name: str) -> bool:
    """What macOS and the like put into archives beside the files."""
    return name.startswith("__MACOSX/") or any(part.startswith(".") for part in name.split("/"))


def _top_folder(names: Sequence[str]) -> str:
    """``data/`` when everything lies in one folder of that name, else nothing."""
    tops = {name.partition("/")[0] for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""


def _splits(
    found: Iterable[str],
    read: Callable[[str, str, Columns], Table],
    name: str,
    config: ExperimentConfig,
    wanted: Columns,
) -> Found:
    """The split files among the entries of a folder; ``read`` takes an entry, its shown name and its columns."""
    entries = sorted(found)
    forms = {entry: form for entry in entries if "/" not in entry and (form := data_file(entry))}
    files = [Candidate(form.stem, entry) for entry, form in forms.items()]
    _explain_missing_train(files, entries, name, config)
    roles = assign(files, config, name)
    tables: dict[Role, Table] = {}
    for role, candidate in roles.items():
        # The train file has chosen the columns; another file may not choose others.
        columns = tables["train"].columns if "train" in tables else wanted
        tables[role] = read(candidate.shown, f"{name.rstrip('/')}/{candidate.shown}", columns)
    used = [candidate.shown for candidate in roles.values()]
    return Found(name, tables, _ignored(entries, used, name))


def _ignored(entries: Iterable[str], used: Sequence[str], name: str) -> tuple[str, ...]:
    ignored = sorted(entry for entry in entries if entry not in used)
    return (f"ignored in {name}: {shortened(ignored)}; only split files count",) if ignored else ()


def _table(handle: BinaryIO, form: Form, shown: str, config: ExperimentConfig, wanted: Columns) -> Table:
    if form.compressed is not None:
        check_packed(handle.read(START_BYTES), form, shown=shown)
        handle = unpacked(handle, form.compressed, shown)
    return read_table(handle, form.ending, where=shown, wanted=wanted, encoding=config.data.encoding)


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
    """Say why ``train.pkl`` or ``train.zip`` is no train file before saying there is none."""
    if config.data.train_split is None and all(file.name.casefold() != "train" for file in files):
        for entry in entries:
            if entry.casefold().startswith("train.") and data_file(entry) is None:
                shown = f"{name.rstrip('/')}/{entry}"
                check_name(entry, shown=shown)
                raise DataError("an archive is no split file", where=shown, hint="name it as data.dataset_name")
