"""One's API keys, for programs that predict: made, told once, revoked.

Neighbours: ``pages.account`` places it; ``client.keys`` asks.
"""

from __future__ import annotations

import streamlit as st

from finetune30.client.answers_more import Key
from finetune30.errors import Finetune30Error
from finetune30.ui import shell, shown
from finetune30.ui.shell import act, here, inert, say, show, told

_LONGEST_NAME = 64
_LIVES = (30, 90, 365, 0)
"""Days; 0 for no end."""
_NEW = "key_new"


def mine() -> None:
    """The list, the form, and a key that was just made."""
    st.caption(say("account.keys_help"))
    _told()
    found = here().client.api_keys()
    if found:
        _table(found)
    else:
        st.info(say("account.no_keys"), icon=":material/key_off:")
    _form()


def _told() -> None:
    told("key")
    new: Key | None = st.session_state.get(_NEW)
    if new is None or new.key is None:
        return
    with st.container(border=True, key="key_told"):
        st.markdown(say("account.key_once", name=inert(new.name)))
        st.code(new.key, language=None)
        example = f"curl {shell.OPTIONS.serving_url}/predict -H 'X-API-Key: …' -H 'Content-Type: application/json' \\\n"
        st.code(example + '  -d \'{"text": "This movie was great!"}\'', language="sh", wrap_lines=True)
        st.button(say("account.kept"), key="key_kept", icon=":material/check:", on_click=act(_forget))


def _forget() -> None:
    st.session_state.pop(_NEW, None)


def _state(one: Key, now: float) -> str:
    if one.revoked_at is not None:
        return say("account.key_revoked")
    if one.expires_at is not None and one.expires_at <= now:
        return say("account.key_expired")
    return say("account.key_good")


def _table(found: list[Key]) -> None:
    import time

    column = st.column_config
    now = time.time()
    zone = shown.zone()
    st.dataframe(
        [
            {
                "name": one.name,
                "state": _state(one, now),
                "used": shown.ago(one.last_used_at, now),
                "made": shown.moment(one.created_at),
                "expires": say("account.never") if one.expires_at is None else shown.moment(one.expires_at),
                "id": one.key_id,
            }
            for one in found
        ],
        key="keys_table",
        hide_index=True,
        width="stretch",
        column_config={
            "name": column.TextColumn(say("account.key_name")),
            "state": column.TextColumn(say("account.state")),
            "used": column.TextColumn(say("account.used")),
            "made": column.TextColumn(say("account.made", zone=zone)),
            "expires": column.TextColumn(say("account.expires", zone=zone)),
            "id": column.TextColumn(say("account.id")),
        },
        alt=say("account.keys_alt", count=len(found)),
    )
    good = {one.key_id: one for one in found if _state(one, now) == say("account.key_good")}
    if good:
        with st.popover(say("account.revoke"), icon=":material/block:", key="key_revoke"):
            chosen = st.selectbox(
                say("account.key_name"),
                list(good),
                key="key_chosen",
                format_func=lambda id: f"{good[id].name} · {id}",
            )
            st.write(say("account.revoke_sure"))
            st.button(
                say("account.revoke_yes"),
                key="key_revoke_yes",
                type="primary",
                on_click=act(_revoked, chosen, at="key"),
            )


def _revoked(key_id: str) -> None:
    """Before the page is drawn again."""
    here().client.revoke_key(key_id)
    new: Key | None = st.session_state.get(_NEW)
    if new is not None and new.key_id == key_id:
        _forget()
    st.toast(say("account.revoked"), icon=":material/block:")


def _form() -> None:
    st.subheader(say("account.new_key"), anchor=False)
    with st.form("key_form", enter_to_submit=False):
        name = st.text_input(
            say("account.key_what"), key="key_name", max_chars=_LONGEST_NAME, placeholder=say("account.key_placeholder")
        )
        days = st.radio(
            say("account.key_life"),
            _LIVES,
            index=1,
            key="key_life",
            horizontal=True,
            format_func=lambda one: say("account.days", count=one) if one else say("account.never"),
        )
        pressed = st.form_submit_button(say("account.make"), key="key_make", type="primary", icon=":material/add:")
    if not pressed:
        return
    if not name.strip():
        st.warning(say("account.name_missing"), icon=":material/edit:")
        return
    try:
        st.session_state[_NEW] = here().client.add_key(name.strip(), days or None)
    except Finetune30Error as fault:
        show(fault)
        return
    st.rerun()
