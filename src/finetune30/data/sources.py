"""Where the rows come from: a built-in dataset, a stored version, a path on this machine, or the hub.

An existing path always wins, and what looks like a path is never looked up on the hub, so a
misspelt file name fetches nothing. Neighbours: local and hub bring tables, prepare makes splits.
"""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from finetune30.data.hub import read_hub
from finetune30.data.labels import told_by
from finetune30.data.local import check_entry, read_local
from finetune30.data.prepare import Found, prepare
from finetune30.data.reading.opening import FILE_ENDINGS
from finetune30.data.roles import Candidate, Role, assign
from finetune30.data.splits import Splits
from finetune30.data.table import Table, TableWriter, choose_columns, columns_wanted, did_you_mean, shortened
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig
    from finetune30.data.versions import VersionStore

_BUILTIN_PREFIX = "builtin:"
VERSION_PREFIX = "version:"
_BUILTIN = {"reviews": "reviews.tsv", "reviews-zh": "reviews_zh.tsv"}
_ALIKE = 0.8  # of two names: an ending in common is not enough


def load(config: ExperimentConfig, versions: VersionStore | None = None) -> Splits:
    """The rows that an experiment trains, validates and tests on.

    Raises: DataError for everything that is wrong with the dataset, its files or its labels.
    """
    return prepare(find(config, versions), config)


def glance(config: ExperimentConfig) -> None:
    """Refuse at once, before heavy libraries load, a dataset that no reading could make good.

    Raises: DataError for a path that is not there, a pipe, a link, a pickle, an unknown built-in.
    """
    name = config.data.dataset_name
    if name.startswith(_BUILTIN_PREFIX):
        _check_builtin(name.removeprefix(_BUILTIN_PREFIX))
    elif name.startswith(VERSION_PREFIX):
        return
    elif os.path.lexists(name):
        check_entry(name)
    elif _looks_like_path(name) or _is_misspelt(name):
        raise DataError("no such file or folder", where=name, hint=_near(name))


def find(config: ExperimentConfig, versions: VersionStore | None = None) -> Found:
    """The tables of ``data.dataset_name`` as found: nothing dropped, cut or sampled yet.

    Args:
        versions: Where ``version:ID`` is looked up; None knows no versions.
    Raises: DataError; NotFound for a version that is not there.
    """
    name = config.data.dataset_name
    if name.startswith(VERSION_PREFIX):
        _refuse_hub_keys(config, "a stored version")
        return _version(name.removeprefix(VERSION_PREFIX), config, versions)
    if name.startswith(_BUILTIN_PREFIX):
        _refuse_hub_keys(config, "a built-in dataset")
        return _builtin(name.removeprefix(_BUILTIN_PREFIX), config)
    if os.path.lexists(name):
        _refuse_hub_keys(config, "a local path")
        return read_local(name, config)
    if _looks_like_path(name) or _is_misspelt(name):
        raise DataError("no such file or folder", where=name, hint=_near(name))
    return read_hub(name, config)


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


def _refuse_hub_keys(config: ExperimentConfig, kind: str) -> None:
    for key in ("dataset_config", "revision"):
        if getattr(config.data, key) is not None:
            raise DataError(
                f"data.{key} is set, but {config.data.dataset_name!r} is {kind}",
                where=f"data.{key}",
                hint=f"leave data.{key} out; only hub datasets have one",
            )


def _version(reference: str, config: ExperimentConfig, versions: VersionStore | None) -> Found:
    if versions is None:
        raise DataError("stored versions cannot be read here", where=f"{VERSION_PREFIX}{reference}")
    version = versions.find(reference)
    # What the configuration says of columns and splits is meant for the source the version was made from.
    told = dict.fromkeys(("label_separator", "label_columns", "train_split", "validation_split", "test_split"))
    columns = {
        "text_column": "text",
        "label_column": "label",
        "text_pair_column": "text_pair" if version.pairs else None,
    }
    data = config.data.model_copy(update=told | columns)
    found = read_local(str(versions.intact(version)), config.model_copy(update={"data": data}))
    # Labels keep the order they had: a label without rows in train would shift the others.
    tables = {role: replace(table, label_order=version.label_names) for role, table in found.tables.items()}
    return Found(f"{VERSION_PREFIX}{version.short}", tables, (f"made from {version.source}",), as_used=True)


def _check_builtin(name: str) -> None:
    if name not in _BUILTIN:
        there = ", ".join(f"{_BUILTIN_PREFIX}{known}" for known in _BUILTIN)
        near = did_you_mean(name, _BUILTIN)
        raise DataError(
            f"no such built-in dataset; there is {there}",
            where=f"{_BUILTIN_PREFIX}{name}",
            hint=near or f"use {there}",
        )


def _builtin(name: str, config: ExperimentConfig) -> Found:
    shown = f"{_BUILTIN_PREFIX}{name}"
    _check_builtin(name)
    columns, _ = choose_columns(["label", "text"], columns_wanted(config), shown)
    content = resources.files("finetune30.data").joinpath(_BUILTIN[name]).read_text("utf-8")
    rows = [line.split("\t") for line in content.removesuffix("\n").split("\n")[1:]]
    tables: dict[Role, Table] = {}
    splits = dict.fromkeys(row[0] for row in rows)
    for role, candidate in assign([Candidate(split, split) for split in splits], config, shown).items():
        writer = TableWriter(f"{shown} ({candidate.name})", columns, has_lines=False)
        for split, label, text in rows:
            if split == candidate.name:
                writer.add(text, told_by(label, columns))
        tables[role] = writer.finish()
    return Found(shown, tables)
