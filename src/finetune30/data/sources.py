"""Where the rows come from: a built-in dataset, a stored version, an upload, a path on this machine, or the hub.

Neighbours: naming says which of them a name means, local and hub bring tables, prepare makes splits.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING

from finetune30.data.hub import read_hub
from finetune30.data.labels import told_by
from finetune30.data.local import read_local
from finetune30.data.naming import (
    BUILTIN,
    BUILTIN_PREFIX,
    UPLOAD_PREFIX,
    VERSION_PREFIX,
    check_builtin,
    refuse_missing_path,
    upload_ids,
)
from finetune30.data.prepare import Found, prepare
from finetune30.data.roles import Candidate, Role, assign
from finetune30.data.splits import Splits
from finetune30.data.table import Table, TableWriter, choose_columns, columns_wanted
from finetune30.data.uploads import Upload, UploadStore, read_as
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig
    from finetune30.data.versions import VersionStore


def load(config: ExperimentConfig, versions: VersionStore | None = None) -> Splits:
    """The rows that an experiment trains, validates and tests on.

    Raises: DataError for everything that is wrong with the dataset, its files or its labels.
    """
    return prepare(find(config, versions), config)


def find(config: ExperimentConfig, versions: VersionStore | None = None) -> Found:
    """The tables of ``data.dataset_name`` as found: nothing dropped, cut or sampled yet.

    Args:
        versions: Where ``version:ID`` and, beside it, ``upload:ID`` are looked up; None knows neither.
    Raises: DataError; NotFound for a version or an upload that is not there.
    """
    name = config.data.dataset_name
    if name.startswith(VERSION_PREFIX):
        _refuse_hub_keys(config, "a stored version")
        return _version(name.removeprefix(VERSION_PREFIX), config, versions)
    if name.startswith(UPLOAD_PREFIX):
        _refuse_hub_keys(config, "an upload")
        return _uploads(name, config, versions)
    if name.startswith(BUILTIN_PREFIX):
        _refuse_hub_keys(config, "a built-in dataset")
        return _builtin(name.removeprefix(BUILTIN_PREFIX), config)
    if os.path.lexists(name):
        _refuse_hub_keys(config, "a local path")
        return read_local(name, config)
    refuse_missing_path(name)
    return read_hub(name, config)


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


def _uploads(name: str, config: ExperimentConfig, versions: VersionStore | None) -> Found:
    if versions is None:
        raise DataError("uploads cannot be read here", where="data.dataset_name")
    store = UploadStore(versions.data_dir)
    first, *rest = (store.get(one) for one in upload_ids(name))
    found = _upload(first, config, store)
    if not rest:
        return found
    if set(found.tables) != {"train"}:
        raise DataError(
            "the training file brings splits of its own, and another file is to validate",
            where=found.source,
            hint="name one of the two",
        )
    # The training file has chosen the columns; the other may not choose others.
    columns = found.tables["train"].columns
    told = {"text_column": columns.text, "label_column": columns.label, "text_pair_column": columns.pair}
    second = _upload(rest[0], config.model_copy(update={"data": config.data.model_copy(update=told)}), store)
    tables: dict[Role, Table] = {"train": found.tables["train"], "validation": second.tables["train"]}
    return Found(f"{found.source}+{rest[0].id}", tables, (*found.notes, *second.notes))


def _upload(upload: Upload, config: ExperimentConfig, store: UploadStore) -> Found:
    # Where it lies is this machine's business; what is said of it goes to whoever sent it.
    return read_local(str(store.file(upload)), read_as(config, upload), shown=f"{UPLOAD_PREFIX}{upload.id}")


def _builtin(name: str, config: ExperimentConfig) -> Found:
    shown = f"{BUILTIN_PREFIX}{name}"
    check_builtin(name)
    columns, _ = choose_columns(["label", "text"], columns_wanted(config), shown)
    content = resources.files("finetune30.data").joinpath(BUILTIN[name]).read_text("utf-8")
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
