"""One model: what it is for, which versions are in use, all its versions, and every move of its aliases.

Neighbours: ``promoting`` moves aliases, ``model_version`` shows a version, ``pages.models`` the list.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from finetune30.client.answers_more import Model, ModelVersion, Move
from finetune30.errors import Finetune30Error
from finetune30.ui import data_names, links, shown
from finetune30.ui.models import model_version, promoting
from finetune30.ui.pages import page_of
from finetune30.ui.shell import act, here, inert, say, show, told

_VERSIONS = 200
_MOVES = 100
_RUNS = "model_runs_clicked"
VISIBILITIES = ("private", "team")


def open_one(name: str, version: int | None = None) -> None:
    """Go to it; the table that was clicked forgets its selection."""
    st.session_state["models_table"] = st.session_state.get("models_table", 0) + 1
    st.query_params.from_dict({"name": name} | ({} if version is None else {"version": str(version)}))
    st.rerun()


def page(name: str) -> None:
    """The model of ``?name=``."""
    st.button(
        say("models.back"),
        icon=":material/arrow_back:",
        key="models_back",
        on_click=act(st.query_params.clear),
        type="tertiary",
    )
    try:
        one = here().client.model(name)
        versions = list(here().client.model_versions(name, limit=_VERSIONS))
    except Finetune30Error as fault:
        st.title(say("shell.models"), anchor=False)
        show(fault)
        return
    mine = here().is_admin or one.owner == here().person.name
    st.title(inert(one.name), anchor=False)
    _head(one, mine=mine)
    promoting.dialog(versions)
    promoting.aliases(one, versions, mine=mine)
    chosen = _versions(one, versions, mine=mine)
    if chosen is not None:
        model_version.show_one(one, chosen, mine=mine)
    _history(one)


def _head(one: Model, *, mine: bool) -> None:
    if one.description:
        st.text(one.description)
    with st.container(horizontal=True, vertical_alignment="center", key="model_head"):
        team = one.visibility == "team"
        name = say(f"models.{one.visibility}") if one.visibility in VISIBILITIES else one.visibility
        st.badge(inert(name), icon=f":material/{'group' if team else 'lock'}:", color="blue" if team else "gray")
        st.caption(inert(f"{one.owner} · {shown.moment(one.created_at)}"))
    if mine:
        with st.container(horizontal=True, key="model_actions"):
            with st.popover(say("models.change"), icon=":material/edit:", key="model_change"):
                _change(one)
            with st.popover(say("models.delete"), icon=":material/delete:", key="model_delete"):
                _delete(one)
    told("model")


def _change(one: Model) -> None:
    with st.form("model_form", border=False):
        description = st.text_area(
            say("models.description"), one.description, max_chars=1000, key=f"model_description_{one.name}"
        )
        visibility = st.radio(
            say("models.visibility"),
            VISIBILITIES,
            VISIBILITIES.index(one.visibility) if one.visibility in VISIBILITIES else 0,
            key=f"model_visibility_{one.name}",
            format_func={each: say(f"models.{each}") for each in VISIBILITIES}.__getitem__,
        )
        pressed = st.form_submit_button(say("models.save"), type="primary", key="model_save")
    if pressed:
        try:
            here().client.change_model(one.name, description=description, visibility=visibility)
        except Finetune30Error as fault:
            show(fault)
            return
        st.toast(say("models.saved"), icon=":material/check:")
        st.rerun()


def _delete(one: Model) -> None:
    st.write(say("models.delete_sure", count=one.versions))
    if one.aliases:
        st.warning(say("models.delete_aliases", names=inert(", ".join(sorted(one.aliases)))), icon=":material/warning:")
    typed = st.text_input(say("models.name"), key=f"model_delete_name_{one.name}", placeholder=one.name)
    st.button(
        say("models.delete_yes"),
        key="model_delete_yes",
        type="primary",
        disabled=typed.strip() != one.name,
        on_click=act(_deleted, one, at="model"),
    )


def _deleted(one: Model) -> None:
    """Before the page is drawn again."""
    here().client.delete_model(one.name, force=bool(one.aliases))
    st.toast(say("models.deleted"), icon=":material/delete:")
    st.query_params.clear()


def _versions(one: Model, versions: Sequence[ModelVersion], *, mine: bool) -> ModelVersion | None:
    st.subheader(say("models.versions"), anchor=False)
    if not versions:
        st.info(say("models.no_versions"), icon=":material/inventory_2:")
        return None
    column = st.column_config
    picked = st.dataframe(
        [
            {
                "version": each.version,
                "aliases": ", ".join(each.aliases),
                "accuracy": each.eval_accuracy,
                "base": each.base_model,
                "dataset": data_names.name_of(each.dataset),
                "note": each.note,
                "registered": shown.moment(each.registered_at),
                "by": each.registered_by,
                # Whose it is not, they would be told there is nothing there.
                **({"run": links.cell(each.experiment_id)} if mine else {}),
            }
            for each in versions
        ],
        key=f"model_versions_{one.name}",
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        placeholder=shown.NOTHING,
        column_config={
            "version": column.NumberColumn(say("models.version"), width="small"),
            "aliases": column.TextColumn(say("models.aliases")),
            "accuracy": column.NumberColumn(say("models.accuracy"), format="percent"),
            "base": column.TextColumn(say("models.base")),
            "dataset": column.TextColumn(say("models.dataset")),
            "note": column.TextColumn(say("models.note_short"), width="medium"),
            "registered": column.TextColumn(say("models.registered", zone=shown.zone())),
            "by": column.TextColumn(say("models.by")),
            "run": links.column(say("models.run"), _RUNS),
        },
        alt=say("models.versions_alt", count=len(versions)),
    )
    clicked = links.clicked(_RUNS, [each.experiment_id for each in versions], versions)
    if clicked is not None:
        st.switch_page(page_of("run"), query_params={"id": clicked.experiment_id})
    places = picked["selection"]["rows"]
    if places and places[0] < len(versions):
        st.query_params["version"] = str(versions[places[0]].version)
    wanted = st.query_params.get("version", "")
    chosen = next((each for each in versions if str(each.version) == wanted), None)
    if chosen is None:
        st.caption(say("models.pick_version"))
    return chosen


def _history(one: Model) -> None:
    with st.expander(
        say("models.history"), icon=":material/history:", key="model_history", on_change="rerun"
    ) as opened:
        if not opened.open:
            return
        moves = list(here().client.alias_history(one.name, limit=_MOVES))
        column = st.column_config
        st.dataframe(
            [
                {
                    "when": shown.moment(each.moved_at, seconds=True),
                    "alias": each.alias,
                    "kind": _kind(each),
                    "from": each.from_version,
                    "to": each.to_version,
                    "who": each.moved_by,
                    "note": each.note,
                }
                for each in moves
            ],
            key=f"model_moves_{one.name}",
            hide_index=True,
            width="stretch",
            placeholder=shown.NOTHING,
            column_config={
                "when": column.TextColumn(say("models.when", zone=shown.zone())),
                "alias": column.TextColumn(say("models.alias")),
                "kind": column.TextColumn(say("models.kind")),
                "from": column.NumberColumn(say("models.from")),
                "to": column.NumberColumn(say("models.to")),
                "who": column.TextColumn(say("models.who")),
                "note": column.TextColumn(say("models.note_short"), width="medium"),
            },
            alt=say("models.history_alt", count=len(moves)),
        )


def _kind(one: Move) -> str:
    return say(f"models.kind_{one.kind}") if one.kind in ("point", "rollback", "drop") else one.kind
