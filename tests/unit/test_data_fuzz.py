"""Whatever bytes a file holds, reading it gives rows or a DataError, never anything else."""

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data_cases import configured, jsonl
from tests.packed_cases import ARCHIVE, PACK

from finetune30.data.local import read_local
from finetune30.errors import DataError

CSV = 'text,label\n"one, ""two""\nthree",good\ncafé 你好,bad\n'.encode()
TSV = CSV.replace(b",", b"\t")
JSONL = jsonl({"text": "café 😀", "label": 1}, {"text": "b", "label": ["x", "y"]}).encode()
FILES = {"train.csv": CSV, "dev.tsv": TSV}
VALID: dict[str, bytes] = {
    ".csv": CSV,
    ".tsv": TSV,
    ".jsonl": JSONL,
    **{f".csv{kind}": pack(CSV * 5) for kind, pack in PACK.items()},
    ".jsonl.gz": gzip.compress(JSONL),
    **{ending: pack(FILES) for ending, pack in ARCHIVE.items()},
}
ENCODINGS = (
    None,
    None,
    "utf-8",
    "utf-16",
    "utf-16-le",
    "big5",
    "gb18030",
    "latin-1",
    "cp1252",
    "shift_jis",
    "utf-32",
    "hz",
)

Change = tuple[int, int, bytes]  # where, how many bytes go, what comes instead
CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 20), st.binary(max_size=8)), max_size=6)


def changed(content: bytes, changes: list[Change]) -> bytes:
    for at, gone, instead in changes:
        at %= len(content) + 1
        content = content[:at] + instead + content[at + gone :]
    return content


def rows_or_data_error(ending: str, content: bytes, encoding: str | None) -> int | None:
    """How many rows were read; None if a DataError told what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{ending}"
        path.write_bytes(content)
        try:
            found = read_local(str(path), configured(path, encoding=encoding))
        except DataError:
            return None
        return sum(len([*table.texts]) + len([*table.labels]) for table in found.tables.values())


@pytest.mark.parametrize("ending", VALID)
def test_the_files_before_they_are_changed_are_read(ending: str) -> None:
    assert rows_or_data_error(ending, VALID[ending], None)


@given(st.sampled_from(sorted(VALID)), st.binary(max_size=300), st.sampled_from(ENCODINGS))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_rows_or_a_data_error(ending: str, content: bytes, encoding: str | None) -> None:
    rows_or_data_error(ending, content, encoding)


@given(st.sampled_from(sorted(VALID)), CHANGES, st.sampled_from(ENCODINGS))
@settings(max_examples=600, deadline=None)
def test_a_changed_file_is_rows_or_a_data_error(ending: str, changes: list[Change], encoding: str | None) -> None:
    rows_or_data_error(ending, changed(VALID[ending], changes), encoding)


@given(st.sampled_from((".csv", ".tsv", ".jsonl")), st.text(max_size=100), st.sampled_from(ENCODINGS))
@settings(max_examples=300, deadline=None)
def test_any_text_behind_a_header_is_rows_or_a_data_error(ending: str, text: str, encoding: str | None) -> None:
    content = text.encode(encoding or "utf-8", "replace")

    rows_or_data_error(ending, VALID[ending] + content, encoding)


@given(CHANGES)
@settings(max_examples=12, deadline=None)
def test_a_changed_parquet_file_is_rows_or_a_data_error(changes: list[Change]) -> None:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["a", "b"] * 50, "label": [0, 1] * 50}), out)

    rows_or_data_error(".parquet", changed(out.getvalue(), changes), None)
