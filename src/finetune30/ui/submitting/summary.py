"""What a draft comes to: in a few lines, what is still wrong, and the button that starts it.

Neighbours: ``pages.submit`` puts it beside the form and starts what the button asks for.
"""

from __future__ import annotations

import re

import streamlit as st

from finetune30.client.answers_more import Dataset
from finetune30.ui import shown
from finetune30.ui.shell import act, inert, say
from finetune30.ui.submitting import fields, source
from finetune30.ui.submitting.draft import ON_FAIL, Draft, Form, Verdict

START = "start"
_MOST = 12


def summary(form: Form, draft: Draft, verdict: Verdict, data: Dataset | None) -> None:
    """The card with the button; ``st.session_state[START]`` says whether it was pressed."""
    st.subheader(say("submit.summary"))
    _lines(draft, data)
    _changes(form, draft)
    stops = False
    ready = bool(draft.values.get(source.NAME)) and not (data is not None and data.is_checking)
    if ready:
        stops = _problems(form, draft, verdict, data)
    else:
        st.info(say("submit.checking" if data else "submit.no_data"), icon=":material/database:")
    st.button(
        say("submit.start"),
        key=START,
        type="primary",
        icon=":material/rocket_launch:",
        width="stretch",
        disabled=bool(verdict.faults) or not ready or stops,
    )
    st.caption(say("submit.after"))


def _lines(draft: Draft, data: Dataset | None) -> None:
    values = draft.values
    rows = values.get("data.train_samples")
    steps = values.get("training.max_steps")
    length = _epochs(values.get("training.num_train_epochs"))
    if isinstance(steps, int) and steps > 0:
        length = say("submit.steps", number=shown.number(steps))
    length += f", {say('submit.rows', rows=shown.number(rows))}" if isinstance(rows, int) else ""
    told = (
        ("name", values.get("experiment_name")),
        ("data", data.name if data else values.get(source.NAME)),
        ("model", values.get("model.name")),
        ("length", length),
    )
    for key, value in told:
        st.markdown(f"**{say(f'submit.line_{key}')}**  \n{inert(str(value or '–'))}")


def _epochs(number: object) -> str:
    return say("submit.epoch" if number == 1 else "submit.epochs", number=fields.shown(number))


def _changes(form: Form, draft: Draft) -> None:
    changed = {path: pair for path, pair in draft.changed.items() if path not in ("experiment_name", source.NAME)}
    if not changed:
        return
    with st.expander(say("submit.changed", count=len(changed)), icon=":material/difference:", key="changed"):
        for path, (before, now) in changed.items():
            known = form.fields.get(path)
            was, has = (inert(fields.shown(value, known)) for value in (before, now))
            st.markdown(say("findings.of", name=inert(fields.label_of(path)), text=f"{was} → **{has}**"))
        st.button(say("submit.undo"), key="undo", icon=":material/undo:", on_click=act(_undo, draft))


def _undo(draft: Draft) -> None:
    """As it began, but for its name and its data."""
    kept = {path: draft.values[path] for path in ("experiment_name", source.NAME) if path in draft.values}
    draft.values = {**draft.base, **kept}
    fields.forget()


def _problems(form: Form, draft: Draft, verdict: Verdict, data: Dataset | None) -> bool:
    """What is still wrong; whether a training would stop at a check of its data."""
    if verdict.silence is not None:
        st.warning(say("submit.unchecked"), icon=":material/cloud_off:")
        st.text(verdict.silence.message)
        st.button(say("shell.again"), key="check_again")
    faults = verdict.faults
    if not faults:
        if data is not None and (data.report or {}).get("status") == "FAIL":
            return _failed_check(draft)
        if verdict.checked is not None:
            st.success(say("submit.good"), icon=":material/check_circle:")
        return False
    st.error(say("submit.problems", count=len(faults)), icon=":material/error:")
    for path, text in list(faults.items())[:_MOST]:
        label, told = inert(fields.label_of(path)), inert(fields.worded(text, form.fields.get(path)))
        st.markdown(say("findings.of", name=f"**{label}**", text=told))
        if path not in form.fields and path in draft.values:
            _stranger(form, draft, path, text)
    return False


def _failed_check(draft: Draft) -> bool:
    if draft.values.get(ON_FAIL) != "stop":
        st.warning(say("submit.would_warn"), icon=":material/report:")
        return False
    st.error(say("submit.would_stop"), icon=":material/report:")
    st.button(say("submit.anyway"), key="anyway", icon=":material/warning:", on_click=act(_go_on, draft))
    return True


def _go_on(draft: Draft) -> None:
    draft.go_on_whatever()
    fields.forget()


def _stranger(form: Form, draft: Draft, path: str, text: str) -> None:
    """A key that is none, from a file or an old run: leave it out, or take the one that was meant."""
    meant = re.search(r"(?:did you mean|belongs at) ([a-z0-9_.]+)", text)
    key = meant[1].rstrip("?.") if meant else ""
    if key in form.fields:
        st.button(say("submit.meant", name=inert(key)), key=f"meant.{path}", on_click=act(_rename, draft, path, key))
    st.button(say("submit.leave_out", name=inert(path)), key=f"out.{path}", on_click=act(_rename, draft, path, ""))


def _rename(draft: Draft, path: str, key: str) -> None:
    value = draft.values.pop(path, None)
    if key:
        draft.put(key, value)
    fields.forget()
