"""Text files made to break a reader: each is one error that names line and row, at once and in little memory.

The numbers S71 to S77 are those of the project's list of attacks.
"""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import pytest
from tests.data_cases import balanced, configured, jsonl, read, write_tsv

from finetune30.data import load
from finetune30.data.reading.files import read_table
from finetune30.data.table import Columns
from finetune30.errors import DataError

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    ("ending", "content", "fault", "place"),
    [
        (".csv", 'text,label\n"' + "x" * 10_000_001 + '",1\n', "a field is longer than 10,000,000", "line 2 (row 0)"),
        (".csv", "text,label\na,1\n" + "x" * 10_000_001 + ",1\n", "a field is longer than 10,000", "line 3 (row 1)"),
        (
            ".csv",
            "a," * 1_000_000 + "text,label\n",
            "there are 1,000,002 columns, expected",
            "line 1 (the header)",
        ),
        (".tsv", "a\t" * 1_000_000 + "text\tlabel\n", "there are 1,000,002 columns", "line 1 (the header)"),
        (".csv", "text,label\n" + "a," * 1_000_000 + "1\n", "the row has 1000001 cells", "line 2 (row 0)"),
        (".csv", 'text,label\na,1\n"b\n\nc,2\nd,3\n', "begins in this row is never closed", "line 3 (row 1)"),
        (".csv", 'text,label\n"a"b,1\n', "quotes are wrong in this row", "line 2 (row 0)"),
        (".csv", "text,label\na,1\nb\0c,2\n", "a NUL byte", "line 3 (row 1)"),
        (".csv", 'text,label\n"a\n\0",1\n', "a NUL byte", "line 2 (row 0)"),
        (".tsv", "text\tlabel\na\t1\n\nb\0\t2\n", "a NUL byte", "line 4 (row 1)"),
        (".csv", "te\0xt,label\n", "a NUL byte", "line 1 (the header)"),
        (".csv", "text,label\ra,1\rb\rc,2\r", "the row has 1 cells", "line 3 (row 1)"),
        (".tsv", "text\tlabel\ra\t1\rb\r", "the row has 1 cells", "line 3 (row 1)"),
        (".csv", "text,label\r\na,1\rb,2\nc\r\n", "the row has 1 cells", "line 4 (row 2)"),
        (".csv", "text,label\na,1\nb,2,,\nc,2,,x\n", "the row has 4 cells", "line 4 (row 2)"),
        (".csv", "text,label\n" + '"\n",' * 4_300_000, "the row is longer than 16,777,216", "line 2 (row 0)"),
        (".csv", 'text,label\n"' + "\n" * 10_000_001, "a field is longer than 10,000,000", "line 2 (row 0)"),
        (".tsv", "text\tlabel\n" + "x" * (16 << 20), "the row is longer than 16,777,216", "line 2 (row 0)"),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, str) else None,
)
def test_s71_a_broken_csv_or_tsv_file_names_the_row(ending: str, content: str, fault: str, place: str) -> None:
    with pytest.raises(DataError, match=fault) as refused:
        read(content, ending)

    assert refused.value.where == f"rows{ending}: {place}"


def test_s71_mixed_encodings_name_every_broken_place_and_are_not_taken_for_latin1() -> None:
    lines = [f"caf\xe9 {at},1\n".encode("latin-1" if at in (3, 5, 7, 9, 11, 13, 15) else "utf-8") for at in range(20)]

    with pytest.raises(DataError, match="byte 0xe9 is not UTF-8; 6 more broken lines") as refused:
        read(b"text,label\n" + b"".join(lines), ".csv")

    assert refused.value.where == "rows.csv: line 5 (row 3)"
    listed = "line 7 (row 5), line 9 (row 7), line 11 (row 9), line 13 (row 11), line 15 (row 13) and 1 more"
    assert listed in refused.value.message
    assert "mend these lines" in str(refused.value.hint)


def test_s71_a_file_full_of_broken_lines_is_not_counted_to_its_end() -> None:
    content = b"text\tlabel\n" + "größer\t1\n".encode() * 2000 + b"gr\xf6\xdfer\t1\n" * 20_000

    with pytest.raises(DataError, match="byte 0xf6 is not UTF-8; at least 9999 more broken lines") as refused:
        read(content, ".tsv")

    assert refused.value.where == "rows.tsv: line 2002 (row 2000)"


def test_s71_a_broken_byte_inside_a_quoted_text_is_named_by_its_own_line_and_row() -> None:
    content = 'text,label\né,1\n"two\nlin\udce9s",1\n'.encode("utf-8", "surrogateescape")

    with pytest.raises(DataError, match="byte 0xe9 is not UTF-8") as refused:
        read(content, ".csv")

    assert refused.value.where == "rows.csv: line 4 (row 1)"


def test_s71_one_broken_byte_in_a_big5_file_is_named_too() -> None:
    rows = "".join(f"飯店的床很舒服，我們都睡得很好{at},1\n" for at in range(20))
    content = ("text,label\n" + rows).encode("cp950").replace("好7".encode("cp950"), b"\xff7")

    with pytest.raises(DataError, match="byte 0xff is not Big5") as refused:
        read(content, ".csv")

    assert refused.value.where == "rows.csv: line 9 (row 7)"


class Endless(io.RawIOBase):
    """A file that begins like this and then repeats one byte for a gigabyte."""

    def __init__(self, start: bytes, byte: bytes) -> None:
        super().__init__()
        self.start, self.byte, self.at = start, byte, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset
        return offset

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        part = self.start[self.at : self.at + len(buffer)] or self.byte * min(len(buffer), (1 << 30) - self.at)
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)


def endless(start: bytes, byte: bytes = b"x") -> BinaryIO:
    return io.BufferedReader(Endless(start, byte))


@pytest.mark.parametrize(
    ("ending", "file", "place"),
    [
        (".jsonl", endless(b'{"text": "a", "label": 1}\n{"text": "'), "line 2 (row 1)"),
        (".csv", endless(b'text,label\na,1\n"'), "line 3 (row 1)"),
        (".csv", endless(b"text,label\na,1\n"), "line 3 (row 1)"),
        (".tsv", endless(b"text\tlabel\na\t1\n"), "line 3 (row 1)"),
    ],
)
def test_s73_one_line_of_a_gigabyte_is_refused_without_holding_it(ending: str, file: BinaryIO, place: str) -> None:
    tracemalloc.start()
    with pytest.raises(DataError, match="longer than") as refused:
        read_table(file, ending, where="rows", wanted=Columns())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert refused.value.where == f"rows: {place}"
    assert peak < 200 << 20


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("7", "a JSON int, expected one JSON object a line"),
        ("null", "a JSON NoneType"),
        ('"text"', "a JSON str"),
        ('[{"text": "a", "label": 1}]', "a JSON list"),
        ('{"text": "cut \\ud800", "label": 1}', "half a surrogate pair"),
        ('{"text": "a", "label": ["\\ud800"]}', "half a surrogate pair"),
        ('{"\\udfff": 0, "text": "a", "label": 1}', "half a surrogate pair"),
        ('{"text": "a", "label": ' + "[" * 10_000 + "]" * 10_000 + "}", "not valid JSON"),
        ('{"text": "a", "label": ' + "[" * 600 + "]" * 600 + "}", "a list of lists|expected a name"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "not valid JSON"),
        ('{"text": "a", "label": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"text": "a", "label": 1e999}', "the label is inf"),
        ('{"text": "a\x01", "label": 1}', "not valid JSON"),
        ("{'text': 'a', 'label': 1}", "not valid JSON"),
        ('{"text": "a", "label": 1} {"text": "b", "label": 2}', "not valid JSON"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_s73_a_broken_json_line_names_its_line(line: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault) as refused:
        read(jsonl({"text": "é", "label": 1}) + "\n" + line + "\n", ".jsonl")

    assert refused.value.where == "rows.jsonl: line 3 (row 1)"


@pytest.mark.parametrize(
    ("ending", "content"),
    [(".csv", "title,label\n"), (".tsv", "title\tlabel\n"), (".jsonl", jsonl({"title": "a", "label": 1}))],
)
def test_s75_a_missing_text_column_names_those_there_are(ending: str, content: str) -> None:
    with pytest.raises(DataError, match="no column 'text'; the columns are 'title', 'label'"):
        read(content, ending, Columns("text", "label"))


@pytest.mark.parametrize(
    ("header", "rows", "fault"),
    [("text\tlabel", [], "the split has no rows"), ("text\tlabel", [(" ", "a"), ("", "b")], "no usable row is left")],
)
def test_s75_a_file_without_a_usable_row_is_refused(
    tmp_path: Path, header: str, rows: list[tuple[str, object]], fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        load(configured(write_tsv(tmp_path / "rows.tsv", rows, header)))


@pytest.fixture
def beside_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with files that a pattern or a chain of addresses could reach."""
    monkeypatch.chdir(tmp_path)
    write_tsv(tmp_path / "train.tsv", balanced(20))


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/",
        "http://localhost:6379/",
        "https://[::1]/rows.csv",
        "http://0x7f000001/rows.csv",
        "http://0.0.0.0/rows.csv",
        "file:///etc/passwd",
        "file://train.tsv",
        "gopher://localhost/train.tsv",
    ],
)
@pytest.mark.usefixtures("beside_files")
def test_s76_addresses_are_never_fetched(address: str) -> None:
    with pytest.raises(DataError, match="neither an existing path nor a hub id") as refused:
        load(configured(address))

    assert "addresses are not fetched" in str(refused.value.hint)


@pytest.mark.parametrize(
    "name",
    [
        "hf://datasets/ana/tiny/train.tsv",
        "s3://bucket/train.tsv",
        "zip://train.tsv::http://localhost/a.zip",
        "simplecache::http://localhost/train.tsv",
        "**/*",
        "*.tsv",
        "[t]rain.tsv",
        "~",
        "~/train.tsv",
        "~root",
        "$HOME/train.tsv",
        "../*/train.tsv",
    ],
)
@pytest.mark.usefixtures("beside_files")
def test_s77_chains_of_addresses_and_patterns_are_never_resolved(name: str) -> None:
    with pytest.raises(DataError, match=r"neither an existing path nor a hub id|no such file or folder"):
        load(configured(name))


def test_a_label_that_json_writes_as_text_is_the_same_label_everywhere() -> None:
    rows = [{"text": "a", "label": "1"}, {"text": "b", "label": 1}, {"text": "c", "label": 1.0}]

    assert set(read("".join(json.dumps(row) + "\n" for row in rows), ".jsonl").labels) == {"1"}
