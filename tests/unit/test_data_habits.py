"""Habits of the programs and people that write CSV and TSV files: what is harmless is read and said."""

from __future__ import annotations

import pytest
from tests.data_cases import jsonl, read

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
