"""Figures beside each other, each in a frame of its own: as many in a row as there is room for, and rows without holes.

Neighbours: pages of runs, data and administration show figures so; ``figures`` says what those of a run are called.
"""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st


def tiles(key: str, told: Iterable[tuple[str, str, str | None]]) -> None:
    """The figures.

    Args:
        told: Label and value of each, and what it means, where that is not plain.
    """
    with st.container(horizontal=True, gap="xsmall", key=key):
        for label, value, meaning in told:
            # A container has the same share of its row whatever is in it: a figure that grows moves nothing.
            with st.container():
                st.metric(label, value, help=meaning, border=True, height="stretch")
