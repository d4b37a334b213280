"""A dataset of the Hugging Face hub as tables.

Data files only: code of a dataset is never run (the datasets library has dropped it, and is never
asked for it). Nothing is fetched when HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set; what an earlier
run has cached is then used. Neighbours: roles says which split is which, arrow reads the batches.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune30.data.prepare import Found
from finetune30.data.reading.arrow import BATCH_ROWS, add_batch, check_types, names_of
from finetune30.data.roles import Candidate, Role, assign
from finetune30.data.table import Columns, Table, TableWriter, choose_columns, columns_wanted, shortened
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_COMMIT_OR_START = re.compile(r"[0-9a-f]{7,40}")
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
_TRUE = ("1", "ON", "YES", "TRUE")


def read_hub(name: str, config: ExperimentConfig) -> Found:
    """The tables of a hub dataset, at ``data.revision``.

    Raises: DataError when it cannot be reached, does not exist, or needs code to be read.
    """
    if not _ID.fullmatch(name) or ".." in name:
        raise DataError(
            f"{name!r} is neither an existing path nor a hub id such as nyu-mll/glue",
            where="data.dataset_name",
            hint="addresses are not fetched: save the rows as .csv, .tsv, .jsonl or .parquet",
        )
    splits = _fetched(name, config)
    commit = _commit_of(splits)
    notes = _check_revision(name, config.data.revision, commit)
    found = tables_of(splits, name, config)
    source = f"{name}:{config.data.dataset_config}" if config.data.dataset_config else name
    return Found(f"{source}@{commit}" if commit else source, found.tables, (*found.notes, *notes))


def tables_of(splits: Mapping[str, Any], name: str, config: ExperimentConfig) -> Found:
    """The tables of a loaded ``datasets.DatasetDict``, class names in the order it declares."""
    roles = assign([Candidate(split, split) for split in splits], config, name)
    wanted = columns_wanted(config)
    tables: dict[Role, Table] = {}
    for role, candidate in roles.items():
        columns = tables["train"].columns if "train" in tables else wanted
        tables[role] = _table(splits[candidate.name], f"{name} ({candidate.name})", columns)
    used = {candidate.name for candidate in roles.values()}
    unused = [split for split in splits if split not in used]
    return Found(name, tables, (f"splits not used: {shortened(unused)}",) if unused else ())


def _fetched(name: str, config: ExperimentConfig) -> Mapping[str, Any]:
    import datasets
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

    if name in _PACKAGED_DATASETS_MODULES:
        raise DataError(
            f"{name!r} is a file format, expected a path or a hub id",
            where="data.dataset_name",
            hint="give the path of the file itself",
        )
    try:
        # The library itself keeps off the network when the environment says so.
        loaded = datasets.load_dataset(name, config.data.dataset_config, revision=config.data.revision)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as cause:
        raise _not_loaded(name, cause) from cause
    return dict(loaded)


def _not_loaded(name: str, cause: Exception) -> DataError:
    reason = " ".join(str(cause).split())[:300]
    forbidding = [variable for variable in _OFFLINE_VARIABLES if os.environ.get(variable, "").upper() in _TRUE]
    if forbidding:
        return DataError(
            f"{name!r} is no local path, and the hub may not be asked: {forbidding[0]} is set",
            where="data.dataset_name",
            hint="give a local file or folder, or builtin:reviews, which needs no network",
        )
    if isinstance(cause, ConnectionError):
        return DataError(
            f"{name!r} is no local path, and the hub cannot be reached: {reason}",
            where="data.dataset_name",
            hint="check the network; a local file or folder, or builtin:reviews, needs none",
        )
    return DataError(
        f"hub dataset {name!r} cannot be loaded: {reason}",
        where="data.dataset_name",
        hint="check the id, data.dataset_config and data.revision; datasets that run code are not supported",
    )


def _table(split: Any, where: str, wanted: Columns) -> Table:
    columns, notes = choose_columns(list(split.column_names), wanted, where)
    rows = split.select_columns(names_of(columns)).with_format("arrow")
    check_types(rows.features.arrow_schema, columns, where)
    names = None if columns.flags else _class_names(split.features[columns.label])
    writer = TableWriter(where, columns, has_lines=False)
    for batch in rows.iter(batch_size=BATCH_ROWS):
        if names is None:
            add_batch(writer, batch)
        else:
            add_batch(writer, batch, told=partial(_named, names=names))
    return writer.finish(notes=notes, label_order=names)


def _class_names(feature: Any) -> tuple[str, ...] | None:
    """The names of numbered classes, or of lists of them, in the order the dataset declares."""
    names = getattr(getattr(feature, "feature", feature), "names", None)
    return None if names is None else tuple(name.strip() for name in names)


def _named(value: object, names: tuple[str, ...]) -> object:
    """The name of a class; numbers without one, -1 first of all, are rows whose label is not told."""
    if isinstance(value, list):
        return [_named(part, names) for part in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _commit_of(splits: Mapping[str, Any]) -> str | None:
    """The commit that was loaded: the library names the folder of its prepared files after it."""
    files = [file["filename"] for split in splits.values() for file in split.cache_files]
    folder = Path(files[0]).parent.name if files else ""
    return folder if _COMMIT.fullmatch(folder) else None


def _check_revision(name: str, wanted: str | None, loaded: str | None) -> tuple[str, ...]:
    """The library answers from its cache when the hub is out of reach, whatever was asked for."""
    if wanted is None:
        return (f"data.revision is not set: {name} may change on the hub",)
    if loaded is None or not _COMMIT_OR_START.fullmatch(wanted):
        return (f"data.revision {wanted!r} is no commit: a copy in the cache is not checked against it",)
    if not loaded.startswith(wanted):
        raise DataError(
            f"{name!r} was found in the cache at {loaded}, expected {wanted}",
            where="data.revision",
            hint="go online once to fetch that revision",
        )
    return ()
