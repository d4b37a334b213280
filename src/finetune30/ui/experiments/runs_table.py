"""The table of runs: a row each, those that were chosen stay chosen while states change and rows move.

What somebody wrote stands in cells, which know no markup. Neighbours: ``runs_seen`` has the rows, ``runs_chosen`` keeps
what was chosen, ``pages.experiments`` says what can be done with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import streamlit as st

from finetune30.client import Experiment, Task
from finetune30.ui import data_names, links, shown
from finetune30.ui.experiments import runs_chosen
from finetune30.ui.shell import act, say

KEY, NAMES = "runs_table", "runs_names"
_COLOURS = {"PENDING": "gray", "STARTED": "blue", "SUCCESS": "green", "FAILURE": "red", "REVOKED": "orange"}


def table(rows: Sequence[Experiment], tasks: dict[str, Task], *, with_owner: bool) -> Experiment | None:
    """Show the rows; the one whose name was clicked, if one was."""
    unit, seconds = _unit([one.train_runtime for one in rows])
    runs_chosen.place(KEY, [one.id for one in rows])
    st.dataframe(
        _frame(rows, tasks, seconds),
        key=KEY,
        on_select=act(_taken, rows),
        selection_mode="multi-row",
        hide_index=True,
        width="stretch",
        height="content",
        placeholder=shown.NOTHING,
        column_order=[name for name in _columns(unit) if with_owner or name != "owner"],
        column_config=_columns(unit),
        alt=say("experiments.table_alt", count=len(rows)),
    )
    return links.clicked(NAMES, [one.name for one in rows], rows)


def _taken(rows: Sequence[Experiment]) -> None:
    runs_chosen.take(st.session_state[KEY]["selection"]["rows"], rows)


def _frame(rows: Sequence[Experiment], tasks: dict[str, Task], seconds: float) -> dict[str, list[Any]]:
    return {
        "state": [[shown.state(one.status, paused=_is_paused(tasks.get(one.id))).cell] for one in rows],
        "name": [links.cell(one.name) for one in rows],
        "accuracy": [None if one.eval_accuracy is None else 100 * one.eval_accuracy for one in rows],
        "now": [where_it_stands(one, tasks.get(one.id)) for one in rows],
        "owner": [one.owner for one in rows],
        "model": [one.base_model for one in rows],
        "data": [data_names.name_of(one.dataset) for one in rows],
        "took": [None if one.train_runtime is None else one.train_runtime / seconds for one in rows],
        "created": [shown.local(one.created_at) for one in rows],
        "id": [one.id for one in rows],
    }


def _columns(unit: str) -> dict[str, Any]:
    column = st.column_config
    states = [shown.state(one).cell for one in shown.STATES] + [shown.state("PENDING", paused=True).cell]
    return {
        "state": column.MultiselectColumn(
            say("experiments.state"), options=states, color=[*_COLOURS.values(), "violet"], width=104
        ),
        "name": links.column(say("experiments.name"), NAMES, width=130, help=say("experiments.name_help")),
        "accuracy": column.NumberColumn(
            say("experiments.accuracy"), format="%.2f %%", help=say("experiments.accuracy_help"), width=80
        ),
        "now": column.TextColumn(say("experiments.now"), help=say("experiments.now_help"), width=128),
        "model": column.TextColumn(say("experiments.model"), width=100),
        "data": column.TextColumn(say("experiments.data"), width=116),
        "created": column.DatetimeColumn(
            say("experiments.created"),
            format="YYYY-MM-DD HH:mm",
            help=say("experiments.created_help", zone=shown.zone()),
            width=140,
        ),
        "took": column.NumberColumn(
            say("experiments.took", unit=say(f"shown.{unit}")),
            format="%.1f",
            help=say("experiments.took_help"),
            width=110,
        ),
        "owner": column.TextColumn(say("experiments.owner"), width=90),
        "id": column.TextColumn(say("experiments.id")),
    }


def where_it_stands(run: Experiment, task: Task | None) -> str:
    """Where a run stands that has not ended: its place in the queue, or how far it is and how long it takes yet."""
    if task is None or task.has_ended or run.status in shown.ENDED:
        return ""
    if task.status == "PENDING":
        if task.position is None:
            return ""
        place = say("experiments.place", place=task.position)
        if task.starts_in_s is None or task.starts_in_s < shown.GUESS_BELOW_S:
            return place  # no room for a guess
        return say("experiments.place_in", place=task.position, time=shown.duration(task.starts_in_s, short=True))
    told = task.progress
    if told is None or told.step is None or not told.total:
        return say("experiments.preparing")
    share = f"{100 * told.step // told.total} %"
    if told.eta_s is None:
        return share
    return say("experiments.left", share=share, time=shown.duration(told.eta_s, short=True))


def _is_paused(task: Task | None) -> bool:
    return task is not None and task.paused


def _unit(runtimes: Sequence[float | None]) -> tuple[str, float]:
    """The unit in which most of these seconds are read well."""
    known = [one for one in runtimes if one is not None]
    usual = median(known) if known else 0.0
    return ("s", 1.0) if usual < 300 else ("min", 60.0) if usual < 5 * 3600 else ("h", 3600.0)
