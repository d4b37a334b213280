"""A run that succeeded becomes the next version of a model.

A form keeps what was typed when the API refuses. Neighbours: ``pages.models`` places this for ``?register=RUN``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from finetune30.client import WholeExperiment
from finetune30.errors import Finetune30Error
from finetune30.ui import data_names, shown
from finetune30.ui.models.model import VISIBILITIES, open_one
from finetune30.ui.models.promoting import same_data
from finetune30.ui.pages import page_of
from finetune30.ui.shell import act, here, inert, say, show

_MODELS = 200
_WARNED = "register_warned"


def page(run_id: str) -> None:
    """The form."""
    st.title(say("models.register"), anchor=False)
    client = here().client
    try:
        run = client.experiment(run_id)
        mine = [one.name for one in client.models(limit=_MODELS, owner=None if here().is_admin else "me")]
        kept = [one.name for one in client.models(limit=10, experiment_id=run_id)]
    except Finetune30Error as fault:
        show(fault)
        st.button(say("models.back"), key="register_back", on_click=act(st.query_params.clear))
        return
    if run.status != "SUCCESS":
        st.warning(say("models.register_state", state=inert(shown.state(run.status).name)), icon=":material/block:")
        if run.error and run.error.message:
            st.text(run.error.message)
        st.page_link(
            page_of("run"), label=say("models.open_run"), icon=":material/monitoring:", query_params={"id": run.id}
        )
        st.button(say("models.back"), key="register_back", on_click=act(st.query_params.clear))
        return
    told = {"name": run.name, "accuracy": shown.share(run.eval_accuracy), "dataset": data_names.name_of(run.dataset)}
    st.markdown(say("models.register_help", **{name: inert(text) for name, text in told.items()}))
    if kept:
        st.info(say("models.kept_as", names=inert(", ".join(kept))), icon=":material/inventory_2:")
    _form(run, mine)


def _form(run: WholeExperiment, mine: list[str]) -> None:
    with st.form("register", enter_to_submit=False):
        name = st.selectbox(
            say("models.model_name"),
            mine,
            index=None,
            accept_new_options=True,
            key="register_name",
            help=say("models.model_name_help"),
            placeholder=say("models.model_name_hint"),
        )
        beside = {"name": st.empty()}
        alias = st.text_input(
            say("models.alias_at_once"), key="register_alias", placeholder="champion", help=say("models.alias_rule")
        )
        beside["alias"] = st.empty()
        note = st.text_input(say("models.note"), key="register_note", max_chars=500)
        description = st.text_area(say("models.description_new"), key="register_description", max_chars=1000)
        visibility = st.radio(
            say("models.visibility_new"),
            VISIBILITIES,
            key="register_visibility",
            format_func={one: say(f"models.{one}") for one in VISIBILITIES}.__getitem__,
        )
        pressed = st.form_submit_button(
            say("models.register_yes"), type="primary", key="register_yes", icon=":material/inventory_2:"
        )
    if not pressed:
        return
    name = (name or "").strip()
    if not name:
        beside["name"].warning(say("models.name_missing"), icon=":material/edit:")
        return
    is_new = name not in mine
    if not is_new and _is_of_other_data(run, name):
        return
    try:
        made = here().client.register(
            name,
            run.id,
            alias=alias.strip() or None,
            note=note,
            description=description or None if is_new else None,
            visibility=visibility if is_new else None,
        )
    except Finetune30Error as fault:
        _refused(fault, beside)
        return
    st.session_state.pop(_WARNED, None)
    st.toast(inert(say("models.registered_done", address=made.address)), icon=":material/check:")
    open_one(made.model, made.version)


def _refused(fault: Finetune30Error, beside: Mapping[str, Any]) -> None:
    """Each fault beside its field, in words of the page where the field has a rule; others below."""
    found = list(getattr(fault, "faults", ())) or [(fault.where or "", fault.message)]
    others = [(where, told) for where, told in found if where.removeprefix("body.") not in beside]
    if others:
        show(fault)
        return
    for where, _ in found:
        field = where.removeprefix("body.")
        beside[field].error(say(f"models.{field}_rule"), icon=":material/error:")


def _is_of_other_data(run: WholeExperiment, name: str) -> bool:
    """Say once that the model's version in use (else its newest) is of other data; a second press means it."""
    client = here().client
    try:
        model = client.model(name)
        number = model.aliases.get("champion") or model.latest
        used = None if number is None else client.model_version(name, number).version
    except Finetune30Error as fault:
        show(fault)
        return True
    asked = (run.id, name)
    if used is None or same_data(used.dataset_hash, run.dataset_hash) or st.session_state.get(_WARNED) == asked:
        return False
    st.session_state[_WARNED] = asked
    told = {
        "version": used.version,
        "before": data_names.name_of(used.dataset),
        "after": data_names.name_of(run.dataset),
    }
    st.warning(inert(say("models.register_other", **told)), icon=":material/warning:")
    return True
