"""Parquet is decoded in a process of its own: damage, bombs and crashes there are one error here (S74)."""

from __future__ import annotations

import io
import resource
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.data_cases import read

from finetune30.data.table import Columns
from finetune30.errors import DataError

pytestmark = pytest.mark.timeout(120)


def written(columns: dict[str, Any], **options: Any) -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), out, **options)
    return out.getvalue()


def bomb(characters: int, rows: int) -> bytes:
    """A few kilobytes that decode to ``characters * rows``."""
    import pyarrow

    places = pyarrow.array([0] * rows, pyarrow.int32())
    texts = pyarrow.DictionaryArray.from_arrays(places, pyarrow.array(["x" * characters]))
    return written({"text": texts, "label": [0, 1] * (rows // 2)}, compression="zstd", store_schema=False)


WHOLE = written({"text": ["a"] * 100, "label": [0, 1] * 50})


# A key of what a reader is told on its command line.
WANTED = '"wanted"'


def no_reader_is_left() -> bool:
    """Servers of other tests may run beside: only who was given a file of ours to read is one."""
    running = [child.cmdline() for child in psutil.Process().children() if "python" in child.name()]
    return not [line for line in running if any(WANTED in word for word in line)]


@pytest.mark.parametrize(
    "content",
    [
        WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1",
        WHOLE[:-8] + b"\x00\x00\x00\x00PAR1",
        WHOLE[:-60] + bytes(52) + WHOLE[-8:],
        WHOLE[:-4],
        WHOLE[:4],
        b"PAR1" + bytes(100) + b"PAR1",
        WHOLE[:4] + bytes(len(WHOLE) // 3) + WHOLE[4 + len(WHOLE) // 3 :],
    ],
)
def test_s74_a_corrupt_parquet_file_is_one_clear_error(content: bytes) -> None:
    with pytest.raises(DataError, match="the Parquet file cannot be read") as refused:
        read(content, ".parquet")

    assert refused.value.where == "rows.parquet"
    assert refused.value.hint
    assert no_reader_is_left()


# The rows so far lay in a nameless file, which goes with the table that is given up.
@pytest.mark.parametrize(("characters", "rows"), [(1 << 20, 20_000), (10 << 20, 10_000), (1000, 1_000_000)])
def test_s74_a_dictionary_bomb_is_refused_in_bounded_memory(characters: int, rows: int) -> None:
    content = bomb(characters, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()

    with pytest.raises(DataError, match=r"unpacks to more than 100 times its size|takes more than 4 GiB of memory"):
        read(content, ".parquet")

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 4 << 20
    assert time.monotonic() - began < 30
    assert no_reader_is_left()


def test_s74_a_text_that_is_too_long_for_one_is_refused_with_its_row() -> None:
    texts = ["fine", "x" * (70 << 20)]

    with pytest.raises(DataError, match="the row is longer than") as refused:
        read(written({"text": texts, "label": [0, 1]}, compression="none", use_dictionary=False), ".parquet")

    assert refused.value.where == "rows.parquet: row 1"


def test_s74_extension_types_are_refused_and_never_run() -> None:
    import pyarrow

    json_column = pyarrow.ExtensionArray.from_storage(pyarrow.json_(), pyarrow.array(['{"a": 1}']))
    uuids = pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), pyarrow.array([b"0" * 16], pyarrow.binary(16)))

    with pytest.raises(DataError, match=r"column 'text' holds extension<arrow\.json>, expected strings"):
        read(written({"text": json_column, "label": [1]}), ".parquet")
    with pytest.raises(DataError, match=r"column 'label' holds extension<arrow\.uuid>"):
        read(written({"text": ["a"], "label": uuids}), ".parquet")
    assert read(written({"text": ["a"], "label": [1], "id": uuids}), ".parquet").texts == ["a"]


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its reader was ended by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its reader was ended by SIGKILL"),
        ("raise SystemError('no such thing')", "SystemError: no such thing"),
        ("import os; os._exit(7)", "its reader ended with 7"),
        ("print('no arrow stream')", "its reader ended with 0"),
        ("import os; os.write(1, b'x' * 5000); os._exit(7)", "its reader ended with 7"),
    ],
)
def test_s74_whatever_happens_to_the_reading_process_is_one_error(
    code: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("finetune30.data.reading.parquet._WORKER", "crashing")

    with pytest.raises(DataError, match=fault) as refused:
        read(WHOLE, ".parquet")

    assert refused.value.where == "rows.parquet"
    assert no_reader_is_left()


def test_a_fault_in_a_row_ends_the_reading_process() -> None:
    with pytest.raises(DataError, match=r"the label is 0\.5") as refused:
        read(written({"text": ["a"] * 100_000, "label": [1.0] * 5000 + [0.5] * 95_000}), ".parquet")

    assert refused.value.where == "rows.parquet: row 5000"
    assert no_reader_is_left()


def test_row_groups_are_one_table_and_named_columns_are_taken() -> None:
    content = written({"a": [f"text {at}" for at in range(5000)], "b": list(range(5000))}, row_group_size=700)

    table = read(content, ".parquet", Columns("a", "b"))

    assert (table.texts[4999], table.labels[4999], table.notes, len(table.texts)) == ("text 4999", "4999", (), 5000)
    assert table.place(4999) == "row 4999"
