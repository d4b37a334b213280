"""One's webhooks: where the end of runs is told. Made, tried, looked at, turned off and on, forgotten.

Neighbours: ``pages.account`` places it; ``client.webhooks`` asks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from finetune30.client.answers_more import Delivery, Webhook
from finetune30.errors import Finetune30Error
from finetune30.ui import links, shown
from finetune30.ui.pages import page_of
from finetune30.ui.shell import act, guarded, here, inert, say, show, told

_KINDS = ("run.succeeded", "run.failed", "run.cancelled", "run.started", "run.paused")
_USUAL = _KINDS[:3]
_NEW = "hook_new"
_DELIVERIES = 50
_RUNS = "hook_runs_clicked"


def mine() -> None:
    """The list, one that was chosen, the form."""
    st.caption(say("account.hooks_help"))
    told("hook")
    _told()
    found = here().client.webhooks(owner=here().person.name)
    if found:
        chosen = _table(found)
        if chosen is not None:
            _one(chosen)
    else:
        st.info(say("account.no_hooks"), icon=":material/notifications_off:")
    _form()


def kind_name(kind: str) -> str:
    """What happened, in words."""
    known = kind.removeprefix("run.")
    return say(f"account.kind_{known}") if kind in (*_KINDS, "ping") else kind


def _told() -> None:
    new: Webhook | None = st.session_state.get(_NEW)
    if new is None or new.secret is None:
        return
    with st.container(border=True, key="hook_told"):
        st.markdown(say("account.secret_once"))
        st.code(new.secret, language=None)
        st.button(say("account.kept"), key="hook_kept", icon=":material/check:", on_click=act(_forget))


def _forget() -> None:
    st.session_state.pop(_NEW, None)


def _state(one: Webhook) -> str:
    if one.disabled_at is not None:
        return say("account.hook_off")
    return say("account.hook_failing") if one.failing_since is not None else say("account.hook_on")


def _table(found: list[Webhook]) -> Webhook | None:
    column = st.column_config
    picked = st.dataframe(
        [
            {
                "url": one.url,
                "state": _state(one),
                "kinds": ", ".join(kind_name(kind) for kind in one.kinds),
                "last": shown.ago(one.last_at),
                "status": one.last_status,
            }
            for one in found
        ],
        key="hooks_table",
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        placeholder=shown.NOTHING,
        column_config={
            "url": column.TextColumn(say("account.url"), width="large"),
            "state": column.TextColumn(say("account.state")),
            "kinds": column.TextColumn(say("account.kinds")),
            "last": column.TextColumn(say("account.last")),
            "status": column.NumberColumn(say("account.status"), format="%d"),
        },
        alt=say("account.hooks_alt", count=len(found)),
    )
    places = picked["selection"]["rows"]
    if places and places[0] < len(found):
        st.session_state["hook_chosen"] = found[places[0]].webhook_id
    wanted = st.session_state.get("hook_chosen", found[0].webhook_id if len(found) == 1 else None)
    chosen = next((one for one in found if one.webhook_id == wanted), None)
    if chosen is None:
        st.caption(say("account.pick_hook"))
    return chosen


def _one(hook: Webhook) -> None:
    st.subheader(inert(hook.url), anchor=False)
    if hook.disabled_why:
        st.warning(inert(hook.disabled_why), icon=":material/notifications_off:")
    elif hook.last_error:
        st.warning(inert(hook.last_error), icon=":material/warning:")
    client, id = here().client, hook.webhook_id
    with st.container(horizontal=True, key="hook_actions"):
        _button("test", "send", partial(client.test_webhook, id))
        if hook.disabled_at is None:
            _button("disable", "notifications_off", partial(client.disable_webhook, id))
        else:
            _button("enable", "notifications_active", partial(client.enable_webhook, id))
        with st.popover(say("account.hook_delete"), icon=":material/delete:", key="hook_delete"):
            st.write(say("account.hook_delete_sure"))
            _button("delete_yes", "delete", partial(client.delete_webhook, id), kind="primary")
    st.fragment(run_every=5)(guarded(partial_named(_deliveries, id)))()


def partial_named(function: Callable[[str], None], id: str) -> Callable[[], None]:
    """A function of no arguments, with a name, which fragments want."""

    def shown_one() -> None:
        function(id)

    return shown_one


def _button(name: str, icon: str, does: Callable[[], Any], kind: Any = "secondary") -> None:
    st.button(
        say(f"account.hook_{name}"),
        key=f"hook_{name}",
        icon=f":material/{icon}:",
        type=kind,
        on_click=act(_done, name, does, at="hook"),
    )


def _done(name: str, does: Callable[[], Any]) -> None:
    """Before the page is drawn again."""
    does()
    st.toast(say(f"account.done_{name}"), icon=":material/check:")


def _deliveries(id: str) -> None:
    found = list(here().client.deliveries(id, limit=_DELIVERIES))
    st.markdown(f"**{say('account.deliveries')}**")
    if not found:
        st.caption(say("account.no_deliveries"))
        return
    column = st.column_config
    st.dataframe(
        [
            {
                "when": shown.moment(one.happened_at, seconds=True),
                "kind": kind_name(one.kind),
                "state": _sent(one),
                "attempts": one.attempts,
                "status": one.last_status,
                "error": one.last_error,
                "task": one.task_id,
            }
            for one in found
        ],
        key=f"hook_deliveries_{id}",
        hide_index=True,
        width="stretch",
        placeholder=shown.NOTHING,
        column_config={
            "when": column.TextColumn(say("account.when", zone=shown.zone())),
            "kind": column.TextColumn(say("account.kinds")),
            "state": column.TextColumn(say("account.state")),
            "attempts": column.NumberColumn(say("account.attempts")),
            "status": column.NumberColumn(say("account.status"), format="%d"),
            "error": column.TextColumn(say("account.error"), width="medium"),
            "task": links.column(say("account.run"), _RUNS),
        },
        alt=say("account.deliveries_alt", count=len(found)),
    )
    clicked = links.clicked(_RUNS, [one.task_id or "" for one in found], found)
    if clicked is not None:
        st.switch_page(page_of("run"), query_params={"id": clicked.task_id or ""})
    failed = next((one for one in found if one.state == "failed"), None)
    if failed is not None:
        _button("retry", "replay", partial(here().client.retry_delivery, id, failed.number))


def _sent(one: Delivery) -> str:
    return say(f"account.sent_{one.state}") if one.state in ("waiting", "delivered", "failed") else one.state


def _form() -> None:
    st.subheader(say("account.new_hook"), anchor=False)
    with st.form("hook_form", enter_to_submit=False):
        url = st.text_input(
            say("account.url"), key="hook_url", placeholder="https://example.org/finetune30", max_chars=2000
        )
        kinds = st.pills(
            say("account.kinds"),
            _KINDS,
            selection_mode="multi",
            default=_USUAL,
            key="hook_kinds",
            format_func=kind_name,
        )
        pressed = st.form_submit_button(say("account.make"), key="hook_make", type="primary", icon=":material/add:")
    if not pressed:
        return
    if not url.strip() or not kinds:
        st.warning(say("account.hook_missing"), icon=":material/edit:")
        return
    try:
        made = here().client.add_webhook(url.strip(), list(kinds))
    except Finetune30Error as fault:
        show(fault)
        return
    st.session_state[_NEW] = made
    st.session_state["hook_chosen"] = made.webhook_id
    st.rerun()
