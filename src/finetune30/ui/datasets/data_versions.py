"""Versions of data: the exact rows of uploads and runs, and what changed from one to another.

Which two are compared stands in the address (``?before=&after=``). Neighbours: ``pages.data`` places this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.client.answers_more import DataVersion
from finetune30.errors import Finetune30Error
from finetune30.ui import shown
from finetune30.ui.pages import page_of
from finetune30.ui.shell import act, here, inert, say, show
from finetune30.ui.tiles import tiles

_AT_ONCE = 100
_ROWS = 100
_SHORT = 12
_KINDS = ("added", "removed", "relabelled", "moved")


def page() -> None:
    """The list, and two of it compared."""
    client = here().client
    most = st.session_state.setdefault("versions_most", _AT_ONCE)
    found = list(client.data_versions(limit=most + 1))
    if not found:
        st.info(say("data.no_versions"), icon=":material/history:")
        return
    names: dict[str, str] = {}
    for one in client.datasets(limit=_AT_ONCE):
        if one.version:
            names.setdefault(one.version, one.name)
    _table(found[:most], names)
    if len(found) > most:
        st.button(say("data.more"), key="versions_more", icon=":material/expand_more:", on_click=act(_show_more))
    _compare(found[:most], names)


def _table(versions: Sequence[DataVersion], names: Mapping[str, str]) -> None:
    column = st.column_config
    picked = st.dataframe(
        [
            {
                "version": one.version[:_SHORT],
                "from": names.get(one.version, one.source),
                "rows": one.rows,
                "splits": " · ".join(f"{say(f'quality.split_{name}')} {rows:,}" for name, rows in one.splits.items()),
                "labels": shown.names(one.label_names, 4),
                "made": shown.moment(one.created_at),
                "size": shown.size(one.bytes),
                "tags": ", ".join(one.tags),
            }
            for one in versions
        ],
        key="versions_table",
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={
            "version": column.TextColumn(say("data.version")),
            "from": column.TextColumn(say("data.from"), width="medium"),
            "rows": column.NumberColumn(say("data.rows"), format="localized"),
            "splits": column.TextColumn(say("data.splits"), width="medium"),
            "labels": column.TextColumn(say("data.labels"), width="medium"),
            "made": column.TextColumn(say("data.made", zone=shown.zone())),
            "size": column.TextColumn(say("data.size")),
            "tags": column.TextColumn(say("data.tags")),
        },
        alt=say("data.versions_alt", count=len(versions)),
    )
    chosen = [versions[place] for place in picked["selection"]["rows"] if place < len(versions)]
    with st.container(horizontal=True, vertical_alignment="center", key="versions_actions"):
        if len(chosen) == 1:
            query = {"data": f"version:{chosen[0].version}"}
            label = inert(say("data.train_version", version=chosen[0].version[:_SHORT]))
            st.page_link(page_of("submit"), label=label, icon=":material/model_training:", query_params=query)
        elif len(chosen) == 2:
            # The list is newest first, a change is told from old to new.
            st.button(
                say("data.compare_two"),
                key="versions_compare_two",
                icon=":material/difference:",
                on_click=act(_choose, chosen[1].version, chosen[0].version),
            )
        else:
            st.caption(say("data.pick_versions"))


def _compare(versions: Sequence[DataVersion], names: Mapping[str, str]) -> None:
    st.subheader(say("data.difference"), anchor=False)
    if len(versions) < 2:
        st.caption(say("data.one_version"))
        return
    ids = [one.version for one in versions]
    told = {
        one.version: f"{one.version[:_SHORT]} · {names.get(one.version, one.source)} · {one.rows:,}" for one in versions
    }
    for name, place in (("before", 1), ("after", 0)):
        asked = st.query_params.get(name, "")
        given = next((one for one in ids if asked and one.startswith(asked)), ids[place])
        if st.session_state.get(f"versions_{name}") not in ids:
            st.session_state[f"versions_{name}"] = given
    left, right = st.columns(2)
    before = left.selectbox(say("data.before"), ids, key="versions_before", format_func=told.__getitem__)
    after = right.selectbox(say("data.after"), ids, key="versions_after", format_func=told.__getitem__)
    pressed = st.button(say("data.compare"), key="versions_compare", icon=":material/difference:", type="primary")
    if pressed:
        st.query_params.update({"before": before, "after": after})
    wanted = [st.query_params.get(name) or "-" for name in ("before", "after")]
    if before.startswith(wanted[0]) and after.startswith(wanted[1]):
        _difference(before, after)


def _difference(before: str, after: str) -> None:
    kept: tuple[tuple[str, str], dict[str, Any]] | None = st.session_state.get("versions_diff")
    if kept is None or kept[0] != (before, after):
        try:
            with st.spinner(say("data.comparing")):
                kept = ((before, after), here().client.data_diff(before, after, rows=_ROWS))
        except Finetune30Error as fault:
            show(fault)
            return
        st.session_state["versions_diff"] = kept
    found = kept[1]
    counts = {"unchanged": found["unchanged"], **{kind: found["counts"].get(kind, 0) for kind in _KINDS}}
    tiles("versions_counts", [(say(f"data.{kind}"), shown.number(count), None) for kind, count in counts.items()])
    if not any(found["counts"].values()):
        st.success(say("data.same_rows"), icon=":material/check_circle:")
    for kind in _KINDS:
        if found[kind]:
            _changed(kind, found[kind], int(found["counts"][kind]))


def _changed(kind: str, rows: Sequence[Any], count: int) -> None:
    with st.expander(f"{say(f'data.{kind}')} ({count:,})", expanded=True, key=f"versions_{kind}"):
        paired = kind in ("relabelled", "moved")
        table = [_pair(*one) if paired else _one(one) for one in rows]
        st.dataframe(table, key=f"versions_rows_{kind}", hide_index=True, width="stretch", alt=say(f"data.{kind}"))
        if count > len(rows):
            st.caption(say("data.first_rows", count=len(rows), of=shown.number(count)))


def _one(row: Mapping[str, Any]) -> dict[str, str]:
    return {say("quality.row"): row["place"], say("quality.label"): row["label"], say("quality.text"): _text(row)}


def _pair(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    return {
        say("data.before"): f"{old['place']} · {old['label']}",
        say("data.after"): f"{new['place']} · {new['label']}",
        say("quality.text"): _text(new),
    }


def _text(row: Mapping[str, Any]) -> str:
    return f"{row['text']} ‖ {row['text_pair']}" if row.get("text_pair") else str(row["text"])


def _choose(before: str, after: str) -> None:
    st.session_state["versions_before"], st.session_state["versions_after"] = before, after
    st.query_params.update({"before": before, "after": after})


def _show_more() -> None:
    st.session_state["versions_most"] += _AT_ONCE
