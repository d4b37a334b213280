"""Texts of others, where Streamlit reads Markdown; what it makes of them in a browser was looked at, sign by sign."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune30.ui.inert import inert

# As the parts of Streamlit's page that read Markdown find them: before and after backslashes were taken away.
MARKUP = re.compile(r"(?<!\\)[`*_{}\[\]()#+!|$~]|<|(?<!\\)-|^\s*\d+(?<!\\)[.)]", re.MULTILINE)
FOUND_LATER = re.compile(r":[^\s\u2060]|www\.|\w@|->|--|<-|<=|>=", re.IGNORECASE)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "![x](http://evil/p.png)",
        "[a](javascript:alert(1))",
        "https://evil.example WWW.evil.example a@evil.example",
        ":smile: :material/home: :red[x] :streamlit: :blue-badge[x]",
        "1. one\n2) two\n- a\n+ b\n* c\n# d\ne\n===\nf\n---\n> g",
        "$x^2$ `code` ~~x~~ | a | b |\n|---|---|",
        "a -> b <- c -- d <= e >= f",
        "&lt;b&gt; &amp;",
    ],
)
def test_s105_nothing_is_markup_and_nothing_is_found_later(text: str) -> None:
    made = inert(text)

    assert not MARKUP.search(made)
    assert not FOUND_LATER.search(html.unescape(re.sub(r"\\(.)", r"\1", made)))


@settings(max_examples=60)
@given(st.text())
def test_s105_the_text_is_still_the_same_to_read(text: str) -> None:
    shown = html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", inert(text)))

    assert shown.replace("\u2060", "") == html.unescape(html.escape(text)).replace("\u2060", "")
