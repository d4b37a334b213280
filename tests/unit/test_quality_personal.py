"""Likely personal data: addresses, telephones, cards, identity numbers, and what only looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.quality_cases import reported, sound, told

from finetune30.data.quality.personal import MIGHT_BE_PERSONAL, kinds_of

EMAIL, PHONE, CARD, IDENTITY = {"email"}, {"phone"}, {"card"}, {"national_id"}
HOLDING = [
    ("write to ann.lee+x@mail.example.org today", EMAIL),
    ("ANN@EXAMPLE.ORG", EMAIL),
    ("<ann@example.co.uk>, bob", EMAIL),
    ("請寄信到ann@example.org謝謝", EMAIL),
    ("信箱：ann@example.org。", EMAIL),
    ("call +886 912 345 678", PHONE),
    ("call 02-2345-6789 now", PHONE),
    ("Tel. (415) 555-2671", PHONE),
    ("+44 20 7946 0958", PHONE),
    ("text 07911 123456", PHONE),
    ("0912-345-678", PHONE),
    ("請打0912345678找我", PHONE),
    ("電話：0912345678", PHONE),
    ("手機 0912 345 678 王先生", PHONE),
    ("card 4111 1111 1111 1111", CARD),
    ("5500-0000-0000-0004", CARD),
    ("卡號4111111111111111過期", CARD),
    ("6011 0009 9013 9424", CARD),
    ("my id is A123456789", IDENTITY),
    ("身分證A123456789號", IDENTITY),
    ("ann@example.org or 0912-345-678", EMAIL | PHONE),
]
INNOCENT = [
    "@united you are late",
    "meet me @ noon",
    "a@b",
    "name@localhost",
    "order number 4491950",
    "發票號碼：2840189",
    "1234567",
    "in 2004 2005 it rained",
    "2009-05-22 13:37",
    "from 1999-2004 and 2004-2009",
    "$1,234,567.89 in total",
    "3.14159265358979",
    "4111 1111 1111 1112",  # the check digit is wrong
    "0000 0000 0000 0000",
    "A123456788",
    "B012345678",
    "XA123456789",
    "http://example.org/2345678901",
    "111-111-1111",
    "isbn 978-3-16-148410",
    "1600x1200 and 1920x1080",
    "",
]


@pytest.mark.parametrize(("text", "kinds"), HOLDING)
def test_personal_data_is_told_by_its_kind(text: str, kinds: set[str]) -> None:
    assert kinds_of(text) == kinds


@pytest.mark.parametrize("text", INNOCENT)
def test_numbers_and_handles_of_other_kinds_are_not_personal(text: str) -> None:
    assert kinds_of(text) == set()


def test_every_row_that_holds_some_is_named_and_the_kinds_are_counted() -> None:
    held = [(text, "positive") for text, _ in HOLDING]
    report = reported([*sound(20), *held], [(text, "negative") for text in INNOCENT], [held[0]])

    assert told(report, "personal_data") == (
        "WARN", len(HOLDING) + 1, [*(f"train:{20 + at}" for at in range(len(HOLDING))), "test:0"],
    )  # fmt: skip
    assert report["personal_data"].details == {"kinds": {"card": 4, "email": 7, "national_id": 2, "phone": 10}}


def test_a_pair_is_named_once_and_a_kind_in_both_texts_counts_once() -> None:
    rows = [("ann@example.org", "bob@example.org", "a"), ("nothing here", "0912-345-678", "a"), ("no", "none", "a")]
    report = reported(rows)

    assert told(report, "personal_data") == ("WARN", 2, ["train:0", "train:1"])
    assert report["personal_data"].details == {"kinds": {"email": 1, "phone": 1}}


@given(st.text(st.sampled_from("09 12-3()+.45678@aA王:/,"), max_size=24))
def test_the_pattern_that_points_at_candidates_misses_none(text: str) -> None:
    if kinds_of(text):
        import pyarrow.compute as pc

        assert pc.match_substring_regex(text, MIGHT_BE_PERSONAL).as_py()


def test_texts_made_to_be_slow_take_no_time() -> None:
    hostile = [
        "a" * 200_000,
        "a." * 100_000 + "@",
        "a@" + "b." * 100_000,
        "1 " * 100_000,
        "1-" * 100_000,
        "(" * 200_000,
    ]

    assert [kinds_of(text) for text in hostile] == [set()] * 6
