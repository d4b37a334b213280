"""The safe fixes: each does what it says, nothing else changes, and the outcome passes the same checks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_cases import configured
from tests.quality_cases import found, sound

from finetune30.data import Found
from finetune30.data.fold import folded
from finetune30.data.quality import Cleaned, clean, inspect
from finetune30.data.rules import without_html
from finetune30.errors import DataError

FIXABLE = ("empty", "control_chars", "label_variant")


def cleaned(*splits: list[tuple[Any, ...]] | None, **rules: Any) -> Cleaned:
    return clean(found(*splits), configured("rows", rules=rules))  # type: ignore[arg-type]


def rows_of(done: Cleaned, role: str = "train") -> list[tuple[Any, ...]]:
    table = done.tables[role]  # type: ignore[index]
    if table.pairs is None:
        return list(zip(table.texts, table.labels, strict=True))
    return list(zip(table.texts, table.pairs, table.labels, strict=True))


@pytest.mark.parametrize(
    ("text", "fixed", "fix"),
    [
        ("<p>Hello</p> there", "Hello there", "html"),
        ("one<br>two", "one two", "html"),
        ("fish &amp; chips", "fish & chips", "html"),
        ("be\x07ll", "bell", "control_chars"),
        ("zero\u200bwidth", "zerowidth", "control_chars"),
        ("caf\ufffd", "caf", "control_chars"),
        ("\ufeffmark", "mark", "control_chars"),
        ("two\u2028lines", "two\nlines", "control_chars"),
        ("old mac\rline", "old mac\nline", "control_chars"),
        ("form\x0cfeed", "form\nfeed", "control_chars"),
        ("unit\x1fseparator", "unit separator", "control_chars"),
    ],
)
def test_a_text_is_repaired_and_the_fix_is_counted(text: str, fixed: str, fix: str) -> None:
    rows = sound(6)
    done = cleaned([*rows, (text, "positive")])

    assert rows_of(done) == [*rows, (fixed, "positive")]
    assert done.fixes == {fix: 1}


@pytest.mark.parametrize("text", ["<b\x00r>over", "&\x00amp; so", "it&#8203;s", "a&#7;b"])
def test_html_and_control_characters_that_hide_each_other_both_go(text: str) -> None:
    done = cleaned([*sound(6), (text, "positive")])

    report = inspect(Found("rows", done.tables), configured("rows"))
    assert (report["html"].count, report["control_chars"].count) == (0, 0)
    assert {"html", "control_chars"} & set(done.fixes)


@pytest.mark.parametrize(
    "text",
    [
        "use &lt;b&gt; for bold text",
        "&amp;lt;br&amp;gt; said twice",
        "a<b text then c>d",
        "if a <b and b> c",
        "&" + "amp;" * 100_000 + "<" * 1_000 + "b>" * 1_000,
    ],
)
def test_what_speaks_about_html_is_left_to_people(text: str) -> None:
    rows = [*sound(6), (text, "positive")]
    done = cleaned(rows)

    assert rows_of(done) == rows
    assert done.fixes == {}


def test_a_fix_can_be_left_out_and_every_row_tells_where_it_stood() -> None:
    rows = [("", "positive"), *sound(6), ("<b>bold</b> and\x07", "positive"), sound(6)[0]]
    whole, some = cleaned(rows), clean(found(rows), configured("rows"), skip=["html", "duplicate"])

    assert whole.fixes == {"empty": 1, "html": 1, "control_chars": 1, "duplicate": 1}
    assert whole.rows["train"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert some.fixes == {"empty": 1, "control_chars": 1}
    assert rows_of(some)[-2:] == [("<b>bold</b> and", "positive"), sound(6)[0]]


@pytest.mark.parametrize(
    "innocent",
    ["  spaces  stay ", "windows\r\nline", "I <3 you", "tab\tstays", "👩\u200d👧", "AT&T", "ＷＩＤＥ", "e\u0301"],
)
def test_nothing_else_of_a_text_changes(innocent: str) -> None:
    done = cleaned([*sound(6), (innocent, "positive")], [(innocent + "!", "negative")])

    assert rows_of(done)[-1] == (innocent, "positive")
    assert rows_of(done, "validation") == [(innocent + "!", "negative")]
    assert done.fixes == {}


def test_sound_tables_come_back_as_they_were() -> None:
    for splits in ([sound(30), sound(9, 30), sound(9, 40)], [[("a b c", "d e f", "x"), ("g h i", "", ("y", "z"))]]):
        done = cleaned(*splits)
        assert [rows_of(done, role) for role in done.tables] == splits
        assert done.fixes == {}


def test_rows_that_the_rules_drop_go_and_are_counted_by_rule() -> None:
    rows = sound(4)
    faulty = [("", "a"), (" \n", "a"), ("<br>", "a"), ("\x00", "a"), ("abc", "a"), ("z" * 300, "a")]
    done = cleaned([*rows, *faulty], min_text_length=4, max_text_length=200)

    assert rows_of(done) == rows
    assert done.fixes == {"empty": 4, "too_short": 1, "too_long": 1}


def test_empty_rows_stay_where_the_configuration_allows_them() -> None:
    rows = [*sound(4), ("", "positive"), (" ", "negative"), ("", "positive")]

    assert rows_of(cleaned(rows, allow_empty=True)) == rows


def test_labels_get_the_most_frequent_spelling_in_every_split() -> None:
    texts = [text for text, _ in sound(40)]
    train = [(text, label) for text, label in zip(texts, ["Good"] * 3 + ["good "] + ["bad"] * 3, strict=False)]
    held_out = [(texts[20], "GOOD"), (texts[21], "\tbad")]
    done = cleaned(train, held_out)

    assert [label for _, label in rows_of(done)] == ["Good"] * 4 + ["bad"] * 3
    assert [label for _, label in rows_of(done, "validation")] == ["Good", "bad"]
    assert done.fixes == {"label_variant": 3}
    assert done.tables["train"].labels.cells == ("Good", "bad")


def test_labels_that_only_look_like_variants_and_missing_ones_stay() -> None:
    labels = ["-1", "1", "0", None, "", "1", "-1"]
    rows = [(text, label) for (text, _), label in zip(sound(7), labels, strict=True)]

    assert rows_of(cleaned(rows)) == rows


def test_several_labels_of_a_row_become_one_where_they_are_variants() -> None:
    texts = [text for text, _ in sound(4)]
    done = cleaned([(texts[0], ("A", "a", "b")), (texts[1], ("a",)), (texts[2], ("a", "b")), (texts[3], ())])

    assert [label for _, label in rows_of(done)] == [("a", "b"), ("a",), ("a", "b"), ()]


def test_the_first_of_copies_that_agree_stays_and_contradictory_rows_all_do() -> None:
    rows = [("Same text", "a"), ("other", "b"), ("same  TEXT", "a"), ("so so", "a"), ("So so", "b"), ("so so", "a")]
    done = cleaned(rows)

    assert rows_of(done) == [rows[0], rows[1], *rows[3:]]
    assert done.fixes == {"duplicate": 1}


def test_a_row_without_label_never_takes_the_place_of_one_that_has_it() -> None:
    rows = [("so so", None), ("so so", "a"), ("so so", "a"), ("fine", "b"), ("fine", "")]

    assert rows_of(cleaned(rows)) == [rows[0], rows[1], *rows[3:]]


def test_train_copies_of_a_test_split_without_answers_go_too() -> None:
    rows = [(text, str(at % 2)) for at, (text, _) in enumerate(sound(20))]
    done = cleaned(rows, None, [(rows[4][0], "-1"), ("another text", "-1"), (rows[4][0], "-1")])

    assert rows_of(done) == [*rows[:4], *rows[5:]]
    assert rows_of(done, "test") == [(rows[4][0], "-1"), ("another text", "-1")]


def test_copies_that_only_the_other_fixes_reveal_go_too() -> None:
    done = cleaned(
        [("fine <b>food</b>", "Good"), ("fine food", "good"), ("fine\x00 food", "good"), ("bad food", "bad")]
    )

    assert rows_of(done) == [("fine food", "good"), ("bad food", "bad")]
    assert done.fixes == {"html": 1, "control_chars": 1, "label_variant": 1, "duplicate": 2}


def test_train_copies_of_held_out_rows_go_and_the_held_out_rows_stay() -> None:
    rows = sound(20)
    leaked = [rows[3], rows[7]]
    done = cleaned(
        [*rows, (rows[3][0].upper(), rows[3][1])], [*sound(5, 20), rows[3]], [(f" {rows[7][0]}", rows[7][1])]
    )

    assert rows_of(done) == [row for row in rows if row not in leaked]
    assert rows_of(done, "validation") == [*sound(5, 20), rows[3]]
    assert len(rows_of(done, "test")) == 1
    assert done.fixes == {"split_leak": 3}


def test_a_leaked_text_goes_from_train_whatever_its_labels() -> None:
    rows = sound(8)
    done = cleaned([*rows, ("so so", "positive"), ("so so", "negative")], [("So so", "positive")])

    assert rows_of(done) == rows


def test_pairs_are_repaired_in_both_texts_and_compared_together() -> None:
    rows = [
        ("<b>is</b> it?", "yes &amp; no", "a"),
        ("is it?", "yes & no", "a"),
        ("is", "it? yes & no", "a"),
        ("", " ", "a"),
    ]
    done = cleaned([*rows, ("", "half", "b")])

    assert rows_of(done) == [("is it?", "yes & no", "a"), ("is", "it? yes & no", "a"), ("", "half", "b")]
    assert done.fixes == {"html": 1, "empty": 1, "duplicate": 1}


@pytest.mark.parametrize(
    ("splits", "role"),
    [
        (([("", "a"), (" ", "b")],), "train"),
        ((sound(4), sound(4)), "train"),
        ((sound(4), [("<br>", "a")]), "validation"),
        ((sound(4), sound(4, 4), []), "test"),
    ],
)
def test_a_split_that_would_be_left_without_rows_is_an_error(splits: tuple[Any, ...], role: str) -> None:
    with pytest.raises(DataError, match=f"no {role} row would be left"):
        cleaned(*splits)


PIECES = st.sampled_from(
    ["ok then", "OK  then", "<br>", "&amp;", "lt;b&gt;", "&", "\x00", "\x0c", "\r", "好", " ", "ABC"]
)
TEXTS = st.lists(PIECES, max_size=4).map("".join)
LABELS = st.sampled_from(["a", "A ", "b", "-1", "1"])
ONE, TWO = st.tuples(TEXTS, LABELS), st.tuples(TEXTS, TEXTS, LABELS)
SPLITS = st.one_of(*(st.lists(st.lists(row, min_size=1, max_size=6), min_size=1, max_size=3) for row in (ONE, TWO)))


@given(SPLITS)
def test_what_was_fixed_passes_the_same_checks_and_needs_no_second_fix(splits: list[list[tuple[Any, ...]]]) -> None:
    config = configured("rows")
    try:
        done = clean(found(*splits), config)
    except DataError:
        return

    report = inspect(Found("rows", done.tables), config)

    assert {name: report[name].count for name in FIXABLE} == dict.fromkeys(FIXABLE, 0)
    about_html = [text for text in report.dataset.texts() if without_html(without_html(text)) != without_html(text)]
    assert report["html"].count <= len(about_html)
    assert report["split_leak"].count == 0
    assert set(report["duplicate"].rows) <= set(report["contradictory_label"].rows)
    again = clean(Found("rows", done.tables), config)
    assert {role: rows_of(again, role) for role in again.tables} == {role: rows_of(done, role) for role in done.tables}
    assert again.fixes == {}
    # Whatever stayed was there before, in the same order.
    for at, role in enumerate(done.tables):
        kept = [tuple(map(folded, row[:-1])) for row in rows_of(done, role)]
        there = iter([row[:-1] for row in rows_of(clean_texts(splits[at]))])
        assert all(any(tuple(map(folded, row)) == text for row in there) for text in kept)


def clean_texts(rows: list[tuple[Any, ...]]) -> Cleaned:
    """Each row repaired by itself, so that none is a copy."""
    done = [rows_of(clean(found([row]), configured("rows", rules={"allow_empty": True})))[0] for row in rows]
    return Cleaned(found(done).tables, {}, {})
