"""Single texts: empty, too short, too long, HTML, control characters, too many tokens."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_cases import configured
from tests.quality_cases import document, found, reported, sound, told

from finetune30.data.quality import inspect
from finetune30.data.quality.marks import has_control, without_control
from finetune30.data.rules import fault_of, without_html


@pytest.mark.parametrize(
    ("check", "faulty"),
    [
        ("empty", ["", " ", "\t\n", "\u3000", "\xa0", "\x1f", "\x85", "\u2003 \u2028"]),
        (
            "too_short",
            ["a", "ok", "!!", "...............", "x1", "???", "§§", "。",
             "ok!!!!!!!!!!!!!!!", "----- a -----", "\u200b"],
        ),
        ("too_long", ["so " * 1_700, "好" * 5_001]),
        (
            "html",
            ["<p>fine</p>", "one<br>two", "a <B CLASS=x>bold</B> word", "fish &amp; chips", "&#39;quoted&#39;",
             "it&#x27;s fine", "see <!-- a note --> this", "<script>run()</script> there"],
        ),
        (
            "control_chars",
            ["a\x00bell", "bell\x07", "\x1b[31mred", "del\x7f ete", "next\x85line", "don\x92t do it",
             "caf\ufffd au lait", "\ufeffbegins with a mark", "zero\u200bwidth", "turned \u202e around",
             "unit\x1fseparator", "old mac\rline", "form\x0cfeed", "not a \uffff character", "para\u2029graph"],
        ),
    ],
)  # fmt: skip
def test_a_check_names_every_row_of_its_kind_and_no_other(check: str, faulty: list[str]) -> None:
    rows = sound(30)
    report = reported(
        [*rows, *((text, "positive") for text in faulty)], sound(10, 30), [(faulty[0], "negative"), *sound(1, 40)]
    )

    status, count, named = told(report, check)

    assert status == "WARN"
    assert named == [f"train:{30 + at}" for at in range(len(faulty))] + ["test:0"]
    assert count == len(faulty) + 1


@pytest.mark.parametrize(
    ("check", "innocent"),
    [
        ("empty", ["a", ".", "\u200b", "0", "😀"]),
        ("too_short", ["yes", "好", "好!", "😀", "👍👍", "ไม่ดี", "Ужас", "bad :(", "123", "좋", "の"]),
        ("too_long", ["so " * 1_600, "好" * 5_000]),
        ("html", ["I <3 you", "x<y and z>w", "<user> said", "AT&T; that", "5 < 6 > 4", "a & b", "&zzq;", "<>"]),
        (
            "control_chars",
            ["tab\tand\nline", "windows\r\nline", "👩\u200d👩\u200d👧 family", "می\u200cخواهم", "soft\u00adhyphen",
             "e\u0301"],
        ),
    ],
)  # fmt: skip
def test_a_check_leaves_alone_what_only_looks_like_its_kind(check: str, innocent: list[str]) -> None:
    report = reported([*sound(30), *((text, "positive") for text in innocent)])

    assert told(report, check) == ("PASS", 0, [])


def test_every_white_space_that_python_knows_makes_a_text_empty_and_nothing_else_does() -> None:
    signs = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    some = [sign for sign in signs if sign.isspace() or unicodedata.category(sign) in ("Zs", "Zl", "Zp", "Cc", "Cf")]
    report = reported([(sign, "a") for sign in some])

    assert told(report, "empty")[2] == [f"train:{at}" for at, sign in enumerate(some) if sign.isspace()]
    assert told(report, "control_chars")[2] == [f"train:{at}" for at, sign in enumerate(some) if has_control(sign)]


@pytest.mark.parametrize(
    ("rules", "check", "named"),
    [
        ({"min_text_length": 6}, "too_short", ["train:1", "train:2"]),
        ({"min_text_length": 5}, "too_short", ["train:1"]),
        ({"max_text_length": 15}, "too_long", ["train:3"]),
        ({"max_text_length": 5}, "too_long", ["train:3", "train:4"]),
        ({"allow_empty": True}, "empty", ["train:0"]),
        ({"remove_html": True}, "empty", ["train:0", "train:4"]),
        ({"remove_html": True}, "html", ["train:4"]),
        ({"remove_html": True, "min_text_length": 5, "max_text_length": 6}, "too_long", ["train:3"]),
    ],
)
def test_the_rules_of_the_configuration_say_what_is_short_and_long(
    rules: dict[str, Any], check: str, named: list[str]
) -> None:
    texts = ["", "four", "fives", "sixteen letters!", "<br><br>"]

    report = reported([(text, "a") for text in texts], rules=rules)

    assert told(report, check)[2] == named


def test_what_a_run_drops_is_hinted_at_and_what_it_keeps_is_not() -> None:
    rows = [*sound(20), ("", "positive")]

    assert reported(rows)["empty"].hint == "a run drops them (data.validation_rules)"
    assert reported(rows, rules={"allow_empty": True})["empty"].hint == ""
    assert "remove_html" in reported([("<b>x y z</b>", "a")])["html"].hint
    assert reported([("<b>x y z</b>", "a")], rules={"remove_html": True})["html"].hint == ""


TEXTS = st.text(st.sampled_from("ab 好<>/&;#3\n\u3000bri"), max_size=14) | st.sampled_from(["<br>", "&amp;", "<b></b>"])


@given(
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8),
    st.booleans(),
    st.booleans(),
    st.integers(0, 5),
    st.integers(6, 12),
)
def test_rows_that_a_run_would_drop_are_named_by_the_check_of_the_same_name(
    rows: list[tuple[str, str]], pairs: bool, remove_html: bool, least: int, most: int
) -> None:
    rules = {"min_text_length": least, "max_text_length": most, "remove_html": remove_html}
    config = configured("rows", rules=rules)
    source = found([(*row[: 1 + pairs], "a") for row in rows])

    report = inspect(source, config, spoken=set())

    for at, row in enumerate(rows):
        parts = [without_html(text) if remove_html else text for text in row[: 1 + pairs]]
        fault = fault_of("".join(parts), config.data.validation_rules)
        for check in ("empty", "too_short", "too_long"):
            if check == fault:
                assert at in report[check].rows
            elif check != "too_short":
                assert at not in report[check].rows
    assert report["html"].rows.tolist() == [
        at for at, row in enumerate(rows) if any(without_html(text) != text for text in row[: 1 + pairs])
    ]


def test_a_pair_is_one_text_in_two_parts() -> None:
    rows = [
        ("", "there is a second text", "a"),
        ("there is a first text", " ", "a"),
        (" ", "", "a"),
        ("is it?", "no", "a"),
        ("!", "no", "a"),
        ("clean", "<p>not</p>", "a"),
        ("<p>not</p>", "<p>not</p> at all", "a"),
        ("be\x07ll", "clean again", "a"),
        ("x" * 2_600, "y" * 2_600, "a"),
    ]
    report = reported(rows)

    assert told(report, "empty") == ("WARN", 1, ["train:2"])
    assert told(report, "too_short") == ("WARN", 1, ["train:4"])
    assert told(report, "html") == ("WARN", 2, ["train:5", "train:6"])
    assert told(report, "control_chars") == ("WARN", 1, ["train:7"])
    assert told(report, "too_long") == ("WARN", 1, ["train:8"])


def test_long_is_measured_against_the_other_texts() -> None:
    usual = [("z" * 900, "a")] * 9

    assert told(reported([*usual, ("y" * 9_000, "a")]), "too_long") == ("PASS", 0, [])
    assert told(reported([*usual, ("y" * 9_001, "a")]), "too_long") == ("WARN", 1, ["train:9"])


@given(st.text(st.sampled_from("ab \n\t\r\x0b\x0c\x1d\x1f\x85\u2028\u200b\ufffd\x00é好"), max_size=12))
def test_taking_control_characters_out_leaves_none_and_glues_no_words_together(text: str) -> None:
    clear = without_control(text)

    assert not has_control(clear)
    mute = "".join(sign for sign in text if sign.isspace() or not has_control(sign))
    assert clear.split() == mute.split()


def longer_than_ten(texts: Any, pairs: Any) -> Any:
    return np.array([len(a + b) > 10 for a, b in zip(texts, pairs or [""] * len(texts), strict=True)], bool)


def test_truncation_asks_of_every_text_and_names_those_that_are_cut() -> None:
    rows = [("short", "a"), ("certainly longer", "a"), ("ten letter", "a")]
    report = reported(rows, [("also certainly longer", "a")], longer=longer_than_ten)

    assert told(report, "truncation") == ("WARN", 2, ["train:1", "validation:0"])
    (one,) = (one for one in document(report)["checks"] if one["name"] == "truncation")
    assert (one["share"], one["max_length"]) == (0.5, 128)


def test_truncation_reads_pairs_together_and_is_not_looked_at_without_a_tokenizer() -> None:
    rows = [("five.", "five.", "a"), ("five.", "sixth.", "a")]

    assert told(reported(rows, longer=longer_than_ten), "truncation") == ("WARN", 1, ["train:1"])
    assert told(reported(rows), "truncation") == ("PASS", 0, [])
    assert reported(rows)["truncation"].found == "not looked at: no tokenizer"


@pytest.mark.parametrize("size", [8_191, 8_192, 8_193, 20_000])
def test_rows_are_named_rightly_across_the_batches_that_a_table_is_stored_in(size: int) -> None:
    at = size - 2
    rows = [("plain words here", "a")] * at + [("<p>marked</p>", "a"), ("", "a")]

    def marked(texts: Any, pairs: Any) -> Any:
        return np.array(["marked" in text for text in texts], bool)

    report = reported(rows, [("<p>marked</p>", "a")], longer=marked)

    assert told(report, "html")[2] == [f"train:{at}", "validation:0"]
    assert told(report, "empty")[2] == [f"train:{at + 1}"]
    assert told(report, "truncation")[1:] == (2, [f"train:{at}", "validation:0"])
