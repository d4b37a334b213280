"""Where a draft begins: the server's defaults, a template, a file of one's own, an earlier run; what the address says.

``?from=ID`` is an earlier run, ``?template=NAME`` a file of the operator's, ``?data=upload:ID`` a dataset,
``?set=KEY=VALUE`` (several) what was changed since.
Neighbours: ``templates`` reads files, ``draft`` is what begins here.
"""

from __future__ import annotations

import streamlit as st

from finetune30.client import WholeTask
from finetune30.errors import ConfigError, Finetune30Error, Refused, RemoteError
from finetune30.ui import shell, shown
from finetune30.ui.seats import Seat
from finetune30.ui.shell import act, inert, say, told
from finetune30.ui.submitting import draft as drafts
from finetune30.ui.submitting import fields, source
from finetune30.ui.submitting.draft import Draft, Form, Wish
from finetune30.ui.submitting.keys import flat
from finetune30.ui.submitting.summary import START
from finetune30.ui.submitting.templates import read_file, templates

_ASKED = ("from", "template", "data")
_RUN = "?from"
_WISHES = ("queue", "priority", "longest")


def draft_of(seat: Seat, form: Form) -> Draft:
    """The one of this session, unless the address asks for another beginning, or it has become a training."""
    origin = tuple(st.query_params.get(one) for one in _ASKED)
    found = st.session_state.get("draft")
    done = isinstance(found, Draft) and found.made is not None and not st.session_state.get(START)
    if isinstance(found, Draft) and st.session_state.get("origin") == origin and not done:
        return found
    draft = _new(seat, form)
    if not done:
        draft.values |= drafts.read(st.query_params.get_all("set"), form.fields)
    _take(draft)
    st.session_state["origin"] = origin
    return draft


def begin(seat: Seat, form: Form, draft: Draft) -> None:
    """Choose where to begin; where an address led nowhere it is said here."""
    if st.session_state.get("beginning.language") != seat.language:
        st.session_state["beginning.language"] = seat.language
        st.session_state.pop("template", None)
        source.relabel()
    fault = st.session_state.get("beginning.fault")
    if isinstance(fault, Finetune30Error):
        shell.show(fault)
        st.caption(say("submit.usual_instead"))
    first, second = st.columns([5, 3], gap="medium", vertical_alignment="bottom")
    with first:
        _choose(draft)
    with second:
        _own_file(seat, form, draft)
    if draft.base_run:
        state = shown.state(draft.base_run["status"]).name
        st.info(inert(say("submit.from_run", **draft.base_run, state=state)), icon=":material/history:")
    for note in draft.notes:
        st.caption(inert(note))


def keep(draft: Draft) -> None:
    """Write what was changed into the address."""
    told = drafts.written(draft.values, draft.base)
    if told != st.query_params.get_all("set"):
        if told:
            st.query_params["set"] = told
        else:
            st.query_params.pop("set", None)


def _take(draft: Draft) -> None:
    st.session_state["draft"] = draft
    fields.forget()
    source.forget()
    for key in _WISHES:
        st.session_state.pop(key, None)


def _new(seat: Seat, form: Form) -> Draft:
    run, template, data = (st.query_params.get(one) for one in _ASKED)
    st.session_state.pop("beginning.fault", None)
    draft = Draft(dict(form.defaults))
    try:
        if run:
            draft = _of_run(seat.client.task(run), form)
        elif template:
            draft = _of_template(template, form)
    except RemoteError as fault:
        if not isinstance(fault, Refused) or fault.status == 401:
            raise
        st.session_state["beginning.fault"] = fault
    except ConfigError as fault:
        st.session_state["beginning.fault"] = fault
    if data:
        draft.base[source.NAME] = draft.values[source.NAME] = data
        _call_after(seat, draft, data)
    return draft


def _of_run(task: WholeTask, form: Form) -> Draft:
    base = {**form.defaults, **flat(task.config, form.fields)}
    queue = task.queue if task.queue in form.choices.queues else None
    told = {"name": task.name, "id": task.task_id, "status": task.status}
    return Draft(base, told, wish=Wish(queue, task.priority, task.max_runtime_s))


def _of_template(name: str, form: Form) -> Draft:
    found = next((one for one in templates(shell.OPTIONS.configs) if one.name == name), None)
    if found is None:
        raise ConfigError(say("submit.no_template"), where=name)
    if found.fault:
        raise ConfigError(found.fault)
    return Draft({**form.defaults, **flat(found.config, form.fields)})


def _call_after(seat: Seat, draft: Draft, data: str) -> None:
    """A training on a file is called after it."""
    found = source.upload_id(data)
    if found is None or st.query_params.get("from"):
        return
    try:
        name = source.suggested_name(seat.client.dataset(found).name)
    except Refused:
        return  # what is wrong with it stands beside it
    if name:
        draft.base["experiment_name"] = draft.values["experiment_name"] = name


def _choose(draft: Draft) -> None:
    there = templates(shell.OPTIONS.configs)
    run = st.query_params.get("from") if draft.base_run else None
    names = [*([_RUN] if run else []), "", *(one.name for one in there)]
    labels = {one.name: one.name if not one.fault else f"⚠ {one.name}" for one in there}
    told = {one.name: f"{labels[one.name]} – {_about(one.config)}" for one in there if not one.fault}
    told[_RUN] = say("submit.that_run", id=run)
    now = _RUN if run else st.query_params.get("template", "")
    st.selectbox(
        say("submit.begin"),
        names,
        names.index(now) if now in names else 0,
        format_func=lambda name: {**labels, **told}.get(name, name) or say("submit.usual"),
        key="template",
        help=say("submit.begin_help"),
        on_change=act(_chosen),
    )


def _about(config: object) -> str:
    model = config.get("model", {}).get("name", "") if isinstance(config, dict) else ""
    data = config.get("data", {}).get("dataset_name", "") if isinstance(config, dict) else ""
    return f"{model}, {data}"


def _chosen() -> None:
    """Another template: the address says so, and what was changed is given up."""
    chosen = st.session_state["template"]
    if chosen != _RUN:
        st.query_params.from_dict({"template": chosen} if chosen else {})
        st.session_state.pop("draft", None)


def _own_file(seat: Seat, form: Form, draft: Draft) -> None:
    with st.popover(
        say("submit.own_file"), icon=":material/file_open:", width="stretch", key="own_file", on_change="rerun"
    ):
        file = st.file_uploader(say("submit.own_file_label"), type=["yaml", "yml"], key="own_file_chosen")
        st.caption(say("submit.own_file_lead"))
        st.button(
            say("submit.own_file_take"),
            key="own_file_take",
            type="primary",
            disabled=file is None,
            on_click=act(_take_file, seat, form, draft, at="own_file"),
        )
        told("own_file")


def _take_file(seat: Seat, form: Form, draft: Draft) -> None:
    """The file's values become the draft's; one that cannot be read changes nothing."""
    read = read_file(st.session_state["own_file_chosen"].getvalue(), seat.client, form)
    draft.values, draft.notes = dict(read.values), read.notes
    _take(draft)
    st.session_state["own_file"] = False
