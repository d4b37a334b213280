"""Datasets: sent, checked, looked at, compared, trained on, deleted; and the versions their rows became.

Which one is looked at stands in the address (``?id=``, ``?show=versions``). Neighbours: ``sending`` takes files,
``dataset`` shows one, ``data_versions`` the versions.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from finetune30.client.answers_more import Dataset
from finetune30.ui import links, shown
from finetune30.ui.datasets import data_versions, dataset
from finetune30.ui.datasets.sending import sending
from finetune30.ui.shell import act, guarded, here, say

_AT_ONCE = 100
_LOOK_EVERY_S = 3.0
_NAMES = "data_names_clicked"
_SHOWN = ("files", "versions")


def page() -> None:
    """One dataset, or all."""
    if st.query_params.get("id"):
        dataset.page(st.query_params["id"].strip())
        return
    st.title(say("shell.data"))
    given = st.query_params.get("show")
    st.session_state.setdefault("data_show", given if given in _SHOWN else "files")
    st.segmented_control(
        say("data.show"),
        _SHOWN,
        key="data_show",
        format_func={one: say(f"data.show_{one}") for one in _SHOWN}.__getitem__,
        label_visibility="collapsed",
        required=True,
    )
    if st.session_state["data_show"] == "versions":
        st.query_params["show"] = "versions"
        data_versions.page()
        return
    st.query_params.pop("show", None)
    # In one place, which is emptied before another page is drawn: what stood here must not linger beside that.
    whole = st.empty()
    with whole.container():
        sent = sending("data")
        if sent is None:
            _list()
    if sent is not None:
        whole.empty()
        dataset.open_one(sent.dataset_id)


def _list() -> None:
    most = st.session_state.setdefault("data_most", _AT_ONCE)
    found = list(here().client.datasets(limit=most + 1))
    st.subheader(say("data.mine" if not here().is_admin else "data.all"), anchor=False)
    if not found:
        _newcomer()
        return
    # Only while something changes is there something to look for.
    every = _LOOK_EVERY_S if any(one.is_checking for one in found) else None
    st.fragment(guarded(lambda: _table(most)), run_every=every)()


def _table(most: int) -> None:
    seat = here()
    found = list(seat.client.datasets(limit=most + 1))
    wanted = st.text_input(say("data.search"), key="data_search", icon=":material/search:").casefold().strip()
    rows = [one for one in found[:most] if wanted in f"{one.name} {one.owner} {one.dataset_id}".casefold()]
    if not rows:
        st.info(say("data.none_fits"), icon=":material/search_off:")
        return
    chosen = _rows(rows, with_owner=seat.is_admin)
    if len(found) > most:
        st.button(say("data.more"), key="data_more", icon=":material/expand_more:", on_click=act(_show_more))
    st.caption(say("data.pick"))
    if chosen is not None:
        dataset.open_one(chosen.dataset_id)


def _rows(rows: Sequence[Dataset], *, with_owner: bool) -> Dataset | None:
    column = st.column_config
    table = [
        {
            "name": links.cell(one.name),
            "state": dataset.state_of(one),
            "rows": (one.report or {}).get("total_samples"),
            "labels": len((one.report or {}).get("label_counts") or {}) or None,
            "size": shown.size(one.bytes),
            "sent": shown.moment(one.created_at),
            **({"owner": one.owner} if with_owner else {}),
        }
        for one in rows
    ]
    picked = st.dataframe(
        table,
        key=f"data_table_{st.session_state.setdefault('data_table', 0)}",
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        placeholder=shown.NOTHING,
        column_config={
            "name": links.column(say("data.name"), _NAMES, width="medium"),
            "state": column.TextColumn(say("data.state")),
            "rows": column.NumberColumn(say("data.rows"), format="localized"),
            "labels": column.NumberColumn(say("data.labels")),
            "size": column.TextColumn(say("data.size")),
            "sent": column.TextColumn(say("data.sent", zone=shown.zone())),
            "owner": column.TextColumn(say("data.owner")),
        },
        alt=say("data.table_alt", count=len(rows)),
    )
    places = picked["selection"]["rows"]
    if places and places[0] < len(rows):
        return rows[places[0]]
    return links.clicked(_NAMES, [one.name for one in rows], rows)


def _show_more() -> None:
    st.session_state["data_most"] += _AT_ONCE


def _newcomer() -> None:
    with st.container(border=True, key="data_newcomer"):
        st.markdown(say("data.newcomer"))
        st.code("text,label\nA wonderful film.,good\nTwo hours I will not get back.,bad\n", language=None)
        st.markdown(say("data.newcomer_more"))
