"""What the tests of the data room share: a configuration in one line, a data file in one line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from finetune30.config import ExperimentConfig, from_mapping
from finetune30.data.reading.files import read_table
from finetune30.data.table import Columns, Table


def configured(
    name: str | Path,
    *,
    seed: int = 42,
    num_labels: int | None = None,
    rules: Mapping[str, Any] | None = None,
    **data: Any,
) -> ExperimentConfig:
    """A configuration for this dataset; ``data`` are keys of its section."""
    section = {"dataset_name": str(name), "validation_rules": dict(rules or {}), **data}
    return from_mapping({"seed": seed, "model": {"num_labels": num_labels}, "data": section})


def write_tsv(path: Path, rows: Iterable[tuple[str, object]], header: str = "text\tlabel") -> Path:
    """A TSV file of (text, label) rows."""
    lines = [header, *(f"{text}\t{label}" for text, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def balanced(count: int, labels: Iterable[object] = ("bad", "good")) -> list[tuple[str, object]]:
    """``count`` rows with distinct texts, the labels taking turns."""
    turns = list(labels)
    return [(f"text number {at}", turns[at % len(turns)]) for at in range(count)]


def read(content: str | bytes, ending: str, wanted: Columns | None = None, encoding: str | None = None) -> Table:
    """What the reader makes of a file with this content, called ``rows`` and the ending."""
    with tempfile.TemporaryFile() as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.seek(0)
        return read_table(file, ending, where=f"rows{ending}", wanted=wanted or Columns(), encoding=encoding)


def jsonl(*rows: object) -> str:
    """One JSON document a line."""
    return "".join(json.dumps(row) + "\n" for row in rows)
