"""What stands around every page."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from finetune30.ui.seats import Seat


def test_a_page_is_shown_to_who_is_logged_in(ana: Seat, run_page: Callable[..., AppTest]) -> None:
    page = run_page("submit", ana)

    assert not page.exception
    assert [one.value for one in page.title] == ["submit"]
