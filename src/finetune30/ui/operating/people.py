"""Users, for admins: all of them, one that was chosen, a new one. Nobody is deleted: what they did keeps its name.

Neighbours: ``pages.admin`` places it; ``client.people`` asks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from finetune30.client import Person
from finetune30.errors import Finetune30Error
from finetune30.ui import shown
from finetune30.ui.shell import act, here, inert, say, show, told

_ROLES = ("user", "admin")
_SHORTEST, _LONGEST = 12, 1024


def everybody() -> None:
    """The list, the chosen one, the form."""
    told("people")
    found = here().client.users()
    chosen = _table(found)
    if chosen is not None:
        _one(chosen)
    _form()


def _role(one: str) -> str:
    return say(f"shell.is_{one}") if one in _ROLES else one


def _table(found: list[Person]) -> Person | None:
    column = st.column_config
    picked = st.dataframe(
        [
            {
                "name": one.name,
                "role": _role(one.role),
                "state": say("admin.disabled") if one.disabled else say("admin.enabled"),
                "made": shown.moment(one.created_at),
                "id": one.user_id,
            }
            for one in found
        ],
        key="users_table",
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "name": column.TextColumn(say("admin.name")),
            "role": column.TextColumn(say("account.role")),
            "state": column.TextColumn(say("admin.state")),
            "made": column.TextColumn(say("account.made", zone=shown.zone())),
            "id": column.TextColumn(say("admin.id")),
        },
        alt=say("admin.users_alt", count=len(found)),
    )
    places = picked["selection"]["rows"]
    if places and places[0] < len(found):
        st.session_state["user_chosen"] = found[places[0]].user_id
    chosen = next((one for one in found if one.user_id == st.session_state.get("user_chosen")), None)
    if chosen is None:
        st.caption(say("admin.pick_user"))
    return chosen


def _one(one: Person) -> None:
    st.subheader(inert(one.name), anchor=False)
    client, id = here().client, one.user_id
    if id == here().person.user_id:
        st.info(say("admin.yourself"), icon=":material/person:")
    with st.container(horizontal=True, key="user_actions"):
        if one.disabled:
            _button("enable", "lock_open", partial(client.enable_user, id))
        else:
            with st.popover(say("admin.user_disable"), icon=":material/block:", key="user_disable"):
                st.write(say("admin.user_disable_sure"))
                _button("disable_yes", "block", partial(client.disable_user, id), kind="primary")
        other = "user" if one.role == "admin" else "admin"
        with st.popover(say(f"admin.user_make_{other}"), icon=":material/shield_person:", key="user_role"):
            st.write(say(f"admin.user_make_{other}_sure"))
            _button("role_yes", "check", partial(client.set_role, id, other), kind="primary")
        with st.popover(say("admin.user_password"), icon=":material/key:", key="user_password"):
            st.write(say("admin.user_password_sure", shortest=_SHORTEST))
            new = st.text_input(
                say("account.new"),
                type="password",
                autocomplete="new-password",
                key=f"user_new_password_{id}_{st.session_state.setdefault('user_forms', 0)}",
                max_chars=_LONGEST,
            )
            _button("password_yes", "check", partial(client.set_password, id, new), kind="primary")


def _button(name: str, icon: str, does: Callable[[], Any], kind: Any = "secondary") -> None:
    st.button(
        say(f"admin.user_{name}"),
        key=f"user_{name}",
        icon=f":material/{icon}:",
        type=kind,
        on_click=act(_done, does, at="people"),
    )


def _done(does: Callable[[], Any]) -> None:
    """Before the page is drawn again."""
    does()
    st.session_state["user_forms"] = st.session_state.get("user_forms", 0) + 1  # a password is forgotten
    st.toast(say("admin.done"), icon=":material/check:")


def _form() -> None:
    st.subheader(say("admin.new_user"), anchor=False)
    number = st.session_state.setdefault("user_forms", 0)
    with st.form("user_form", enter_to_submit=False):
        name = st.text_input(
            say("admin.name"), key=f"user_name_{number}", max_chars=64, help=say("admin.name_help"), autocomplete="off"
        )
        password = st.text_input(
            say("account.password"),
            type="password",
            autocomplete="new-password",
            key=f"user_password_{number}",
            max_chars=_LONGEST,
            help=say("admin.password_help", shortest=_SHORTEST),
        )
        role = st.radio(say("account.role"), _ROLES, key="user_new_role", horizontal=True, format_func=_role)
        pressed = st.form_submit_button(
            say("account.make"), key="user_make", type="primary", icon=":material/person_add:"
        )
    if not pressed:
        return
    try:
        made = here().client.add_user(name.strip(), password, role)
    except Finetune30Error as fault:
        show(fault)
        return
    st.session_state["user_forms"] = number + 1
    st.session_state["user_chosen"] = made.user_id
    st.toast(inert(say("admin.user_made", name=made.name)), icon=":material/check:")
    st.rerun()
