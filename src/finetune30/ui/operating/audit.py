"""The audit log, for admins: what was done, tried and refused, the newest first, in pages, by filters.

Neighbours: ``pages.admin`` places it; the command line proves that no row was changed: ``finetune30 audit verify``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from finetune30.client.answers import AuditEntry
from finetune30.ui import shell, shown
from finetune30.ui.shell import act, here, say

_AT_ONCE = 100
_ROLES = ("user", "admin")
_SIGNS = {"ok": "✓", "denied": "✕", "failed": "✕"}


def log() -> None:
    """Filters, a page of rows, one that was chosen."""
    filters = _filters()
    # Another question begins at its first page.
    if st.session_state.get("audit_filters") != filters:
        st.session_state["audit_filters"], st.session_state["audit_pages"] = filters, []
    pages_before: list[int] = st.session_state["audit_pages"]
    found = here().client.audit_page(limit=_AT_ONCE, before=pages_before[-1] if pages_before else None, **filters)
    if not found.items:
        st.info(say("admin.audit_none"), icon=":material/search_off:")
    else:
        _table(found.items)
    with st.container(horizontal=True, key="audit_pages"):
        st.button(
            say("admin.newer"),
            key="audit_newer",
            icon=":material/chevron_left:",
            disabled=not pages_before,
            on_click=act(page_back),
        )
        st.button(
            say("admin.older"),
            key="audit_older",
            icon=":material/chevron_right:",
            disabled=not found.has_more,
            on_click=act(page_on, found.next),
        )
    st.caption(say("admin.audit_verify"))
    st.code("finetune30 audit verify", language="sh")


def page_back() -> None:
    """One page back."""
    st.session_state["audit_pages"].pop()


def page_on(cursor: int) -> None:
    """One page on."""
    st.session_state["audit_pages"].append(cursor)


def _filters() -> dict[str, Any]:
    users = {one.user_id: one.name for one in here().client.users()}
    who, role, what, when = st.columns([4, 3, 4, 6])
    user_id = who.selectbox(
        say("admin.who"),
        [None, *users],
        key="audit_who",
        format_func=lambda id: say("admin.anybody") if id is None else users[id],
    )
    chosen = role.selectbox(
        say("account.role"),
        [None, *_ROLES],
        key="audit_role",
        format_func=lambda one: say("admin.any") if one is None else say(f"shell.is_{one}"),
    )
    action = what.text_input(say("admin.action"), key="audit_action", placeholder="task.cancel", max_chars=100)
    days = when.date_input(say("admin.days"), value=[], key="audit_days")
    start, end = _moments(days)
    return {
        "user_id": user_id,
        "role": chosen,
        "action": action.strip() or None,
        "start_time": start,
        "end_time": end,
    }


def _moments(days: Any) -> tuple[float | None, float | None]:
    """From the first day's beginning to the last day's end, in the page's zone."""
    chosen = list(days) if isinstance(days, Sequence) else [days] if days else []
    if not chosen:
        return None, None
    zone = ZoneInfo(shell.OPTIONS.tz)
    first = datetime.combine(chosen[0], time.min, zone)
    last = datetime.combine(chosen[-1] + timedelta(days=1), time.min, zone)
    return first.timestamp(), last.timestamp() - 0.001


def _table(rows: list[AuditEntry]) -> None:
    column = st.column_config
    st.dataframe(
        [
            {
                "when": shown.moment(one.at, seconds=True),
                "who": one.user_name or shown.NOTHING,
                "role": say(f"shell.is_{one.role}") if one.role in _ROLES else one.role,
                "action": one.action,
                "outcome": f"{_SIGNS.get(one.outcome, '○')} {one.outcome}",
                "target": one.target,
                "address": one.address,
                "detail": json.dumps(one.detail, ensure_ascii=False) if one.detail else "",
                "request": one.request_id,
                "seq": one.seq,
            }
            for one in rows
        ],
        key="audit_table",
        hide_index=True,
        width="stretch",
        height=480,
        column_config={
            "when": column.TextColumn(say("account.when", zone=shown.zone())),
            "who": column.TextColumn(say("admin.who")),
            "role": column.TextColumn(say("account.role")),
            "action": column.TextColumn(say("admin.action"), width=116),
            "outcome": column.TextColumn(say("admin.outcome")),
            "target": column.TextColumn(say("admin.target")),
            "address": column.TextColumn(say("admin.address")),
            "detail": column.TextColumn(say("admin.detail"), width="medium"),
            "request": column.TextColumn(say("admin.request"), width="small"),
            "seq": column.NumberColumn(say("admin.number"), format="%d"),
        },
        alt=say("admin.audit_alt", count=len(rows)),
    )
