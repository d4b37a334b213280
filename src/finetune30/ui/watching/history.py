"""What happened to a training and what it was made with: events, attempts, log, configuration, environment.

Logs, messages and values are anybody's text: they are shown where no markup is read. Neighbours: ``look`` has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st
import yaml

from finetune30.client import WholeTask
from finetune30.ui import shown
from finetune30.ui.shell import inert, say
from finetune30.ui.watching.look import Look

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?(?:Z|[+-]\d\d:\d\d)")
_LOG_PX, _CONFIG_PX = 420, 520
_EVENTS_PX, _FEW = 320, 8
_KINDS = ("state", "checkpoint", "evaluation", "warning")
# The API tells so many with a task.
_MOST_EVENTS = 1000
_MEASURES = (
    ("device", str),
    ("precision", str),
    ("cores", shown.number),
    ("cpu_percent_mean", lambda value: f"{value:.0f} %"),
    ("memory_bytes_peak", shown.size),
    ("gpu_utilization_percent_mean", lambda value: f"{value:.0f} %"),
    ("gpu_memory_bytes_peak", shown.size),
)


def log(look: Look) -> None:
    """The end of the log, the newest line below; as high from the first look on."""
    text = readable(look.log or "")
    with st.container(height=_LOG_PX, autoscroll=True, key="log"):
        st.code(text or say("run.no_log"), language=None, wrap_lines=True)
    st.caption(say("run.log_help"))


def readable(text: str) -> str:
    """The log with line breaks broken, and moments in the page's zone, to the second."""

    def moment(found: re.Match[str]) -> str:
        try:
            at = datetime.fromisoformat(found[0].replace(",", ".").replace("Z", "+00:00"))
        except ValueError:
            return found[0]
        return shown.moment(at.timestamp(), seconds=True) if at.tzinfo else found[0]

    return _MOMENT.sub(moment, text.replace("\\n", "\n"))


def history(task: WholeTask) -> None:
    """Events, the newest first, and attempts."""
    st.subheader(say("run.events"), anchor=False)
    events = [
        {
            "at": shown.local(one.at),
            "kind": say(f"run.kind_{one.kind}") if one.kind in _KINDS else one.kind,
            "message": one.message,
        }
        for one in reversed(task.events)
    ]
    st.dataframe(
        pd.DataFrame(events, columns=["at", "kind", "message"]),
        key="events",
        hide_index=True,
        height=_EVENTS_PX if len(events) > _FEW else "auto",
        column_config={
            "at": _moment(say("run.when")),
            "kind": st.column_config.TextColumn(say("run.kind"), width="small"),
            "message": st.column_config.TextColumn(say("run.message"), width="large"),
        },
        alt=say("run.events"),
    )
    zone = say("run.zone", zone=inert(shown.zone()))
    more = f" {say('run.more_events', count=_MOST_EVENTS)}" if len(task.events) >= _MOST_EVENTS else ""
    st.caption(zone + more)
    _attempts(task)


def _attempts(task: WholeTask) -> None:
    st.subheader(say("run.attempts"), anchor=False)
    if not task.attempts:
        st.caption(say("run.no_attempts"))
        return
    rows = [
        {
            "attempt": one.get("attempt"),
            "outcome": _outcome(one.get("outcome")),
            "began": shown.local(one.get("started_at")),
            "took": _took(one),
            "worker": one.get("worker"),
            "error": (one.get("error") or {}).get("message") or "",
        }
        for one in task.attempts
    ]
    st.dataframe(
        pd.DataFrame(rows),
        key="attempts",
        hide_index=True,
        column_config={
            "attempt": st.column_config.NumberColumn(say("run.attempt"), width="small"),
            "outcome": st.column_config.TextColumn(say("run.outcome"), width="small"),
            "began": _moment(say("run.began")),
            "took": st.column_config.TextColumn(say("run.took")),
            "worker": st.column_config.TextColumn(say("run.worker")),
            "error": st.column_config.TextColumn(say("run.error"), width="large"),
        },
        alt=say("run.attempts"),
    )


def configuration(task: WholeTask) -> None:
    """The whole configuration as a file would hold it, and what it ran on."""
    left, right = st.columns([3, 2])
    with left:
        st.subheader(say("run.configuration"), anchor=False)
        with st.container(height=_CONFIG_PX, border=False, key="config"):
            # Without colours of syntax: some of them are too faint to read.
            st.code(yaml.safe_dump(task.config, sort_keys=False, allow_unicode=True), language=None)
        st.caption(say("run.configuration_help"))
    with right:
        st.subheader(say("run.environment"), anchor=False)
        _environment(task)


def _environment(task: WholeTask) -> None:
    system: Mapping[str, Any] = (task.metrics or {}).get("system") or {}
    told = [(say(f"run.system_{name}"), form(system[name])) for name, form in _MEASURES if system.get(name) is not None]
    told += [
        (say("run.queue"), task.queue),
        (say("run.priority"), str(task.priority)),
        (say("run.devices"), str(task.devices)),
    ]
    if task.max_runtime_s is not None:
        told.append((say("run.max_runtime"), shown.duration(task.max_runtime_s)))
    if task.resumed_from:
        told.append((say("run.resumed_from"), task.resumed_from))
    st.dataframe(
        pd.DataFrame(told, columns=["what", "value"]),
        key="environment",
        hide_index=True,
        column_config={
            "what": st.column_config.TextColumn(say("run.what")),
            "value": st.column_config.TextColumn(say("run.value")),
        },
        alt=say("run.environment"),
    )
    if not system:
        st.caption(say("run.no_environment"))


def _moment(title: str) -> Any:
    return st.column_config.DatetimeColumn(title, format="YYYY-MM-DD HH:mm:ss")


def _outcome(outcome: str | None) -> str:
    if outcome in ("LOST", "DRAINED"):
        return say(f"run.outcome_{outcome}")
    return shown.state(outcome or "STARTED").cell


def _took(attempt: Mapping[str, Any]) -> str:
    began, ended = attempt.get("started_at"), attempt.get("ended_at")
    return shown.NOTHING if began is None or ended is None else shown.duration(ended - began)
