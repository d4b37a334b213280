"""What the tests of dataset versions share: rows in one line, a store in a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune30.data import Split, Splits, load
from finetune30.data.versions import DatasetVersion, VersionStore
from tests.data_cases import configured

ODD = [
    "NA",
    "null",
    "line\nfeed",
    "return\r\nfeed",
    'a "quote", and a comma',
    "微笑 😀",
    "  spaces  ",
    "=1+1",
    "tab\tbed",
]
"""Texts that some format, or some reader, would change."""

Row = tuple[Any, ...]
"""Text, label (a list: several), and the second text of a pair."""


def split_of(rows: Sequence[Row], names: Sequence[str]) -> Split:
    several = any(isinstance(row[1], list) for row in rows)
    labels = [[int(name in row[1]) for name in names] if several else names.index(row[1]) for row in rows]
    pairs = [row[2] for row in rows] if rows and len(rows[0]) > 2 else None
    return Split([row[0] for row in rows], np.array(labels, np.int64), np.arange(len(rows)), pairs)


def splits_of(
    train: Sequence[Row],
    validation: Sequence[Row],
    test: Sequence[Row] | None = None,
    *,
    names: Sequence[str] | None = None,
    source: str = "made by the test",
) -> Splits:
    """Splits with these rows; labels are sorted by name unless ``names`` orders them."""
    told = [row[1] for row in [*train, *validation, *(test or ())]]
    several = any(isinstance(label, list) for label in told)
    names = names or sorted({name for label in told for name in (label if several else [label])})
    return Splits(
        split_of(train, names),
        split_of(validation, names),
        None if test is None else split_of(test, names),
        tuple(names),
        source,
        ("made by the test",),
        {},
        several,
    )


def plain(count: int = 20, word: str = "text") -> Splits:
    """Rows of two labels; another ``word`` makes another version."""
    rows = [(f"{word} {at}", "ab"[at % 2]) for at in range(count)]
    return splits_of(rows, [("held out a", "a"), ("held out b", "b")])


def frozen(store: VersionStore, splits: Splits) -> DatasetVersion:
    return store.freeze(splits, {"dataset_name": splits.source}, {})


def again(store: VersionStore, name: str | Path, **data: Any) -> Splits:
    """The rows as a run reads them from a version, a tag or a folder."""
    return load(configured(name, **data), store)


def unused(_: str) -> list[str]:
    """No run uses any version."""
    return []


def listed(folder: Path) -> list[str]:
    """The names in a folder, in order."""
    return sorted(path.name for path in folder.iterdir())
