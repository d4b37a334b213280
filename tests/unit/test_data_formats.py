"""Several labels, second texts and flags mean the same in every format."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from tests.data_cases import configured, jsonl, read

from finetune30.data.hub import tables_of
from finetune30.data.table import Columns, Table
from finetune30.errors import DataError

FORMATS = ("csv", "tsv", "jsonl", "parquet", "hub")


def tabled(kind: str, columns: dict[str, Sequence[Any]], wanted: Columns) -> Table:
    """The table of a file, or a hub dataset, with these columns."""
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if kind == "hub":
        from datasets import Dataset

        keys = {"text_column": wanted.text, "label_column": wanted.label, "text_pair_column": wanted.pair}
        more = {"label_separator": wanted.separator, "label_columns": [*wanted.flags] or None}
        config = configured("ana/tiny", **keys, **more)
        return tables_of({"train": Dataset.from_dict(dict(columns))}, "ana/tiny", config).tables["train"]
    if kind == "parquet":
        import pyarrow
        from pyarrow import parquet

        out = io.BytesIO()
        parquet.write_table(pyarrow.table(dict(columns)), out)
        return read(out.getvalue(), ".parquet", wanted)
    if kind == "jsonl":
        return read(jsonl(*rows), ".jsonl", wanted)
    comma = "," if kind == "csv" else "\t"
    lines = [columns, *(map(str, row.values()) for row in rows)]
    return read("".join(comma.join(line) + "\n" for line in lines), f".{kind}", wanted)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_separator_splits_the_labels_of_a_row(kind: str) -> None:
    columns = {"text": ["a", "b", "c"], "tags": ["x|y", "y| x", "z"]}

    table = tabled(kind, columns, Columns("text", "tags", separator="|"))

    assert table.labels == [("x", "y"), ("x", "y"), ("z",)]
    assert table.labels.several


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_of_flags_tell_the_labels_of_a_row(kind: str) -> None:
    columns = {"text": ["a", "b", "c"], "rude": [1, 0, 1], "loud": [1, 0, 0]}

    table = tabled(kind, columns, Columns("text", flags=("rude", "loud")))

    assert table.labels == [("loud", "rude"), (), ("rude",)]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "hub"])
def test_flags_may_be_truths(kind: str) -> None:
    columns = {"text": ["a", "b"], "rude": [True, False], "loud": [True, True]}

    assert tabled(kind, columns, Columns("text", flags=("rude", "loud"))).labels == [("loud", "rude"), ("loud",)]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_flag_that_is_neither_0_nor_1_is_named_with_its_row(kind: str) -> None:
    columns = {"text": ["a", "b"], "rude": [1, 2]}

    with pytest.raises(DataError, match="column 'rude' is '2', expected 0 or 1") as refused:
        tabled(kind, columns, Columns("text", flags=("rude",)))

    assert "row 1" in str(refused.value.where)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "hub"])
def test_a_list_of_labels_is_several_labels(kind: str) -> None:
    columns = {"text": ["a", "b", "c"], "label": [["y", "x"], [], ["x"]]}

    assert tabled(kind, columns, Columns("text", "label")).labels == [("x", "y"), (), ("x",)]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_second_text_is_read_beside_the_first(kind: str) -> None:
    columns = {"premise": ["a", "b"], "label": [1, 0], "hypothesis": ["c", "d"]}

    table = tabled(kind, columns, Columns("premise", "label", "hypothesis"))

    assert (table.texts, table.pairs, table.labels) == (["a", "b"], ["c", "d"], ["1", "0"])


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "hub"])
def test_a_missing_second_text_is_empty(kind: str) -> None:
    columns = {"text": ["a", None], "label": ["x", None], "other": [None, "d"]}

    table = tabled(kind, columns, Columns("text", "label", "other"))

    assert (table.texts, table.pairs, table.labels) == (["a", ""], ["", "d"], ["x", None])


def test_lists_of_numbered_classes_of_the_hub_are_their_names() -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    features = Features({"text": Value("string"), "label": List(ClassLabel(names=["worse", "better"]))})
    train = Dataset.from_dict({"text": ["a", "b"], "label": [[1, 0], []]}, features)

    table = tables_of({"train": train}, "ana/tiny", configured("ana/tiny")).tables["train"]

    assert table.labels == [("better", "worse"), ()]
    assert table.label_order == ("worse", "better")


@pytest.mark.parametrize("kind", FORMATS)
def test_many_rows_keep_their_order_and_their_labels(kind: str) -> None:
    columns = {"text": [f"text {at}" for at in range(3000)], "label": [at % 7 for at in range(3000)]}

    table = tabled(kind, columns, Columns("text", "label"))

    assert table.texts == columns["text"]
    assert table.labels == [str(label) for label in columns["label"]]
