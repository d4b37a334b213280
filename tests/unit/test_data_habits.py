"""Habits of the programs and people that write CSV and TSV files: what is harmless is read and said."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.data_cases import configured, jsonl, read

from finetune30.data.local import read_local
from finetune30.data.table import Columns
from finetune30.errors import DataError

COMMAS = pytest.mark.parametrize(("ending", "comma"), [(".csv", ","), (".tsv", "\t")])


@COMMAS
def test_all_ragged_rows_are_counted_and_the_first_five_named_in_one_error(ending: str, comma: str) -> None:
    rows = ["fine,1", "one", "", "a,b,c", *["fine,0"] * 3, *["x,y,z,1"] * 5]

    with pytest.raises(DataError) as refused:
        read("\n".join(["text,label", *rows]).replace(",", comma), ending)

    assert refused.value.message == (
        "7 rows have another number of cells than the header (2): line 3 (row 1) has 1, line 5 (row 2) has 3, "
        "line 9 (row 6) has 4, line 10 (row 7) has 4, line 11 (row 8) has 4 and 2 more"
    )
    assert refused.value.where == f"rows{ending}"
    assert refused.value.hint


def test_quotes_that_end_the_counting_of_ragged_rows_are_said_too() -> None:
    with pytest.raises(DataError) as refused:
        read('text,label\none\nfine,1\n"open,2\n', ".csv")

    assert refused.value.where == "rows.csv: line 2 (row 0)"
    assert refused.value.message == (
        "the row has 1 cells, the header has 2; "
        "then line 4 (row 2): a quoted field that begins in this row is never closed"
    )


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".csv", "text,label\r\na,1\r\n"),
        (".csv", "text;label\r\na;1\r\n"),
        (".tsv", "text\tlabel\r\na\t1\r\n"),
        (".jsonl", jsonl({"text": "a", "label": 1})),
    ],
)
def test_a_ctrl_z_alone_at_the_end_is_the_end_of_the_file(ending: str, content: str) -> None:
    assert read(f"{content}\x1a", ending).texts == ["a"]


def test_a_ctrl_z_anywhere_else_is_a_character() -> None:
    assert read("text,label\na\x1a,1\n", ".csv").texts == ["a\x1a"]
    with pytest.raises(DataError, match="the row has 1 cells"):
        read("text,label\n\x1a\na,1\n", ".csv")


@COMMAS
@pytest.mark.parametrize("repeated", ["text,label", "\ufefftext,label"])
def test_a_row_that_repeats_the_header_is_skipped_and_said(ending: str, comma: str, repeated: str) -> None:
    content = f"text,label\na,1\nb,0\n{repeated}\nc,1\n{repeated}\nlabel,text\n".replace(",", comma)

    table = read(content, ending)

    assert (table.texts, table.labels) == (["a", "b", "c", "label"], ["1", "0", "1", "text"])
    assert table.notes[0] == f"rows{ending} repeats the header, skipped: line 4, line 6"
    assert table.place(2) == "line 5 (row 2)"


def test_a_fault_behind_a_repeated_header_has_the_row_number_that_the_table_has() -> None:
    with pytest.raises(DataError, match="the row has 3 cells") as refused:
        read("text,label\na,1\ntext,label\nb,0,more\n", ".csv")

    assert refused.value.where == "rows.csv: line 4 (row 1)"


def test_a_quoted_header_after_a_byte_order_mark_is_the_header_too() -> None:
    table = read('"text","label"\na,1\n\ufeff"text","label"\nb,0\n', ".csv")

    assert table.texts == ["a", "b"]


def test_gzip_files_joined_with_cat_are_one_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\na,1\n") + gzip.compress("\ufefftext,label\nb,0\n".encode()))

    table = read_local(str(path), configured(path)).tables["train"]

    assert table.texts == ["a", "b"]
    assert f"{path} repeats the header, skipped: line 3" in table.notes


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize(
    ("declared", "delimiter"), [("sep=;", ";"), ("SEP=,", ","), ('"sep=|"', "|"), ("sep=\t", "\t")]
)
def test_a_first_line_that_names_the_delimiter_is_no_header(
    mark: str, line_end: str, declared: str, delimiter: str
) -> None:
    lines = [declared, f"text{delimiter}label", f"so{delimiter}1", f"no{delimiter}0", ""]

    table = read(mark + line_end.join(lines), ".csv")

    assert (table.texts, table.labels) == (["so", "no"], ["1", "0"])
    assert table.place(0) == "line 3 (row 0)"


def test_a_named_delimiter_outweighs_the_one_that_the_rows_suggest() -> None:
    assert read("sep=;\ntext,x;label\na,b;1\nc,d;0\n", ".csv", Columns("text,x", "label")).texts == ["a,b", "c,d"]


def test_a_file_that_only_names_its_delimiter_is_called_empty() -> None:
    for content in ("sep=;", "sep=;\n", "sep=;\n;;\n"):
        with pytest.raises(DataError, match="the file is empty"):
            read(content, ".csv")


@COMMAS
@pytest.mark.parametrize("before", [",,,\n", "\n,\n , \n", ",\r\n"])
def test_lines_of_delimiters_alone_before_the_header_are_blank(ending: str, comma: str, before: str) -> None:
    table = read(f"{before}text,label\na,1\nb,0\n".replace(",", comma), ending)

    assert table.texts == ["a", "b"]
    assert table.place(0) == f"line {before.count(chr(10)) + 2} (row 0)"


def test_lines_of_delimiters_alone_do_not_hide_which_delimiter_it_is() -> None:
    assert read(";;\ntext;label\na;1\n", ".csv").texts == ["a"]


def test_lines_of_delimiters_alone_behind_the_header_are_rows() -> None:
    assert read("text,label\n,\na,1\n", ".csv").texts == ["", "a"]


@pytest.mark.parametrize(
    ("content", "delimiter", "texts"),
    [
        ('text, label\na, "1"\nb, "0"\n', ",", ["a", "b"]),
        ('"label", "text"\n"1", "so, so"\n"0", "no ""no"""\n', ",", ["so, so", 'no "no"']),
        ('label, text\n1, plain\n0, "so, so"\n1, fine\n', ",", ["plain", "so, so", "fine"]),
        ('label,text\n1,  "two\nlines"\n0,  "b"\n', ",", ["two\nlines", "b"]),
        ('label; text\n1; "so; so"\n0; "b"\n', ";", ["so; so", "b"]),
        ('sep=;\nlabel; text\n1; "so; so"\n0; "b"\n', ";", ["so; so", "b"]),
    ],
)
def test_quotes_behind_a_space_are_quotes_where_the_first_rows_are_written_so(
    content: str, delimiter: str, texts: list[str]
) -> None:
    table = read(content, ".csv", Columns("text", "label"))

    name = {",": "commas", ";": "semicolons"}[delimiter]
    assert table.texts == texts
    assert set(table.labels) == {"1", "0"}
    assert table.notes[-1] == f"rows.csv has spaces between {name} and quotes, skipped"


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('label,text\n1, "great" they said\n0, "poor" they said\n', [' "great" they said', ' "poor" they said']),
        ('label,text\n1,plain\n0,fine\n1, "odd"\n0,more\n', ["plain", "fine", ' "odd"', "more"]),
        ("label,text\n1, spaced\n0, more\n", [" spaced", " more"]),
        ('label,text\n1,"so, ""so"""\n0,"a, ""b"""\n', ['so, "so"', 'a, "b"']),
    ],
)
def test_a_space_stays_in_the_text_where_no_such_quotes_follow(content: str, texts: list[str]) -> None:
    table = read(content, ".csv", Columns("text", "label"))

    assert (table.texts, table.notes) == (texts, ())
