"""Reading CSV, TSV, JSON Lines and Parquet: cells stay what they were, faults name their line."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_cases import jsonl, read

from finetune30.data.table import Columns
from finetune30.errors import DataError

Rows = list[tuple[str, str]]
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
JSON_CELLS = st.text(st.characters(codec="utf-8"), max_size=30)
TSV_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\n\r"), max_size=30)


@given(st.lists(st.tuples(CELLS, CELLS)), st.sampled_from(["excel", "unix"]))
def test_what_a_csv_writer_writes_is_what_we_read(rows: Rows, dialect: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, dialect).writerows([("text", "label"), *rows])

    table = read(out.getvalue(), ".csv")

    assert list(zip(table.texts, table.labels, strict=True)) == rows


@given(st.lists(st.tuples(TSV_CELLS, TSV_CELLS)), st.sampled_from(["\r\n", "\n"]))
def test_what_stands_between_tabs_is_what_we_read(rows: Rows, line_end: str) -> None:
    content = "".join("\t".join(cells) + line_end for cells in [("text", "label"), *rows])

    table = read(content, ".tsv")

    assert list(zip(table.texts, table.labels, strict=True)) == rows


@given(st.lists(st.tuples(JSON_CELLS, JSON_CELLS)).filter(bool))
def test_what_json_lines_hold_is_what_we_read(rows: Rows) -> None:
    table = read(jsonl(*({"text": text, "label": label} for text, label in rows)), ".jsonl")

    assert list(zip(table.texts, table.labels, strict=True)) == rows


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_na_and_null_stay_texts_and_01_stays_a_label(ending: str) -> None:
    comma = "," if ending == ".csv" else "\t"
    table = read(f"text{comma}label\nNA{comma}01\nnull{comma}1\nnan{comma}1.0\n", ending)

    assert (table.texts, table.labels) == (["NA", "null", "nan"], ["01", "1", "1.0"])


def test_tsv_has_no_quoting() -> None:
    table = read('text\tlabel\n"so" he said\t1\n"open\t0\n', ".tsv")

    assert table.texts == ['"so" he said', '"open']


def test_csv_texts_may_hold_commas_quotes_and_line_feeds() -> None:
    table = read('text,label\n"one, ""two""\nthree",good\nfour,bad\n', ".csv")

    assert table.texts == ['one, "two"\nthree', "four"]
    assert table.place(1) == "line 4 (row 1)"


def test_line_separators_of_unicode_do_not_end_a_row() -> None:
    assert read("text\tlabel\na\u2028b\x0bc\x85d\t1\n", ".tsv").texts == ["a\u2028b\x0bc\x85d"]


def test_blank_lines_are_no_rows_and_lines_keep_their_numbers() -> None:
    for ending, comma in ((".csv", ","), (".tsv", "\t")):
        table = read(f"\ntext{comma}label\n\na{comma}1\n\r\nb{comma}2\n\n", ending)

        assert [table.place(row) for row in (0, 1)] == ["line 4 (row 0)", "line 6 (row 1)"]


@pytest.mark.parametrize(("ending", "comma"), [(".csv", ","), (".tsv", "\t")])
@pytest.mark.parametrize("cells", [["only"], ["one", "two", "three"]])
def test_a_ragged_row_is_named_with_its_line(ending: str, comma: str, cells: list[str]) -> None:
    content = f"text{comma}label\nfine{comma}1\n{comma.join(cells)}\n"

    with pytest.raises(DataError, match=f"the row has {len(cells)} cells, the header has 2") as refused:
        read(content, ending)

    assert refused.value.where == f"rows{ending}: line 3 (row 1)"


def test_a_quote_that_is_never_closed_is_named_where_it_opens() -> None:
    with pytest.raises(DataError, match="never closed") as refused:
        read('text,label\n\nfine,1\n"open,2\nmore,3\n', ".csv")

    assert refused.value.where == "rows.csv: line 4 (row 1)"


def test_a_field_beyond_the_readers_limit_is_named() -> None:
    with pytest.raises(DataError, match="a field is longer than 10,000,000 characters") as refused:
        read(f"text,label\nfine,1\n{'x' * 10_000_001},2\n", ".csv")

    assert refused.value.where == "rows.csv: line 3 (row 1)"


def test_a_long_document_is_one_field() -> None:
    assert read(f"text,label\n{'x' * 1_000_000},1\n", ".csv").texts == ["x" * 1_000_000]


def test_a_single_quote_inside_a_quoted_field_is_not_guessed_at() -> None:
    with pytest.raises(DataError, match="quotes are wrong in this row") as refused:
        read('text,label\n"he said "no" twice",1\n', ".csv")

    assert refused.value.where == "rows.csv: line 2 (row 0)"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_a_byte_order_mark_is_skipped_and_said(ending: str) -> None:
    content = {
        ".csv": "text,label\na,1\n",
        ".tsv": "text\tlabel\na\t1\n",
        ".jsonl": jsonl({"text": "a", "label": 1}),
    }

    table = read(b"\xef\xbb\xbf" + content[ending].encode(), ending)

    assert table.texts == ["a"]
    assert any("byte order mark" in note for note in table.notes)


@pytest.mark.parametrize(
    ("ending", "before", "place"),
    [
        (".csv", 'text,label\n"two\nlines",1\n', "line 4 (row 1)"),
        (".tsv", "text\tlabel\n\nfine\t1\n", "line 4 (row 1)"),
        (".jsonl", '{"text": "fine", "label": 1}\n', "line 2 (row 1)"),
        (".csv", "te", "line 1 (the header)"),
        (".csv", 'text,label\n"' + "x" * 200_000, "line 2 (row 0)"),
    ],
)
def test_bytes_that_are_not_utf8_name_their_row(ending: str, before: str, place: str) -> None:
    with pytest.raises(DataError, match="byte 0xe9 is not UTF-8") as refused:
        read(before.encode() + b"caf\xe9 bar,1\n" + "naïve,2\n".encode(), ending)

    assert refused.value.where == f"rows{ending}: {place}"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_an_empty_file_is_called_empty(ending: str) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        read(b"", ending)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_a_file_of_blank_lines_is_called_empty(ending: str) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        read("\n\n", ending)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"text": "a", "label"', "not valid JSON"),
        ('["a", 1]', "a JSON list, expected one JSON object a line"),
        ('{"text": 7, "label": 1}', "'text' is 7, expected a string"),
        ('{"text": ["a"], "label": 1}', "expected a string"),
        ('{"label": 1}', "the object has no 'text'"),
        ('{"text": "a", "label": [1, [2]]}', "expected a name, a whole number, or a list of these"),
        ('{"text": "a", "label": {"x": 1}}', "expected a name, a whole number, or a list of these"),
        ('{"text": "a", "label": 0.5}', "expected a name, a whole number, or a list of these"),
        ('{"text": "cut \\ud83d", "label": 1}', "half a surrogate pair"),
        ('{"text": "fine", "label": "\\uDE00"}', "half a surrogate pair"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_wrong_json_line_is_named(line: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault) as refused:
        read(jsonl({"text": "fine", "label": 1}) + line + "\n", ".jsonl")

    assert refused.value.where == "rows.jsonl: line 2 (row 1)"


def test_json_labels_may_be_numbers_names_or_truths_and_null_is_none() -> None:
    rows = [{"text": "a", "label": label} for label in (1, 2.0, "x", True, None, float("nan"))]

    assert read(jsonl(*rows, {"text": None}), ".jsonl").labels == ["1", "2", "x", "true", None, None, None]


def parquet(columns: dict[str, object]) -> bytes:
    import pyarrow
    from pyarrow import parquet as writer

    out = io.BytesIO()
    writer.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def test_parquet_strings_numbers_and_dictionaries_are_read() -> None:
    import pyarrow

    words = pyarrow.array(["a", None, "a"]).dictionary_encode()

    assert read(parquet({"text": words, "label": [1, 0, None]}), ".parquet").texts == ["a", "", "a"]
    assert read(parquet({"text": words, "label": [1, 0, None]}), ".parquet").labels == ["1", "0", None]
    assert read(parquet({"text": ["x"] * 3, "label": words}), ".parquet").labels == ["a", None, "a"]
    assert read(parquet({"text": ["x"] * 2, "label": [1.0, float("nan")]}), ".parquet").labels == ["1", None]


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"text": [1, 2], "label": [0, 1]}, "column 'text' holds int64, expected strings"),
        ({"text": ["a"], "label": [{"x": 1}]}, "column 'label' holds struct<x: int64>, expected names"),
        ({"text": ["a"], "label": [[[0]]]}, "expected a name, a whole number, or a list of these"),
        ({"text": ["a"], "label": [0.5]}, "expected a name, a whole number, or a list of these"),
    ],
)
def test_parquet_columns_of_the_wrong_type_are_refused(columns: dict[str, object], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read(parquet(columns), ".parquet")


def test_a_parquet_file_cut_short_is_refused() -> None:
    whole = parquet({"text": ["a"] * 100, "label": [1] * 100})

    with pytest.raises(DataError, match="the Parquet file cannot be read"):
        read(whole[: len(whole) // 2], ".parquet")


@pytest.mark.parametrize(
    ("header", "text", "label"),
    [
        ("sentence,label", "sentence", "label"),
        ("id,Review,Sentiment", "Review", "Sentiment"),
        ("label_text,label,text", "text", "label"),
        ("category,title,content", "content", "category"),
        ("類別,標題,內容", "內容", "類別"),
        ("编号,评论,情感", "评论", "情感"),
        ("留言,標籤", "留言", "標籤"),
        ("文本,text,分类", "text", "分类"),
        (" text , label\r", "text", "label"),
    ],
)
def test_columns_are_found_by_their_usual_names_and_said(header: str, text: str, label: str) -> None:
    table = read(f"{header}\n", ".csv")

    assert table.columns == Columns(text, label)
    assert table.notes == (f"columns found by name: text {text!r}, label {label!r}",)


def test_named_columns_are_taken_without_a_note() -> None:
    table = read("a,b,text\n1,2,3\n", ".csv", Columns("a", "b"))

    assert (table.texts, table.labels, table.notes) == (["1"], ["2"], ())


def test_a_missing_column_lists_those_found_and_the_nearest() -> None:
    with pytest.raises(DataError, match="no column 'Text'; the columns are 'text', 'label'") as refused:
        read("text,label\n", ".csv", Columns("Text", "label"))

    assert "did you mean 'text'?" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("header", "fault", "hint"),
    [
        ("v1,v2", "no text column found; the columns are 'v1', 'v2'", "data.text_column: NAME"),
        ("label_text,full_text", "no text column found", "data.text_column: full_text"),
        ("標籤名,評論全文", "no text column found", "data.text_column: 評論全文"),
        ("label,v2", "no text column found", "data.text_column: NAME"),
        ("text,v2", "no label column found", "data.label_column: NAME"),
        ("text,airline_sentiment", "no label column found", "data.label_column: airline_sentiment"),
        ("text,label,text", "two columns are called 'text'", "rename"),
    ],
)
def test_columns_that_cannot_be_found_say_how_to_name_them(header: str, fault: str, hint: str) -> None:
    with pytest.raises(DataError, match=fault) as refused:
        read(f"{header}\n", ".csv")

    assert hint in str(refused.value.hint)


def test_one_column_cannot_be_text_and_label() -> None:
    with pytest.raises(DataError, match="text and label are both column 'a'"):
        read("a,b\n", ".csv", Columns("a", "a"))
