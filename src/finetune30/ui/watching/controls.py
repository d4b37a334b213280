"""What one can do with a training: cancel, pause, resume, run again, register, try, compare, delete.

What cannot be undone asks once more. A refusal is shown below the buttons and changes nothing else; a second click on
"run again" goes to the run that the first one made. Neighbours: ``look`` has the state, ``pages.run`` places this.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from finetune30.client import WholeTask
from finetune30.errors import Finetune30Error
from finetune30.ui import shown
from finetune30.ui.pages import page_of
from finetune30.ui.shell import act, guarded, inert, say, show
from finetune30.ui.watching import registered
from finetune30.ui.watching.look import Look

DELETED = "run_deleted"
"""In the session's state: the run that was deleted here, and the bytes that are free now."""
_CANCELLING = "run_cancelling"
_FAILED = frozenset({"FAILURE", "REVOKED"})


def controls(look: Look) -> None:
    """The buttons that make sense just now."""
    task = look.task
    if task is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="controls"):
        if not task.has_ended:
            _while_it_lives(look, task)
        else:
            _when_it_has_ended(look, task)
    if look.told is not None:
        show(look.told)


def _while_it_lives(look: Look, task: WholeTask) -> None:
    ends = task.cancel_requested or st.session_state.get(_CANCELLING) == task.task_id
    # One button in one place, so that what stands beside it does not move under a finger.
    name, icon, deed = (
        ("resume", "play_arrow", look.client.resume) if task.paused else ("pause", "pause", look.client.pause)
    )
    st.button(
        say(f"run.{name}"),
        icon=f":material/{icon}:",
        key="hold",
        on_click=act(_do, look, deed, []),
        disabled=task.pause_requested or ends,
        width=140,
    )
    if st.button(say("run.cancel"), icon=":material/stop_circle:", key="cancel", disabled=ends):
        _ask(look, task, "cancel", look.client.cancel)


def _when_it_has_ended(look: Look, task: WholeTask) -> None:
    if task.status in _FAILED:
        _retry(look, task)
    _link("submit", "again", "edit_note", {"from": task.task_id})
    if task.status == "SUCCESS":
        _link("models", "register", "inventory_2", {"register": task.task_id})
        _link("try", "try", "chat", {"model": task.task_id})
    _link("compare", "compare", "compare", {"ids": task.task_id})
    if st.button(say("run.delete"), icon=":material/delete:", key="delete"):
        _ask(look, task, "delete", look.client.delete)


def _ask(look: Look, task: WholeTask, name: str, deed: Callable[[str], object]) -> None:
    """Once more, in a dialog: it has the keyboard, and stays open while the page behind it is refreshed."""
    look.told = None
    look.forget("versions")
    done: list[bool] = []

    def size() -> str:
        found = look.once("bytes", lambda: look.client.experiment(look.run_id).more.get("bytes"))
        return shown.size(found)

    def asked() -> None:
        if done:
            if name == "delete":
                st.session_state[DELETED] = (look.run_id, size())
            st.rerun()
        kept = registered.versions(look) if name == "delete" and task.status == "SUCCESS" else []
        if kept:
            st.warning(say("run.delete_registered"), icon=":material/inventory_2:")
            registered.links(kept)
            return
        frees = size() if name == "delete" else ""
        st.write(say(f"run.{name}_sure" if task.attempt or frees else f"run.{name}_sure_waiting", size=frees))
        with st.container(horizontal=True, gap="small"):
            yes = say(f"run.{name}_yes")
            st.button(yes, key=f"{name}_yes", type="primary", on_click=act(_do, look, deed, done))
            if st.button(say("run.no"), key=f"{name}_no"):
                st.rerun()
        if look.told is not None:
            show(look.told)

    icon = {"delete": ":material/delete:", "cancel": ":material/stop_circle:"}[name]
    st.dialog(say(f"run.{name}_title"), icon=icon)(guarded(asked))()


def _retry(look: Look, task: WholeTask) -> None:
    # Who has not done a step has left no checkpoint.
    has_steps = task.progress is not None and bool(task.progress.step)
    if has_steps and st.button(
        say("run.retry"), icon=":material/replay:", key="retry", help=say("run.retry_help"), type="primary"
    ):
        _again(look, fresh=False)
    if st.button(say("run.afresh"), icon=":material/restart_alt:", key="afresh", help=say("run.afresh_help")):
        _again(look, fresh=True)


def _again(look: Look, *, fresh: bool) -> None:
    try:
        made = look.once(f"again_{fresh}", lambda: look.client.retry(look.run_id, fresh=fresh))
    except Finetune30Error as fault:
        look.told = fault
        return
    st.query_params["id"] = made.task_id
    st.rerun(scope="app")


def _do(look: Look, deed: Callable[[str], object], done: list[bool]) -> None:
    """Before the view is drawn again, which then shows what came of it; ``done`` hears of a success."""
    look.told = None
    try:
        deed(look.run_id)
    except Finetune30Error as fault:
        look.told = fault
        return
    if deed == look.client.cancel:
        st.session_state[_CANCELLING] = look.run_id  # the buttons are grey at once, whatever the next answer says
    done.append(True)


def _link(page: str, name: str, icon: str, query: dict[str, str]) -> None:
    st.page_link(page_of(page), label=inert(say(f"run.{name}")), icon=f":material/{icon}:", query_params=query)
