"""validation_rules: what is dropped and stripped, counted; nothing left is an error with the counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_cases import balanced, configured, write_tsv

from finetune30.data import load
from finetune30.data.rules import without_html
from finetune30.errors import DataError


def rows_of(tmp_path: Path, *texts: str) -> Path:
    return write_tsv(tmp_path / "rows.tsv", [*balanced(20), *((text, "good") for text in texts)])


def test_each_rule_drops_its_rows_and_counts_them(tmp_path: Path) -> None:
    path = rows_of(tmp_path, "", "  ", "abc", "x" * 31, "x" * 30, "abcd")

    splits = load(configured(path, rules={"min_text_length": 4, "max_text_length": 30}))

    assert splits.counts["train"]["dropped"] == {"empty": 2, "too_short": 1, "too_long": 1}
    assert splits.counts["train"]["read"] == 26
    assert {24, 25} < {*splits.train.rows, *splits.validation.rows}
    assert "train: rows dropped: 2 empty, 1 too short, 1 too long" in splits.notes


def test_length_is_counted_in_characters(tmp_path: Path) -> None:
    path = rows_of(tmp_path, "很好", "很好很")

    assert load(configured(path, rules={"min_text_length": 3})).counts["train"]["dropped"]["too_short"] == 1


def test_allow_empty_keeps_empty_texts(tmp_path: Path) -> None:
    path = rows_of(tmp_path, "", " ")

    splits = load(configured(path, rules={"allow_empty": True, "min_text_length": 5}))

    assert sum(splits.counts["train"]["dropped"].values()) == 0
    assert {20, 21} < {*splits.train.rows, *splits.validation.rows}


def test_remove_html_strips_texts_and_counts_them(tmp_path: Path) -> None:
    path = rows_of(tmp_path, "<p>so <b>good</b></p>", "<br/>", "plain")

    splits = load(configured(path, rules={"remove_html": True}))

    assert splits.counts["train"]["stripped"] == 1
    assert splits.counts["train"]["dropped"]["empty"] == 1  # nothing but a tag
    assert "so good" in (*splits.train.texts, *splits.validation.texts)
    assert "train: HTML stripped from 1 rows" in splits.notes


def test_remove_html_strips_both_texts_of_a_pair(tmp_path: Path) -> None:
    rows = [f"is it <b>{at}</b>?,it is&nbsp;{at},{'yn'[at % 2]}" for at in range(20)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["text,more,label", *rows, "<br>,<p></p>,y"]) + "\n", encoding="utf-8")

    splits = load(configured(path, text_pair_column="more", rules={"remove_html": True}))

    pairs = splits.train.pairs
    assert pairs is not None
    assert all("<" not in text and "&" not in pair for text, pair in zip(splits.train.texts, pairs, strict=True))
    assert splits.counts["train"]["dropped"]["empty"] == 1


def test_html_stays_unless_asked(tmp_path: Path) -> None:
    splits = load(configured(rows_of(tmp_path, "<b>so</b> good &amp; true")))

    assert "<b>so</b> good &amp; true" in (*splits.train.texts, *splits.validation.texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>one</p>\n\n <p>two</p>", "one two"),
        ("one<br />two<BR>three", "one two three"),
        ('<a href="x">link</a>, <b>bold</b>!', "link, bold!"),
        ("before <!-- not <b>this</b> --> after", "before after"),
        ("<script>var a = '<b>';</script>text<style type='x'>p {}</style>", "text"),
        ("AT&amp;T &lt;3&nbsp;you &#39;ok&#x27;", "AT&T <3 you 'ok'"),
        ("two  spaces   stay", "two  spaces   stay"),
        ("I <3 you, x<y and z>w, a < b", "I <3 you, x<y and z>w, a < b"),
        ("<user> said <url>", "<user> said <url>"),
        ("?a=1&copy=2 R&D", "?a=1&copy=2 R&D"),
        ("<div", "<div"),
        ("&lt;b&gt; is a tag", "<b> is a tag"),
    ],
)
def test_what_stripping_html_leaves(text: str, expected: str) -> None:
    assert without_html(text) == expected


@given(st.text(st.characters(exclude_characters="<&")))
def test_text_without_html_is_not_touched(text: str) -> None:
    assert without_html(text) == text


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["<!--", "<script >", "<style >", "<b ", "<", "&", "&#", " <p ", "</script", "< "])
def test_hostile_html_takes_no_quadratic_time(piece: str) -> None:
    assert without_html(piece * 200_000 + "end").endswith("end")


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"min_text_length": 1000}, "of 20 rows data.validation_rules dropped 20 as too_short"),
        ({"max_text_length": 1}, "of 20 rows data.validation_rules dropped 20 as too_long"),
    ],
)
def test_s75_when_every_row_is_dropped_the_error_says_by_which_rule(
    tmp_path: Path, rules: dict[str, int], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        load(configured(rows_of(tmp_path), rules=rules))


def test_s75_a_text_column_of_empty_cells_is_told_by_its_name(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "rows.tsv", [("", "good"), ("x" * 9, "bad")])

    with pytest.raises(DataError, match="dropped 1 as empty, 1 as too_long") as refused:
        load(configured(path, rules={"max_text_length": 5}))

    assert "column 'text'" in str(refused.value.hint)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_s75_an_empty_dataset_is_refused_whichever_split_it_is(tmp_path: Path, split: str) -> None:
    for name in ("train", "dev", "test"):
        write_tsv(tmp_path / f"{name}.tsv", balanced(0 if name == split else 20))

    with pytest.raises(DataError, match="the split has no rows") as refused:
        load(configured(tmp_path))

    assert (refused.value.where, refused.value.exit_code) == (f"{tmp_path}/{split}.tsv", 2)


def test_s75_a_missing_text_column_lists_the_columns_found(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "rows.tsv", balanced(20), header="words\tlabel")

    with pytest.raises(DataError, match="no text column found; the columns are 'words', 'label'"):
        load(configured(path))
