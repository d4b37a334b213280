"""A page of several parts, of which one is shown: which one stands in the address (``?part=keys``).

Only what is looked at is asked for. Neighbours: ``pages.account`` and ``pages.admin`` have parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from finetune30.ui.shell import say


def part(page: str, icons: Mapping[str, str]) -> str:
    """The choice, and what was chosen.

    Args:
        icons: Of each part, by the word it has in the address; the first is shown at first. Its name is the word
            ``<page>.part_<part>``.
    """
    names = list(icons)
    asked = st.query_params.get("part")
    key = f"{page}_part"
    # Not bound by Streamlit, which writes the names that are shown, in their language.
    if key not in st.session_state:
        st.session_state[key] = asked if asked in icons else names[0]
    st.segmented_control(
        say(f"{page}.parts"),
        names,
        key=key,
        format_func=lambda one: f":material/{icons[one]}: {say(f'{page}.part_{one}')}",
        required=True,
        label_visibility="collapsed",
    )
    found = str(st.session_state[key] or names[0])
    if found != asked:
        st.query_params["part"] = found
    return found
