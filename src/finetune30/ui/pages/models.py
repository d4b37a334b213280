"""The registry: models, their versions and aliases; a run becomes a version, a version is promoted and moved back.

What is looked at stands in the address (``?name=``, ``?version=``, ``?register=RUN``). Neighbours: ``model`` shows one,
``registering`` makes a version of a run, ``promoting`` moves aliases.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from finetune30.client.answers_more import Model
from finetune30.ui import links, shown
from finetune30.ui.models import model, registering
from finetune30.ui.pages import page_of
from finetune30.ui.shell import act, here, say

_AT_ONCE = 100
_WHOSE = ("all", "me")
_NAMES = "models_names_clicked"


def page() -> None:
    """One model, or all; or the form that registers a run."""
    if st.query_params.get("register"):
        registering.page(st.query_params["register"].strip())
    elif st.query_params.get("name"):
        model.page(st.query_params["name"].strip())
    else:
        _list()


def _list() -> None:
    st.title(say("shell.models"), anchor=False)
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    wanted = left.text_input(say("models.search"), key="models_search", icon=":material/search:").strip().lower()
    whose = right.segmented_control(
        say("models.whose"),
        _WHOSE,
        default="all",
        key="models_whose",
        format_func={one: say(f"models.whose_{one}") for one in _WHOSE}.__getitem__,
        required=True,
    )
    most = st.session_state.setdefault("models_most", _AT_ONCE)
    filters = {"name": wanted or None, "owner": "me" if whose == "me" else None}
    found = list(here().client.models(limit=most + 1, **filters))
    if not found:
        _nothing(narrowed=bool(wanted) or whose == "me")
        return
    chosen = _table(found[:most])
    if len(found) > most:
        st.button(say("models.more"), key="models_more", icon=":material/expand_more:", on_click=act(_show_more))
    st.caption(say("models.pick"))
    if chosen is not None:
        model.open_one(chosen.name)


def _table(models: Sequence[Model]) -> Model | None:
    column = st.column_config
    picked = st.dataframe(
        [
            {
                "name": links.cell(one.name),
                "aliases": ", ".join(f"{alias} → {number}" for alias, number in sorted(one.aliases.items())),
                "versions": one.versions,
                "owner": one.owner,
                "visibility": say(f"models.{one.visibility}"),
                "description": one.description,
                "made": shown.moment(one.created_at),
            }
            for one in models
        ],
        key=f"models_table_{st.session_state.setdefault('models_table', 0)}",
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "name": links.column(say("models.name"), _NAMES),
            "aliases": column.TextColumn(say("models.aliases")),
            "versions": column.NumberColumn(say("models.versions")),
            "owner": column.TextColumn(say("models.owner")),
            "visibility": column.TextColumn(say("models.visibility")),
            "description": column.TextColumn(say("models.description"), width="medium"),
            "made": column.TextColumn(say("models.made", zone=shown.zone())),
        },
        alt=say("models.table_alt", count=len(models)),
    )
    places = picked["selection"]["rows"]
    if places and places[0] < len(models):
        return models[places[0]]
    return links.clicked(_NAMES, [one.name for one in models], models)


def _nothing(*, narrowed: bool) -> None:
    if narrowed:
        st.info(say("models.none_fits"), icon=":material/search_off:")
        return
    with st.container(border=True, key="models_newcomer"):
        st.markdown(say("models.none_here"))
        if st.button(say("models.to_runs"), key="models_to_runs", icon=":material/table_view:", type="primary"):
            st.switch_page(page_of("experiments"))


def _show_more() -> None:
    st.session_state["models_most"] += _AT_ONCE
