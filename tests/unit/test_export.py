"""Tables as files again: every format read back as it was, whole or not at all, nothing overwritten."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data_cases import configured
from tests.version_cases import ODD, listed

from finetune30.data import Found, export, find
from finetune30.data.roles import Role
from finetune30.data.table import Cell, Columns, Table, TableWriter
from finetune30.errors import DataError, StorageError


def copies(tables: Mapping[Role, Table]) -> dict[Role, export.Copy]:
    return {role: export.Copy(table, np.arange(len(table.texts))) for role, table in tables.items()}


def write_files(tables: Mapping[Role, Table], out: Path, folder_ending: str = ".jsonl") -> tuple[list[Path], int]:
    return export.write_files(copies(tables), out, folder_ending=folder_ending)


def keeps(tables: Mapping[Role, Table], ending: str) -> bool:
    return export.keeps(copies(tables), ending)


FORMATS = [".csv", ".tsv", ".jsonl", ".parquet"]
RUN = ["=1+1", "+1-1", "-x", "@SUM(A1)", "\tx", "\rx"]


def table(rows: Sequence[tuple[str, Cell] | tuple[str, Cell, str]]) -> Table:
    columns = Columns("text", "label", "text_pair" if rows and len(rows[0]) > 2 else None)
    writer = TableWriter("made by the test", columns, has_lines=False)
    for row in rows:
        writer.add(row[0], row[1], pair=row[2] if len(row) > 2 else None)
    return writer.finish()


def rows_of(table: Table) -> list[tuple]:
    pairs = [()] * len(table.texts) if table.pairs is None else [(pair,) for pair in table.pairs]
    return [(text, label, *pair) for text, label, pair in zip(table.texts, table.labels, pairs, strict=True)]


def read_back(out: Path, **data: object) -> Found:
    return find(configured(out, **data))


PLAIN = [
    ("one", "a"),
    ("two, and a comma", "b"),
    ('a "quote"', "c d"),
    ("微笑 😀", "好"),
    ("NA", "null"),
    ("  x ", "-1"),
]
SEVERAL = [("one", ("a", "b")), ("two", ()), ("three", ("c",))]
PAIRS = [("one", "a", "two"), ("", "b", "NA"), ("three", "a", "")]
KINDS = {"plain": PLAIN, "several": SEVERAL, "pairs": PAIRS}


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_read_back_as_it_was(tmp_path: Path, ending: str, kind: str) -> None:
    told = {"pairs": {"text_pair_column": "text_pair"}}.get(kind, {})
    if kind == "several" and ending in (".csv", ".tsv"):
        told = {"label_separator": "|"}
    out = tmp_path / f"out{ending}"

    written, apostrophes = write_files({"train": table(KINDS[kind])}, out)

    assert (written, apostrophes) == ([out], 0)
    assert rows_of(read_back(out, **told).tables["train"]) == KINDS[kind]
    assert listed(tmp_path) == [out.name]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_folder_holds_a_file_for_each_split(tmp_path: Path, ending: str) -> None:
    tables = {"train": table(PLAIN), "validation": table(PLAIN[:2]), "test": table(PLAIN[1:4])}
    out = tmp_path / "new" / "fixed"

    written, _ = write_files(tables, out, folder_ending=ending)

    assert written == [out / f"{role}{ending}" for role in tables]
    found = read_back(out).tables
    assert {role: rows_of(one) for role, one in found.items()} == {role: rows_of(one) for role, one in tables.items()}
    assert listed(out.parent) == ["fixed"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_texts_of_several_lines_and_odd_texts_are_read_back(tmp_path: Path, ending: str) -> None:
    rows = [(text, "ab"[at % 2]) for at, text in enumerate(ODD) if ending != ".csv" or text[0] != "="]

    write_files({"train": table(rows)}, tmp_path / f"out{ending}")

    assert rows_of(read_back(tmp_path / f"out{ending}").tables["train"]) == rows


TEXTS = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("=+-@\t\r\n\"',10"), min_size=1, max_size=8)


@settings(max_examples=60)
@given(st.lists(st.tuples(TEXTS, st.sampled_from(["a", "b c", "好", "0", "-1"])), min_size=1, max_size=8))
def test_csv_and_json_lines_say_the_same_as_memory(rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".csv", ".jsonl"):
            out = Path(folder) / f"out{ending}"
            _, apostrophes = write_files({"train": table(rows)}, out)

            found = rows_of(read_back(out).tables["train"])
            run = [bool(re.match(r"[=+\-@\t\r](?<![+-](?=[0-9]+\Z))", text)) for text, _ in rows]
            if ending == ".csv":
                changed = [(f"'{text}" if bad else text, label) for (text, label), bad in zip(rows, run, strict=True)]
                assert (found, apostrophes) == (changed, sum(run))
            else:
                assert (found, apostrophes) == (rows, 0)


def test_s72_what_a_spreadsheet_would_run_gets_an_apostrophe_in_a_csv_alone(tmp_path: Path) -> None:
    rows = [(text, "a") for text in (*RUN, "fine = fine")]

    for ending in FORMATS:
        fitting = rows if ending != ".tsv" else [row for row in rows if row[0][0] not in "\t\r"]
        written, apostrophes = write_files({"train": table(fitting)}, tmp_path / f"out{ending}")
        texts = [*read_back(written[0]).tables["train"].texts]
        if ending == ".csv":
            assert texts == [*(f"'{text}" for text in RUN), "fine = fine"]
            assert apostrophes == len(RUN)
        else:
            assert texts == [text for text, _ in fitting]
            assert apostrophes == 0


def test_labels_and_second_texts_are_cells_too_and_a_number_is_only_a_number(tmp_path: Path) -> None:
    write_files({"train": table([("x", "=a", "@b"), ("-1", "-1", "+2")])}, tmp_path / "out.csv")

    assert rows_of(read_back(tmp_path / "out.csv", text_pair_column="text_pair").tables["train"]) == [
        ("x", "'=a", "'@b"),
        ("-1", "-1", "+2"),
    ]


@pytest.mark.parametrize(
    ("rows", "kept_by"),
    [
        ([("one", "a")], FORMATS),
        ([("one", "-1")], FORMATS),
        ([("=one", "a")], [".tsv", ".jsonl", ".parquet"]),
        ([("one", "=a")], [".tsv", ".jsonl", ".parquet"]),
        ([("one", "a", "@two")], [".tsv", ".jsonl", ".parquet"]),
        ([("line\nfeed", "a")], [".csv", ".jsonl", ".parquet"]),
        ([("one", ("a|b", "c"))], [".jsonl", ".parquet"]),
    ],
)
def test_it_is_known_which_formats_keep_every_cell(rows: list, kept_by: list[str]) -> None:
    assert [ending for ending in FORMATS if keeps({"train": table(rows)}, ending)] == kept_by


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_label_that_holds_the_separator_is_refused(tmp_path: Path, ending: str) -> None:
    with pytest.raises(DataError, match=r"'a\|b' holds \|"):
        write_files({"train": table([("one", ("a|b", "c"))])}, tmp_path / f"out{ending}")

    assert listed(tmp_path) == []


@pytest.mark.parametrize("mark", ["\t", "\n", "\r", "\r\n"])
def test_a_text_that_a_tsv_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path, mark: str) -> None:
    tables = {"train": table([("fine", "a")]), "validation": table([("fine", "a"), (f"torn{mark}text", "b")])}

    with pytest.raises(DataError, match=r"row 1 .*tab or a line end"):
        write_files(tables, tmp_path / "out", folder_ending=".tsv")

    assert listed(tmp_path) == []


@pytest.mark.parametrize("out", ["out.xlsx", "out.json", "out.csv.gz", "out.pkl", "out.txt"])
def test_a_format_that_cannot_be_written_is_refused(tmp_path: Path, out: str) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_files({"train": table(PLAIN)}, tmp_path / out)


def test_several_splits_do_not_go_into_one_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 splits do not fit into one file"):
        write_files({"train": table(PLAIN), "test": table(PLAIN)}, tmp_path / "out.csv")

    assert listed(tmp_path) == []


@pytest.mark.parametrize("there", ["file", "folder", "full folder", "link", "dead link"])
@pytest.mark.parametrize("name", ["out.csv", "out"])
def test_nothing_is_overwritten(tmp_path: Path, there: str, name: str) -> None:
    out = tmp_path / name
    if there == "file":
        out.write_text("mine")
    elif "link" in there:
        out.symlink_to(tmp_path / ("nowhere" if there == "dead link" else "."))
    else:
        out.mkdir()
        if there == "full folder":
            (out / "train.csv").write_text("mine")
    before = {path: path.lstat() for path in tmp_path.rglob("*")}

    with pytest.raises(DataError, match="exists already"):
        write_files({"train": table(PLAIN)}, out)

    assert {path: path.lstat() for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("name", ["out.csv", "out"])
def test_of_two_that_write_at_once_one_wins_and_the_other_is_told(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is taken after it was looked at: by a thread that stands in for another process."""
    looked = threading.Event()

    def slow(*given: object) -> None:
        if not looked.is_set():
            looked.set()
            monkeypatch.setattr(os, "getpid", lambda: 1)
            write_files({"train": table(PLAIN[:2])}, tmp_path / name)
            monkeypatch.undo()

    monkeypatch.setattr(export, "make_readable", slow)
    with pytest.raises(DataError, match="exists already"):
        write_files({"train": table(PLAIN)}, tmp_path / name)

    assert rows_of(read_back(tmp_path / name).tables["train"]) == PLAIN[:2]
    assert listed(tmp_path) == [name]


WRITE = """
import sys
from pathlib import Path
from finetune30.errors import StorageError
from tests.unit.test_export import table, write_files
rows = [(f"text {at} " * 99, "ab"[at % 2]) for at in range(4000)]
try:
    write_files({"train": table(rows)}, Path(sys.argv[1]), folder_ending=sys.argv[2])
except StorageError as fault:
    print(fault)
"""


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("folder", [False, True])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, ending: str, folder: bool) -> None:
    """A limit on the size of files stands in for it: the write fails in the middle, as it would there."""
    out = tmp_path / ("out" if folder else f"out{ending}")
    # Parquet packs these rows, so its limit is lower.
    limit = 4 << 10 if ending == ".parquet" else 1 << 20
    program = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n{WRITE}"

    done = subprocess.run(
        [sys.executable, "-B", "-c", program, str(out), ending],
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip

    assert "cannot be written" in done.stdout, done.stderr
    assert listed(tmp_path) == []


def test_a_place_that_is_no_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(StorageError, match="cannot be written"):
        write_files({"train": table(PLAIN)}, tmp_path / "file" / "out.csv")
