"""How values are shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from finetune30.ui import shell, shown
from finetune30.ui.options import Options


@pytest.fixture
def taipei() -> Iterator[None]:
    """A page that was started with this zone."""
    before = shell.OPTIONS
    shell.configure(Options(tz="Asia/Taipei"))
    yield
    shell.configure(before)


@pytest.mark.parametrize(
    ("seconds", "told", "short"),
    [
        (None, "–", "–"),
        (float("nan"), "–", "–"),
        (0, "0.0 s", "0 s"),
        (4.26, "4.3 s", "4 s"),
        (42, "42 s", "42 s"),
        (59.7, "1 min", "1 min"),
        (185, "3 min 5 s", "3 min"),
        (3600, "1 h", "1 h"),
        (7859, "2 h 10 min", "2 h"),
        (273_600, "3 d 4 h", "3 d"),
    ],
)
def test_durations(seconds: float | None, told: str, short: str) -> None:
    assert (shown.duration(seconds), shown.duration(seconds, short=True)) == (told, short)


def test_figures() -> None:
    assert [shown.number(one) for one in (None, float("inf"), 12345, 0.0005, 2.5e-7, 12345.6, 3.0)] == [
        "–",
        "–",
        "12,345",
        "0.0005",
        "2.5e-07",
        "12,346",
        "3",
    ]
    assert [shown.size(one) for one in (None, 0, 1023, 1536, 5 << 30, 3 << 50)] == [
        "–",
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
        "3072.0 TiB",
    ]
    assert (shown.share(0.93214), shown.share(None), shown.share(1, 0)) == ("93.21 %", "–", "100 %")
    assert (shown.rate(1234.6), shown.rate(None)) == ("1,235 tokens/s", "–")
    assert [shown.names(some) for some in ("", "a", "abc", "abcde")] == ["", "a", "a, b, c", "a, b, c and 2 more"]


def test_moments_are_those_of_the_pages_zone(taipei: None) -> None:
    at = 1_800_000_000.7  # 2027-01-15 08:00:00 UTC
    assert shown.moment(at) == "2027-01-15 16:00"
    assert shown.moment(at, seconds=True) == "2027-01-15 16:00:00"
    assert str(shown.local(at)) == "2027-01-15 16:00:00"
    assert (shown.moment(None), shown.local(None), shown.ago(None)) == ("–", None, "–")
    assert [shown.ago(at, at + later) for later in (1, 70, 90_000, 8 * 86_400)] == [
        "just now",
        "1 min ago",
        "1 d ago",
        "2027-01-15 16:00",
    ]


def test_states_have_a_sign_a_name_and_a_colour_and_new_ones_their_own_word() -> None:
    found = [shown.state(one) for one in shown.STATES] + [shown.state("PENDING", paused=True)]
    for part in ("name", "sign", "icon"):
        assert len({getattr(one, part) for one in found}) == len(found)
    assert shown.state("SUCCESS", paused=True).cell == "✓ Done"
    assert shown.state("FROZEN").cell == "? FROZEN"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "–"),
        (0.0, "in a moment"),
        (20.0, "within minutes"),
        (599.0, "within minutes"),
        (600.0, "in about 10 min"),
        (9000.0, "in about 2 h"),
    ],
)
def test_when_a_waiting_run_starts_is_a_number_only_where_it_is_more_than_a_guess(
    seconds: float | None, told: str
) -> None:
    assert shown.wait(seconds) == told
