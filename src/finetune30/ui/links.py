"""Names in tables that lead to their pages: in the same tab, which keeps what it holds.

Streamlit's own links in tables open another tab, and what a screen reader reads of them is an address; so a name is a
button that looks like text. Keyboards do not reach cells' buttons: there a row is marked, by Shift and the space bar,
and opened. Neighbours: pages with tables say where a name leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import streamlit as st

T = TypeVar("T")


def cell(name: str) -> str:
    """A name as such a cell shows it: as it is, no icon and no menu.

    A text that begins with an icon's name would be one, and one in brackets a menu: a sign without width is before it.
    """
    return f"\u2060{name}" if name.strip()[:1] in {":", "["} else name


def column(label: str, key: str, **options: Any) -> Any:
    """The column of names; ``key`` tells which one was clicked."""
    return st.column_config.ButtonColumn(label, key=key, type="tertiary", alignment="left", **options)


def clicked(key: str, names: Sequence[str], rows: Sequence[T]) -> T | None:
    """The row whose name was clicked just now.

    A table that was drawn anew in between may have another row there; then it is that of the name, if only one has it.
    """
    click = st.session_state.get(key)
    if not click:
        return None
    at, shown = int(click["row"]), [cell(one) for one in names]
    if at < len(rows) and shown[at] == click["label"]:
        return rows[at]
    return rows[shown.index(click["label"])] if shown.count(click["label"]) == 1 else None
