"""A new training: four answers are enough, and every key of the configuration is there.

The server is asked what it would say before anything is started, so that each problem stands beside its field.
Neighbours: ``draft`` is what is being made, ``source`` the dataset, ``beginning`` where it begins, ``fields`` the keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import streamlit as st

from finetune30.client.answers_more import Dataset
from finetune30.errors import Finetune30Error, Refused
from finetune30.ui import shell, shown
from finetune30.ui.seats import Seat
from finetune30.ui.shell import act, here, inert, say
from finetune30.ui.submitting import commands, fields
from finetune30.ui.submitting.beginning import begin, draft_of, keep
from finetune30.ui.submitting.draft import Draft, Form, Verdict
from finetune30.ui.submitting.groups import GROUPS, ICONS, groups
from finetune30.ui.submitting.source import NAME, PART, part_is_asked, source
from finetune30.ui.submitting.summary import START, summary


def page() -> None:
    """The form, what it comes to, and the button."""
    seat = here()
    st.title(say("submit.title"))
    st.caption(say("submit.lead"))
    form = _form(seat)
    draft = draft_of(seat, form)
    begin(seat, form, draft)
    verdict = draft.judge(seat.client)
    faults = dict(verdict.faults)
    left, right = st.columns([5, 3], gap="medium")
    with left:
        data = _basics(seat, form, draft, faults)
        _groups(form, draft, faults, opened={"reading"} if data is not None and data.state == "refused" else set())
        _queue(form, draft, faults)
    with right, st.container(border=True, key="summary"):
        summary(form, draft, verdict, data)
        if st.session_state.get(START):
            _start(seat, draft)
    _elsewhere(draft, verdict)
    keep(draft)


def _form(seat: Seat) -> Form:
    """What the server takes; asked once a session of the page."""
    form = st.session_state.get("form")
    if not isinstance(form, Form):
        form = st.session_state["form"] = Form.of(seat.client)
    return form


def _start(seat: Seat, draft: Draft) -> None:
    """Submit it and look at the run. A second click finds what the first one made."""
    if draft.made is None:
        wish = draft.wish
        try:
            task = seat.client.train(
                draft.config,
                queue=wish.queue,
                priority=wish.priority,
                max_runtime_s=wish.max_runtime_s,
                idempotency_key=draft.key,
            )
        except Refused as refusal:
            if refusal.status == 422 and draft.refused(refusal):
                st.rerun()
            shell.show(refusal)
            return
        except Finetune30Error as fault:
            shell.show(fault)
            st.caption(say("submit.kept"))
            return
        draft.made = task.task_id
    from finetune30.ui.pages import page_of  # it imports this module

    st.switch_page(page_of("run"), query_params={"id": draft.made})


def _basics(seat: Seat, form: Form, draft: Draft, faults: Mapping[str, str]) -> Dataset | None:
    """The four answers; the file that was chosen, where it is one."""
    known = form.fields
    fields.show(known["experiment_name"], draft.values, faults)
    st.subheader(say("submit.data"))
    data = source(seat, form, draft, faults)
    known_otherwise = data is not None and f"this is {data.state}" not in faults.get(NAME, "")
    if known_otherwise and "this is " in faults.get(NAME, ""):
        draft.doubt()  # its checks have ended since the server was asked
        st.rerun()
    st.subheader(say("submit.model"))
    fields.show(known["model.name"], draft.values, faults, options=form.choices.models, closed=True)
    kind = _MODELS.get(str(draft.values.get("model.name")), "other")
    st.caption(say(f"submit.model_{kind}"))
    st.subheader(say("submit.length"))
    epochs, rows, quick = st.columns([3, 3, 2], vertical_alignment="top")
    with epochs:
        fields.show(known["training.num_train_epochs"], draft.values, faults)
    with rows:
        fields.show(known["data.train_samples"], draft.values, faults)
    with quick:
        st.space("small")
        st.button(
            say("submit.quick"),
            key="quick",
            icon=":material/bolt:",
            help=say("submit.quick_help"),
            on_click=act(_quick, draft, _rows_of(data)),
            width="stretch",
        )
    labels = (data.report or {}).get("label_counts") if data is not None and data.report else None
    if _is_quick(draft):
        chance = say("submit.chance_of", share=shown.share(1 / len(labels))) if labels else say("submit.chance")
        st.caption(say("submit.quick_now", chance=chance))
    return data


_MODELS = {
    "builtin:minilm": "minilm",
    "distilbert-base-uncased": "distilbert",
    "roberta-base": "roberta",
    "albert-base-v2": "albert",
    "bert-base-chinese": "bert_chinese",
}


_MANY_ROWS = 5000
_QUICK_ROWS, _QUICK_EPOCHS, _QUICK_RATE = 400, 3.0, 1e-3
"""The built-in reviews come to an accuracy of 0.98 so, in half a minute of one core."""


def _is_quick(draft: Draft) -> bool:
    now = (draft.values.get("training.num_train_epochs"), draft.values.get("training.learning_rate"))
    return now == (_QUICK_EPOCHS, _QUICK_RATE) and draft.values.get("data.train_samples") in (None, _QUICK_ROWS)


def _rows_of(data: Dataset | None) -> int | None:
    """Rows of the file to train on, as far as they are known."""
    splits = (data.report or {}).get("splits") if data is not None else None
    return None if not splits else splits.get("train")


def _quick(draft: Draft, rows: int | None) -> None:
    """A first look in a minute."""
    draft.put("training.num_train_epochs", _QUICK_EPOCHS)
    draft.put("training.learning_rate", _QUICK_RATE)
    # What is sampled are rows there are; all of them where there are few.
    draft.put("data.train_samples", None if rows is not None and rows <= _QUICK_ROWS else _QUICK_ROWS)
    if rows is not None and rows > _MANY_ROWS:
        draft.put("data.eval_samples", _QUICK_ROWS)
    fields.forget()


def _groups(form: Form, draft: Draft, faults: Mapping[str, str], opened: Set[str]) -> None:
    st.subheader(say("submit.more"))
    st.caption(say("submit.more_lead"))
    beside = (PART,) if part_is_asked(draft) else ()
    for name, paths in groups(path for path in form.fields if path not in beside).items():
        is_open = name in opened or any(path in faults for path in paths)
        box = st.expander(
            say(f"submit.group_{name}"), expanded=is_open, icon=f":material/{ICONS[name]}:", key=f"group_{name}"
        )
        with box:
            if name in GROUPS:
                st.caption(say(f"submit.about_{name}"))
            for some in (paths[at : at + 2] for at in range(0, len(paths), 2)):
                for column, path in zip(st.columns(2, gap="medium"), some, strict=False):
                    with column:
                        fields.show(form.fields[path], draft.values, faults)


def _queue(form: Form, draft: Draft, faults: Mapping[str, str]) -> None:
    wish, queues = draft.wish, form.choices.queues
    wrong = [path for path in faults if path.startswith("query.")]
    with st.expander(
        say("submit.group_queue"), icon=":material/low_priority:", expanded=bool(wrong), key="group_queue"
    ):
        st.caption(say("submit.about_queue"))
        first, second = st.columns(2, gap="medium")
        third, _ = st.columns(2, gap="medium")
        with first:
            at = queues.index(wish.queue) if wish.queue in queues else 0
            chosen = st.selectbox(say("submit.queue"), queues, at, key="queue", help=say("submit.queue_help"))
            wish.queue = None if not queues or chosen == queues[0] else chosen
            fields.fault(faults.get("query.queue"))
        with second:
            wish.priority = st.number_input(
                say("submit.priority"), -100, 100, wish.priority, key="priority", help=say("submit.priority_help")
            )
            fields.fault(faults.get("query.priority"))
        with third:
            most = form.choices.max_runtime_s
            minutes = st.number_input(
                say("submit.longest"),
                1.0,
                None if most is None else max(1.0, most / 60),
                None if wish.max_runtime_s is None else max(1.0, wish.max_runtime_s / 60),
                format="%g",
                key="longest",
                help=say("submit.longest_help"),
                placeholder=say("submit.no_limit"),
            )
            wish.max_runtime_s = None if minutes is None else minutes * 60
            fields.fault(faults.get("query.max_runtime_s"))


def _elsewhere(draft: Draft, verdict: Verdict) -> None:
    """The same as a file and as commands."""
    with st.expander(say("submit.elsewhere"), icon=":material/terminal:", key="elsewhere"):
        if verdict.checked is None:
            st.info(say("submit.elsewhere_later"), icon=":material/edit_note:")
            return
        config, text = verdict.checked.config, verdict.checked.text
        file = commands.file_name(draft.values.get("experiment_name"), "yaml")
        yaml, shell_tab, curl = st.tabs(
            [say("submit.tab_yaml"), say("submit.tab_command"), "curl"], key="elsewhere_tabs"
        )
        with yaml:
            st.caption(say("submit.yaml_lead"))
            st.download_button(
                say("submit.download", file=inert(file)),
                text,
                file,
                "application/yaml",
                key="download_yaml",
                icon=":material/download:",
                on_click="ignore",
            )
            st.code(text, language="yaml", height=420)
        with shell_tab:
            st.caption(say("submit.submit_lead"))
            st.code(commands.command("submit", file, draft.wish), language="bash", wrap_lines=True)
            st.caption(say("submit.train_lead"))
            st.code(commands.command("train", file, draft.wish), language="bash", wrap_lines=True)
            if str(draft.values.get(NAME)).startswith(("upload:", "version:")):
                st.caption(say("submit.data_there"))
        with curl:
            st.caption(say("submit.curl_lead"))
            st.code(commands.curl(config, draft.wish, draft.key), language="bash", height=420)
