"""A page of several parts, of which one is shown: which one stands in the address (``?part=keys``).

Only what is looked at is asked for. Neighbours: ``pages.account`` and ``pages.admin`` have parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st


def part(page: str, icons: Mapping[str, str], label: str, said: Callable[[str], str]) -> str:
    """The choice, and what was chosen.

    Args:
        icons: Of each part, by the word it has in the address; the first is shown at first.
        label: What is chosen here, for screen readers.
        said: A part's name.
    """
    names = list(icons)
    asked = st.query_params.get("part")
    key = f"{page}_part"
    # Not bound by Streamlit, which writes the names that are shown, in their language.
    if key not in st.session_state:
        st.session_state[key] = asked if asked in icons else names[0]
    st.segmented_control(
        label,
        names,
        key=key,
        format_func=lambda one: f":material/{icons[one]}: {said(one)}",
        required=True,
        label_visibility="collapsed",
    )
    found = str(st.session_state[key] or names[0])
    if found != asked:
        st.query_params["part"] = found
    return found
