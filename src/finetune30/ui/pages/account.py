"""Oneself: who one is, one's password, keys for programs, webhooks. The part that is looked at stands in the address.

Neighbours: ``api_keys`` and ``hooks`` are parts; who logs out does so in the sidebar of every page.
"""

from __future__ import annotations

import streamlit as st

from finetune30.errors import Finetune30Error
from finetune30.ui import shown
from finetune30.ui.oneself import api_keys, hooks
from finetune30.ui.parts import part
from finetune30.ui.shell import here, inert, say, show

_SHORTEST, _LONGEST = 12, 1024
_PARTS = {"person": "person", "keys": "key", "webhooks": "webhook"}


def page() -> None:
    """The part that was chosen."""
    st.title(say("shell.account"), anchor=False)
    match part("account", _PARTS, say("account.parts"), lambda one: say(f"account.part_{one}")):
        case "keys":
            api_keys.mine()
        case "webhooks":
            hooks.mine()
        case _:
            _person()


def _person() -> None:
    person = here().client.me()
    rows = {
        "account.name": person.name,
        "account.role": say(f"shell.is_{person.role}") if person.role in ("admin", "user") else person.role,
        "account.id": person.user_id,
        "account.since": shown.moment(person.created_at),
    }
    with st.container(border=True, key="account_person"):
        for key, value in rows.items():
            st.markdown(f"{say(key)}: **{inert(value)}**")
    _password()


def _password() -> None:
    st.subheader(say("account.password"), anchor=False)
    st.caption(say("account.password_help", shortest=_SHORTEST))
    with st.form("password_form", enter_to_submit=False):
        current = _field("current", "current-password")
        new = _field("new", "new-password")
        again = _field("again", "new-password")
        pressed = st.form_submit_button(
            say("account.change"), key="password_change", type="primary", icon=":material/lock:"
        )
    if pressed:
        _change(current, new, again)
    if st.session_state.pop("password_changed", False):
        st.success(say("account.changed"), icon=":material/check_circle:")


def _field(name: str, kind: str) -> str:
    """One of them; what was typed is forgotten once it did its work."""
    key = f"password_{name}_{st.session_state.setdefault('password_forms', 0)}"
    return st.text_input(say(f"account.{name}"), type="password", autocomplete=kind, key=key, max_chars=_LONGEST)


def _change(current: str, new: str, again: str) -> None:
    if new != again:
        st.warning(say("account.unlike"), icon=":material/edit:")
        return
    if len(new) < _SHORTEST:
        st.warning(say("account.short", shortest=_SHORTEST), icon=":material/edit:")
        return
    seat = here()
    try:
        seat.client.change_password(current, new)
        # All sessions have ended, this one too: whoever knows the new password goes on here.
        seat.client.login(seat.person.name, new)
    except Finetune30Error as fault:
        if seat.client.session is None:
            raise
        show(fault)
        return
    st.session_state["password_forms"] += 1
    st.session_state["password_changed"] = True
    st.rerun()
