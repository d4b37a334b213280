"""Who answers: aliases and versions of models, and runs, that whoever looks may ask.

Asked is what the API lists, never what the service has in memory: the service of one machine answers with everybody's.
Neighbours: ``pages.tryout`` places the choice; ``check`` is asked before each question.
"""

from __future__ import annotations

import time

import streamlit as st

from finetune30.ui.pages import page_of
from finetune30.ui.shell import here, say

MOST = 4
_LISTED = 100
_FRESH_S = 60.0


def choice() -> list[str] | None:
    """The addresses that were chosen; None where there is nothing to choose yet, and then that is said."""
    there = _there()
    if not there and not st.query_params.get("model"):
        _nothing()
        return None
    return st.multiselect(
        say("tryout.who"),
        there,
        default=there[:1],
        key="model",
        max_selections=MOST,
        accept_new_options=True,
        placeholder=say("tryout.who_hint"),
        help=say("tryout.who_help", most=MOST),
        bind="query-params",
    )


def check(address: str) -> None:
    """Look whether one may ask it.

    Raises: LoginNeeded, where the session has ended; Refused, for what does not exist and what is another user's.
    """
    here().client.resolve(address)


def _there() -> list[str]:
    """Aliases first, then the newest versions, then the newest runs; looked up once a minute, for each look asks."""
    kept: tuple[float, list[str]] | None = st.session_state.get("try_there")
    if kept is not None and time.monotonic() - kept[0] < _FRESH_S:
        return kept[1]
    client = here().client
    models = list(client.models(limit=_LISTED))
    aliases = [f"{one.name}@{alias}" for one in models for alias in sorted(one.aliases)]
    versions = [f"{one.name}/{one.latest}" for one in models if one.latest is not None]
    runs = [one.id for one in client.experiments(status="SUCCESS", limit=_LISTED)]
    found = aliases + versions + runs
    st.session_state["try_there"] = time.monotonic(), found
    return found


def _nothing() -> None:
    with st.container(border=True, key="try_newcomer"):
        st.markdown(say("tryout.nothing"))
        if st.button(say("tryout.to_submit"), key="try_to_submit", icon=":material/add_circle:", type="primary"):
            st.switch_page(page_of("submit"))
