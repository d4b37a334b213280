"""Deleting runs: asked once more, with what it frees; what cannot be deleted stays and says why.

Neighbours: ``pages.experiments`` opens the dialog, outside of what is redrawn every few seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from finetune30.client import WholeExperiment
from finetune30.errors import Finetune30Error, LoginNeeded, NotFound
from finetune30.ui import shown
from finetune30.ui.experiments import runs_chosen, runs_seen
from finetune30.ui.seats import Seat
from finetune30.ui.shell import act, guarded, here, inert, say

_ASKED, _DONE = "runs_to_delete", "runs_deleted"


@dataclass(frozen=True)
class _Done:
    """What came of it."""

    count: int
    freed: int
    kept: tuple[tuple[str, str], ...]


def ask(ids: Sequence[str]) -> None:
    """Have the dialog opened by the next look at the page."""
    st.session_state[_ASKED] = tuple(ids)


def dialog() -> None:
    """Open the dialog if it was asked for, and tell what the last one did."""
    _tell()
    ids: tuple[str, ...] = st.session_state.pop(_ASKED, ())
    if ids:
        st.dialog(say("experiments.delete_title"), icon=":material/delete:")(guarded(lambda: _question(ids)))()


def _question(ids: Sequence[str]) -> None:
    if _DONE in st.session_state:
        st.rerun()  # the page tells, and the dialog closes
    seat = here()
    found = [one for one in (_found(seat, id) for id in ids) if one is not None]
    ready = [one for one in found if one.status in shown.ENDED]
    waiting = [one for one in found if one.status not in shown.ENDED]
    for one in ready:
        st.text(f"{one.name} · {shown.state(one.status).name} · {shown.size(_bytes(one))}\n{one.id}")
    if waiting:
        st.info(say("experiments.delete_live", names=inert(shown.names(one.name for one in waiting))))
    if ready:
        st.markdown(say("experiments.delete_sure", count=len(ready), size=shown.size(sum(map(_bytes, ready)))))
    else:
        st.caption(say("experiments.delete_nothing"))
    with st.container(horizontal=True):
        st.button(
            say("experiments.delete_yes"),
            key="runs_delete_yes",
            type="primary",
            disabled=not ready,
            icon=":material/delete:",
            on_click=act(_delete, seat, ready),
        )
        if st.button(say("experiments.delete_no"), key="runs_delete_no"):
            st.rerun()


def _delete(seat: Seat, runs: Sequence[WholeExperiment]) -> None:
    freed, count, kept = 0, 0, []
    for one in runs:
        try:
            seat.client.delete(one.id)
        except NotFound:
            pass  # somebody was quicker, or the answer to an earlier try was lost
        except LoginNeeded:
            raise
        except Finetune30Error as fault:
            kept.append((one.name, fault.message))
            continue
        runs_chosen.forget(one.id)
        freed, count = freed + _bytes(one), count + 1
    runs_seen.forget()
    st.session_state[_DONE] = _Done(count, freed, tuple(kept))


def _tell() -> None:
    done: _Done | None = st.session_state.pop(_DONE, None)
    if done is None:
        return
    if done.count:
        st.toast(
            say("experiments.deleted", count=done.count, size=shown.size(done.freed)), icon=":material/check_circle:"
        )
    for name, why in done.kept:
        st.warning(say("experiments.kept", name=inert(name), why=inert(why)), icon=":material/block:")


def _found(seat: Seat, id: str) -> WholeExperiment | None:
    try:
        return seat.client.experiment(id)
    except NotFound:
        runs_chosen.forget(id)
        return None


def _bytes(run: WholeExperiment) -> int:
    """What its folder takes, which the client has no name for."""
    return int(run.more.get("bytes") or 0)
