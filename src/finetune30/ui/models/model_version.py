"""One version of a model: how good, from which run, data and base; its card, its files, and what can be done with it.

The card is shown as it is written, not drawn: label names in it are users' texts. Neighbours: ``model`` places this.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from finetune30.client import Client
from finetune30.client.answers_more import Model, ModelVersion
from finetune30.errors import Finetune30Error
from finetune30.ui import data_names, shown
from finetune30.ui.fetching import fetched
from finetune30.ui.models.promoting import plan
from finetune30.ui.pages import page_of
from finetune30.ui.shell import act, here, inert, say, show

_USUAL = "champion"


def show_one(one: Model, version: ModelVersion, *, mine: bool) -> None:
    """All of it."""
    number = version.version
    with st.container(border=True, key="model_version"):
        st.subheader(say("models.details", version=number), anchor=False)
        _actions(one, version, mine=mine)
        _facts(one, version)
        with st.expander(
            say("models.card"), icon=":material/description:", key="version_card", on_change="rerun"
        ) as card:
            if card.open:
                text = here().client.model_card(one.name, number)
                st.code(text, language="markdown", wrap_lines=True)
                name = f"{one.name}-{number}.md"
                st.download_button(
                    say("models.get_card"), text, name, "text/markdown", on_click="ignore", key="get_card"
                )
        _files(one, number)


def _actions(one: Model, version: ModelVersion, *, mine: bool) -> None:
    number = version.version
    with st.container(horizontal=True, key="version_actions"):
        if st.button(say("models.try"), key="version_try", icon=":material/chat:"):
            st.switch_page(page_of("try"), query_params={"model": version.address})
        fetched(
            say("models.get"), partial(_zip, here().client, one.name, number), f"{one.name}-{number}.zip", "version_get"
        )
        if not mine:
            return
        if st.button(say("models.open_run"), key="version_run", icon=":material/monitoring:"):
            st.switch_page(page_of("run"), query_params={"id": version.experiment_id})
        if st.button(say("models.train_again"), key="version_again", icon=":material/edit_note:"):
            st.switch_page(page_of("submit"), query_params={"from": version.experiment_id})
        if one.aliases.get(_USUAL) != number:
            st.button(
                say("models.promote_to", version=number),
                key="version_promote",
                icon=":material/flag:",
                type="primary",
                on_click=act(plan, "point", one.name, _USUAL, one.aliases.get(_USUAL, 0), number),
            )
        with st.popover(say("models.unregister"), icon=":material/delete:", key="version_delete"):
            st.write(say("models.unregister_sure", version=number))
            st.button(
                say("models.delete_yes"),
                key="version_delete_yes",
                type="primary",
                on_click=act(_unregistered, one.name, number, at="model"),
            )


def _facts(one: Model, version: ModelVersion) -> None:
    accuracy, base = st.columns(2)
    accuracy.metric(say("models.accuracy"), shown.share(version.eval_accuracy))
    base.metric(say("models.base"), inert(version.base_model))
    try:
        found = here().client.lineage(one.name, version.version)
    except Finetune30Error as fault:
        show(fault)
        return
    run, data = found["experiment"], found["data"]
    facts: dict[str, Any] = {
        say("models.run"): f"{run['name']} · {run['id']} · {run['owner']} · {shown.moment(run['finished_at'])}",
        say("models.dataset"): " · ".join(
            filter(None, (data_names.name_of(data["name"]), (data["version"] or "")[:12]))
        ),
        say("models.base"): " · ".join(filter(None, (found["base"]["name"], found["base"]["revision"]))),
        say("models.registered", zone=shown.zone()): f"{shown.moment(version.registered_at)} · {version.registered_by}",
        say("models.note_short"): version.note or shown.NOTHING,
        "sha256": version.sha256,
        say("models.other_versions"): ", ".join(data["also_trained"]) or shown.NOTHING,
    }
    st.markdown(f"**{say('models.where_from')}**")
    for name, value in facts.items():
        left, right = st.columns([1, 3], gap="small")
        left.caption(inert(name))
        right.text(str(value))
    data_names.link(data["name"])


def _files(one: Model, number: int) -> None:
    files = here().client.model_version(one.name, number).files
    total = shown.size(sum(each.bytes for each in files))
    with st.expander(say("models.files", size=total), icon=":material/folder_zip:", key="version_files"):
        table = [
            {say("models.file"): each.name, say("models.size"): shown.size(each.bytes), "sha256": each.sha256}
            for each in files
        ]
        st.dataframe(table, key="version_file_table", hide_index=True, width="stretch")


def _unregistered(name: str, number: int) -> None:
    """Before the page is drawn again."""
    here().client.unregister(name, number)
    st.toast(say("models.unregistered", version=number), icon=":material/delete:")
    st.query_params.pop("version", None)


def _zip(client: Client, name: str, number: int, folder: Path) -> Path:
    return client.download_version(name, number, folder / "model.zip")
