"""The stages of a training, told from what the API says of it: queued, preparing, training, evaluating, done.

Nothing is asked here, nothing is drawn but the row of signs. Neighbours: ``watching`` has the task and its curves.
"""

from __future__ import annotations

from typing import Literal

import streamlit as st

from finetune30.client import WholeTask
from finetune30.ui import shown
from finetune30.ui.shell import say

STAGES = ("queued", "preparing", "training", "evaluating", "done")
Mark = Literal["done", "now", "paused", "failed", "stopped", "ahead"]
_LOOKS: dict[Mark, tuple[str, shown.Colour]] = {
    "done": ("check_circle", "green"),
    "now": ("play_circle", "blue"),
    "paused": ("pause_circle", "violet"),
    "failed": ("error", "red"),
    "stopped": ("stop_circle", "orange"),
    "ahead": ("radio_button_unchecked", "gray"),
}
_ENDS: dict[str, Mark] = {"FAILURE": "failed", "REVOKED": "stopped"}


def stage_of(task: WholeTask, last_step_at: float | None = None) -> str:
    """Where it is, or was when it ended.

    Args:
        last_step_at: When the last step that is known was done: the progress of an attempt that was lost stays until
            the next one's first step, which prepares meanwhile.
    """
    if task.status == "SUCCESS":
        return "done"
    progress = task.progress
    is_paused = task.status == "PENDING" and task.paused and progress is not None and bool(progress.step)
    if not task.attempt or (task.status == "PENDING" and not is_paused):
        return "queued"
    if progress is None or not progress.step or (task.status == "STARTED" and _is_old(task, last_step_at)):
        return "preparing"
    return "evaluating" if progress.total and progress.step >= progress.total else "training"


def marks(task: WholeTask, stage: str) -> list[Mark]:
    """The sign of each stage, in their order."""
    place = STAGES.index(stage)
    here: Mark = _ENDS.get(task.status, "now")
    if task.status == "SUCCESS":
        here = "done"
    elif task.status == "PENDING" and task.paused:
        here = "paused"
    behind: list[Mark] = ["done"] * place
    ahead: list[Mark] = ["ahead"] * (len(STAGES) - place - 1)
    return [*behind, here, *ahead]


def stepper(task: WholeTask, stage: str) -> None:
    """The row of stages: a sign, a name and a colour for each; it wraps where the page is narrow."""
    with st.container(horizontal=True, gap="small", key="stepper"):
        for name, mark in zip(STAGES, marks(task, stage), strict=True):
            icon, colour = _LOOKS[mark]
            st.badge(say(f"run.stage_{name}"), icon=f":material/{icon}:", color=colour, help=say(f"run.mark_{mark}"))


def sentence(task: WholeTask, stage: str) -> str:
    """What goes on just now, in words; none of it was written by somebody else."""
    if task.cancel_requested and not task.has_ended:
        return say("run.is_cancelling")
    if task.pause_requested and not task.has_ended:
        return say("run.is_pausing")
    if stage == "queued":
        return _waiting(task)
    if task.paused and task.progress is not None and not task.has_ended:
        step, total = shown.number(task.progress.step), shown.number(task.progress.total)
        return say("run.is_paused_at", step=step, total=total)
    if stage == "training" and task.progress is not None and not task.has_ended:
        step, total = shown.number(task.progress.step), shown.number(task.progress.total)
        eta = task.progress.eta_s
        if eta is None:
            return say("run.is_training", step=step, total=total)
        return say("run.is_training_eta", step=step, total=total, left=shown.duration(eta))
    if task.has_ended:
        took = shown.duration(_took_s(task))
        return say(f"run.has_{task.status}", stage=say(f"run.stage_{stage}"), took=took)
    return say(f"run.is_{stage}")


def share_done(task: WholeTask, stage: str) -> float:
    """For a progress bar, 0 to 1."""
    if stage in ("evaluating", "done"):
        return 1.0
    progress = task.progress
    # A run that waits to go on has done what it has done.
    if stage not in ("training", "queued") or progress is None or not progress.total:
        return 0.0
    return min(1.0, max(0.0, (progress.step or 0) / progress.total))


def _waiting(task: WholeTask) -> str:
    if task.has_ended:
        return say("run.never_began")
    if task.paused:
        return say("run.is_paused")
    if task.position is None:
        return say("run.is_queued")
    if task.starts_in_s is None:
        return say("run.is_queued_at", position=task.position)
    if task.starts_in_s < 1:
        return say("run.is_queued_next", position=task.position)
    return say("run.is_queued_in", position=task.position, wait=shown.wait(task.starts_in_s))


def _is_old(task: WholeTask, last_step_at: float | None) -> bool:
    began = max((one.get("started_at") or 0.0 for one in task.attempts), default=0.0)
    return task.attempt > 1 and last_step_at is not None and last_step_at < began


def _took_s(task: WholeTask) -> float | None:
    """From the first start to the end."""
    if task.started_at is None or task.finished_at is None:
        return None
    return max(0.0, task.finished_at - task.started_at)
