"""Sentences that are typed or pasted, and their answers.

A question keeps what was typed whatever comes of it; its answers stay until the next one. Neighbours: ``replies`` shows
them, ``answerers`` says who may be asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from finetune30.client.predictions import MOST_TEXTS
from finetune30.errors import Finetune30Error
from finetune30.ui.shell import here, say
from finetune30.ui.trying import answerers, replies
from finetune30.ui.trying.replies import Reply

TOP = 3
LOADING_S = 120.0
"""An adapter that is asked first, or its base model, is loaded before it answers."""
_HOW = ("lines", "whole")
_ANSWERS = "try_answers"


def form(chosen: Sequence[str], *, ready: bool) -> None:
    """The field and what came of it."""
    with st.form("try_form", border=False, enter_to_submit=False):
        text = st.text_area(
            say("tryout.text"),
            key="try_text",
            height=140,
            placeholder=say("tryout.text_hint"),
            persist_state="session",
        )
        with st.expander(say("tryout.more"), key="try_more"):
            how = st.radio(
                say("tryout.how"),
                _HOW,
                key="try_how",
                horizontal=True,
                format_func={one: say(f"tryout.how_{one}") for one in _HOW}.__getitem__,
            )
            pair = st.text_area(say("tryout.pair"), key="try_pair", height=100, help=say("tryout.pair_help"))
        asked = st.form_submit_button(
            say("tryout.ask"), key="try_ask", type="primary", icon=":material/send:", disabled=not ready
        )
    if asked:
        _ask(chosen, _texts(text, how), _texts(pair, how))
    kept: tuple[list[str], list[Reply]] | None = st.session_state.get(_ANSWERS)
    if kept is not None:
        replies.show(*kept)
    elif not asked:
        st.info(say("tryout.start"), icon=":material/chat:")


def _texts(given: str, how: str) -> list[str]:
    if how == "whole":
        return [given.strip()] if given.strip() else []
    return [line.strip() for line in given.splitlines() if line.strip()]


def _ask(chosen: Sequence[str], texts: list[str], pairs: list[str]) -> None:
    wrong = _wrong(chosen, texts, pairs)
    if wrong:
        st.warning(wrong, icon=":material/edit:")
        return
    with st.spinner(say("tryout.asking"), show_time=True):
        st.session_state[_ANSWERS] = texts, [_reply(address, texts, pairs or None) for address in chosen]


def _wrong(chosen: Sequence[str], texts: list[str], pairs: list[str]) -> str | None:
    if not chosen:
        return say("tryout.choose_one")
    if not texts:
        return say("tryout.no_text")
    if len(texts) > MOST_TEXTS:
        return say("tryout.too_many", count=len(texts), most=MOST_TEXTS)
    if pairs and len(pairs) != len(texts):
        return say("tryout.odd_pairs", first=len(texts), second=len(pairs))
    return None


def _reply(address: str, texts: list[str], pairs: list[str] | None) -> Reply:
    """What one of them answers; a fault of one keeps none of the others from answering."""
    try:
        answerers.check(address)
        told = here().client.predict(texts, pairs=pairs, adapter=address, top_k=TOP, timeout_s=LOADING_S)
    except Finetune30Error as fault:
        return Reply(address, fault=fault, paired=bool(pairs))
    return Reply(address, told.predictions[0].adapter.id, told.predictions, told.latency_ms)
