"""One training: where it stands while it runs, every two seconds; what came out of it once it has ended.

Nothing of the job lives here: a refresh, a second tab or an API that was started again finds it as it is. While it runs
a look asks for two things at most; once it has ended nothing is asked but what is opened.
Neighbours: ``stages``, ``curves``, ``controls``, ``results``, ``history`` and ``files`` are the parts of the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from finetune30.client import WholeTask
from finetune30.errors import Refused
from finetune30.ui import data_names, shown
from finetune30.ui.pages import page_of
from finetune30.ui.shell import guarded, here, inert, is_nothing, say
from finetune30.ui.watching.controls import DELETED, controls
from finetune30.ui.watching.curves import curves, newest
from finetune30.ui.watching.failure import why_it_failed
from finetune30.ui.watching.files import files
from finetune30.ui.watching.history import configuration, history, log
from finetune30.ui.watching.look import Look
from finetune30.ui.watching.results import results
from finetune30.ui.watching.stages import sentence, share_done, stepper

EVERY_S = 2
_LIVE = ("curves", "log", "history", "configuration")
_NEVER_BEGAN = ("history", "configuration")
_ENDED = ("result", "curves", "log", "history", "configuration", "files")


def page() -> None:
    """The training of ``?id=``."""
    seat = here()
    run_id = st.query_params.get("id", "").strip()
    if not run_id:
        _go_elsewhere(say("run.choose"), ":material/table_view:")
        return
    look = Look(seat.client, run_id)
    try:
        look.refresh()
    except Refused as fault:
        if not is_nothing(fault):
            raise
        deleted, size = st.session_state.get(DELETED, ("", ""))
        if deleted == run_id:
            _go_elsewhere(say("run.deleted", size=size), ":material/delete:")
        else:
            _go_elsewhere(say("run.not_there"), ":material/search_off:")
        return
    _head(look)
    seen_at_first = _Once()

    def view() -> None:
        if not seen_at_first():
            _refresh(look)
        _view(look)

    st.fragment(guarded(view), run_every=EVERY_S if look.is_live else None)()


class _Once:
    """True when it is asked for the first time."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        first, self._asked = not self._asked, True
        return first


def _refresh(look: Look) -> None:
    """What a look every two seconds, or a click, begins with."""
    if not look.is_live:
        return
    knew_nothing = look.task is None
    try:
        look.refresh()
    except Refused as fault:
        if not is_nothing(fault):
            raise
        st.rerun(scope="app")  # it was deleted meanwhile: the page says so, and asks no more
    if not look.is_live or (knew_nothing and look.task is not None):
        st.rerun(scope="app")


def _view(look: Look) -> None:
    if look.task is None:
        st.warning(say("shell.away"), icon=":material/cloud_off:")
        st.caption(say("run.tries_again", seconds=EVERY_S))
        return
    above = st.container()
    names = _parts_of(look.task)
    if not look.is_live:
        # A place further down: tabs that take the place of others keep the open one by its name, in the browser alone,
        # and what is drawn into the first one is not seen.
        st.empty()
    tabs, opened = _tabs(names)
    if look.is_live:
        look.refresh_more(log=opened == "log")
    with above:
        _where_it_stands(look, look.task)
        why_it_failed(look.task)
        controls(look)
    with tabs[names.index(opened)]:
        _PARTS[opened](look, look.task)


def _tabs(names: tuple[str, ...]) -> tuple[Sequence[Any], str]:
    """The tabs, and the name of the open one, which is in the address: a refresh opens it again."""
    labels = {name: say(f"run.tab_{name}") for name in names}
    tabs = st.tabs(
        list(labels.values()),
        default=labels.get(st.query_params.get("tab", "")),
        key=f"tabs_{len(names)}",
        on_change="rerun",
    )
    opened = next((name for name, tab in zip(names, tabs, strict=True) if tab.open), names[0])
    if opened != st.query_params.get("tab", names[0]):
        st.query_params["tab"] = opened
    return tabs, opened


def _parts_of(task: WholeTask) -> tuple[str, ...]:
    if not task.has_ended:
        return _LIVE
    if not task.attempt:
        return _NEVER_BEGAN
    if task.status == "SUCCESS":
        return _ENDED
    return _ENDED[1:] if task.progress is not None else _ENDED[2:]


def _where_it_stands(look: Look, task: WholeTask) -> None:
    stage = look.stage
    stepper(task, stage)
    st.progress(share_done(task, stage), sentence(task, stage))
    if look.is_live:
        # One line whatever happens: what is below it stays where it is.
        told = "run.as_of" if look.fault is None else "run.away_since"
        icon = "sync" if look.fault is None else "cloud_off"
        # Where the machine has much to do, looks are further apart: it says so.
        seconds = max(EVERY_S, round(look.every_s))
        st.caption(f":material/{icon}: {say(told, time=shown.moment(look.at, seconds=True), seconds=seconds)}")
        # What a run that waits was measured last is no news.
        if task.status == "STARTED":
            newest(look)


def _head(look: Look) -> None:
    task = look.task
    if task is None:
        st.title(say("run.title"), anchor=False)
        return
    st.title(inert(task.name), anchor=False)
    model, data = (
        (task.config.get(part) or {}).get(key) for part, key in (("model", "name"), ("data", "dataset_name"))
    )
    told = [task.task_id, task.owner, model, None if data_names.is_sent(data) else data, shown.moment(task.created_at)]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run_head"):
        st.caption(" · ".join(inert(str(one)) for one in told if one), width="content")
        data_names.link(data)


def _go_elsewhere(why: str, icon: str) -> None:
    st.title(say("run.title"), anchor=False)
    st.info(why, icon=icon)
    with st.container(horizontal=True):
        st.page_link(page_of("experiments"), label=say("run.to_experiments"), icon=":material/table_view:")
        st.page_link(page_of("submit"), label=say("run.to_submit"), icon=":material/add_circle:")


def _curves(look: Look, task: WholeTask) -> None:
    if task.has_ended:
        if look.curves is None and task.attempt:
            look.ask_curves()
        newest(look)
    curves(look)


def _log(look: Look, task: WholeTask) -> None:
    if task.has_ended and look.log is None and task.attempt:
        look.ask_log()
    log(look)


_PARTS: dict[str, Callable[[Look, WholeTask], None]] = {
    "result": lambda look, _: results(look),
    "curves": _curves,
    "log": _log,
    "history": lambda _, task: history(task),
    "configuration": lambda _, task: configuration(task),
    "files": lambda look, _: files(look),
}
