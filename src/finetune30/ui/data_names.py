"""What data is called for people: a file somebody sent by its name, with its short id beside it; other data as it is.

The names are asked for once and kept with the browser's session; while they cannot be told, the id stands there.
Everything here is plain text of users. Neighbours: pages of runs and of models show them.
"""

from __future__ import annotations

import streamlit as st

from finetune30.errors import Finetune30Error
from finetune30.ui.pages import page_of
from finetune30.ui.shell import here, inert

_SENT = "upload:"
_KEPT = "data_names"
_MOST = 500


def name_of(data: str | None) -> str:
    """Of what a configuration calls data: ``films.csv (ds-1a2b3c)`` for ``upload:ds-1a2b3c…``."""
    if not is_sent(data):
        return data or ""
    id = id_of(data)
    name = _names(id).get(id)
    return f"{name} ({id[:9]})" if name else id


def is_sent(data: str | None) -> bool:
    """Whether it is a file somebody sent."""
    return (data or "").startswith(_SENT)


def id_of(data: str | None) -> str:
    """The dataset's id."""
    return (data or "").removeprefix(_SENT).partition("@")[0]


def link(data: str | None) -> None:
    """The way to the dataset, where it is one that was sent."""
    if is_sent(data):
        st.page_link(
            page_of("data"),
            label=inert(name_of(data)),
            icon=":material/database:",
            query_params={"id": id_of(data)},
        )


def _names(wanted: str) -> dict[str, str]:
    kept: dict[str, str] = st.session_state.setdefault(_KEPT, {})
    if wanted not in kept:
        try:
            kept |= {one.dataset_id: one.name for one in here().client.datasets(limit=_MOST)}
        except Finetune30Error:
            return kept
        # Deleted, or another user's: asking again would not tell more.
        kept.setdefault(wanted, "")
    return kept
