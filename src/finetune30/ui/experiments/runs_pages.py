"""Where in a long list of runs one is: pages by the id before them, the way back remembered, the place in the address.

Neighbours: ``pages.experiments`` shows the list.
"""

from __future__ import annotations

import streamlit as st

from finetune30.client import Experiment, Page
from finetune30.ui.experiments.runs_wanted import Wanted
from finetune30.ui.shell import act, say

_KEY, _NAME = "runs_pages", "after"


def cursor(wanted: Wanted) -> str | None:
    """The id before the first row; None at the beginning, and wherever other runs are wanted than before."""
    return _way(wanted)[-1]


def restart(wanted: Wanted) -> None:
    """Back to the beginning."""
    _go(wanted, [None])


def buttons(wanted: Wanted, page: Page[Experiment]) -> None:
    """To the page before and to the next one, where there are such."""
    way = _way(wanted)
    if len(way) == 1 and not page.has_more:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="runs_paging"):
        st.button(
            say("experiments.previous"),
            key="runs_previous",
            disabled=len(way) == 1,
            on_click=act(_go, wanted, way[:-1]),
            icon=":material/chevron_left:",
        )
        st.button(
            say("experiments.next"),
            key="runs_next",
            disabled=not page.has_more,
            on_click=act(_go, wanted, [*way, page.next]),
            icon=":material/chevron_right:",
        )
        st.caption(say("experiments.page", number=len(way)))


def _way(wanted: Wanted) -> list[str | None]:
    kept = st.session_state.get(_KEY)
    if kept is not None and kept[0] == wanted:
        return list(kept[1])
    # A page that is opened anew goes where its address says; other filters begin at their beginning.
    after = st.query_params.get(_NAME) if kept is None else None
    way: list[str | None] = [None, after] if after else [None]
    _go(wanted, way)
    return way


def _go(wanted: Wanted, way: list[str | None]) -> None:
    st.session_state[_KEY] = (wanted, way)
    if after := way[-1]:
        st.query_params[_NAME] = after
    elif _NAME in st.query_params:
        del st.query_params[_NAME]
