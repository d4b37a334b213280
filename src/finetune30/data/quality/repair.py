"""A repaired copy of what was found, as one file: every safe fix made, each told with how many rows it touched.

Several splits are packed as a zip with a file for each. Neighbours: ``clean`` fixes, ``export`` writes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune30.data.export import SEPARATOR, Copy, keeps, write_files
from finetune30.data.prepare import Found
from finetune30.data.quality.clean import clean
from finetune30.data.table import Table
from finetune30.durable import remove

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

_ENDINGS = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Repaired:
    """What came of it.

    Attributes:
        format: Of the file, as its name's ending says it: ``csv``, ``jsonl``, ``zip``.
        options: Keys of ``data`` with which the copy is read; what is left out is found.
        fixes: Rows that each fix touched, by the check's name; empty where there was nothing to fix.
        rows: Rows of each split.
    """

    format: str
    options: dict[str, Any]
    fixes: dict[str, int]
    rows: dict[str, int]


def repair(found: Found, config: ExperimentConfig, folder: Path, ending: str) -> Repaired:
    """Write the copy into an empty folder, as ``data.<format>``; nothing where there is nothing to fix.

    Args:
        ending: Of the file it came from; another is taken where that could not keep every text.
    Raises: DataError where no row of a split would be left.
    """
    cleaned = clean(found, config)
    rows = {str(role): len(table.texts) for role, table in cleaned.tables.items()}
    copies = {role: Copy(table, cleaned.rows[role]) for role, table in cleaned.tables.items()}
    if ending not in _ENDINGS or not keeps(copies, ending):
        ending = ".jsonl"
    options = read_with(cleaned.tables["train"], ending, config)
    several = len(copies) > 1
    if cleaned.fixes:
        out = folder / ("splits" if several else f"data{ending}")
        files, _ = write_files(copies, out, folder_ending=ending)
        if several:
            with zipfile.ZipFile(folder / "data.zip", "x", zipfile.ZIP_DEFLATED) as pack:
                for file in files:
                    pack.write(file, file.name)
            remove(out)
    return Repaired("zip" if several else ending[1:], options, dict(cleaned.fixes), rows)


def read_with(table: Table, ending: str, config: ExperimentConfig) -> dict[str, Any]:
    """The keys of ``data`` that reading a copy needs; other columns are found by their names."""
    data = config.data
    keys: Mapping[str, Any] = {
        "text_column": data.text_column,
        "label_column": None if table.columns.flags else data.label_column,
        "text_pair_column": table.columns.pair,
        "label_columns": list(table.columns.flags) or None,
    }
    found = {key: value for key, value in keys.items() if value is not None}
    if table.labels.several and not table.columns.flags and ending in (".csv", ".tsv"):
        found["label_separator"] = table.columns.separator or SEPARATOR
    return found
