"""How the service fares: what it stands on, the service of predictions, workers and what they run, what waits.

Drawn anew every few seconds, in the same places. Neighbours: ``pages.admin`` places it.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from finetune30 import __version__
from finetune30.client import Task
from finetune30.client.answers import Readiness, Worker
from finetune30.errors import Finetune30Error
from finetune30.ui import links, shown
from finetune30.ui.pages import page_of
from finetune30.ui.shell import here, inert, say
from finetune30.ui.tiles import tiles

_MOST = 50
_NAMES = "admin_queue_clicked"
_GOOD = {"ready", "ok", "none"}
_WAITS = {"degraded", "waiting"}


def now() -> None:
    """All of it."""
    client = here().client
    found = client.ready()
    workers = client.workers()
    running = list(client.tasks(status="STARTED", limit=_MOST))
    waiting = list(client.tasks(status="PENDING", limit=_MOST))
    serving = _serving()  # all is asked before the first of it is drawn anew
    _health(found, serving)
    _workers(workers, {one.task_id: one for one in running})
    _queue(workers, waiting)


def _health(found: Readiness, serving: str) -> None:
    st.subheader(say("admin.health"), anchor=False)
    parts = {
        "api": found.status,
        "database": found.database or "?",
        "broker": found.broker or "?",
        "disk": found.more.get("disk", "?"),
        "serving": serving,
    }
    tiles("health", [(say(f"admin.{name}"), _told(state), None) for name, state in parts.items()])
    if found.status != "ready":
        st.warning(say("admin.not_ready"), icon=":material/warning:")
    st.caption(
        inert(say("admin.versions", page=__version__, api=here().client.api_url, serving=here().client.serving_url))
    )


def _told(state: str) -> str:
    sign = "✓" if state in _GOOD else "○" if state in _WAITS else "✕"
    return f"{sign} {say(f'admin.is_{state}') if state in _STATES else inert(str(state))}"


_STATES = frozenset({"ready", "degraded", "unavailable", "ok", "down", "none", "full", "waiting", "unhealthy"})


def _serving() -> str:
    try:
        return here().client.serving_health()
    except Finetune30Error:
        return "down"


def _workers(workers: Sequence[Worker], running: dict[str, Task]) -> None:
    st.subheader(say("admin.workers"), anchor=False)
    if not workers:
        st.warning(say("admin.no_workers"), icon=":material/engineering:")
        st.code("finetune30 worker", language="sh")
        return
    column = st.column_config
    st.dataframe(
        [
            {
                "state": say("admin.alive") if one.alive else say("admin.silent"),
                "host": one.host,
                "busy": f"{one.busy} / {one.slots}",
                "tasks": ", ".join(_task(id, running.get(id)) for id in one.tasks),
                "queues": ", ".join(one.queues),
                "seen": shown.ago(one.seen_at),
                "since": shown.moment(one.started_at),
                "name": one.name,
            }
            for one in workers
        ],
        key="admin_workers",
        hide_index=True,
        width="stretch",
        column_config={
            "state": column.TextColumn(say("admin.state")),
            "host": column.TextColumn(say("admin.host")),
            "busy": column.TextColumn(say("admin.busy")),
            "tasks": column.TextColumn(say("admin.tasks"), width="medium"),
            "queues": column.TextColumn(say("admin.queues")),
            "seen": column.TextColumn(say("admin.seen")),
            "since": column.TextColumn(say("admin.since", zone=shown.zone())),
            "name": column.TextColumn(say("admin.name")),
        },
        alt=say("admin.workers_alt", count=len(workers)),
    )


def _task(id: str, one: Task | None) -> str:
    if one is None:
        return id
    progress = one.progress
    done = f" {100 * (progress.step or 0) // progress.total} %" if progress and progress.total else ""
    return f"{one.name} ({one.owner}){done}"


def _queue(workers: Sequence[Worker], waiting: Sequence[Task]) -> None:
    st.subheader(say("admin.queue"), anchor=False)
    if not waiting:
        st.caption(say("admin.queue_empty"))
        return
    taken = {queue for one in workers if one.alive for queue in one.queues}
    lost = sorted({one.queue for one in waiting} - taken)
    if workers and lost:
        st.warning(say("admin.queue_lost", names=inert(", ".join(lost))), icon=":material/warning:")
    column = st.column_config
    # Those that may not start yet have no place, and come last.
    ordered = sorted(waiting, key=lambda one: (one.position is None, one.position or 0))
    st.dataframe(
        [
            {
                "place": one.position,
                "name": links.cell(one.name),
                "owner": one.owner,
                "queue": one.queue,
                "priority": one.priority,
                "starts": shown.wait(one.starts_in_s),
                "since": shown.ago(one.created_at),
                "state": shown.state(one.status, paused=one.paused).cell,
                "id": one.task_id,
            }
            for one in ordered
        ],
        key="admin_queue",
        hide_index=True,
        width="stretch",
        placeholder=shown.NOTHING,
        column_config={
            "place": column.NumberColumn(say("admin.place"), width="small"),
            "name": links.column(say("admin.name"), _NAMES),
            "owner": column.TextColumn(say("admin.owner")),
            "queue": column.TextColumn(say("admin.queue_name")),
            "priority": column.NumberColumn(say("admin.priority")),
            "starts": column.TextColumn(say("admin.starts")),
            "since": column.TextColumn(say("admin.waits")),
            "state": column.TextColumn(say("admin.state")),
            "id": column.TextColumn(say("admin.id")),
        },
        alt=say("admin.queue_alt", count=len(waiting)),
    )
    clicked = links.clicked(_NAMES, [one.name for one in ordered], ordered)
    if clicked is not None:
        st.switch_page(page_of("run"), query_params={"id": clicked.task_id})
    if len(waiting) == _MOST:
        st.caption(say("admin.most", count=_MOST))
