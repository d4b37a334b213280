"""Why a training failed: its error in words, and the way on where the data was refused.

Messages are anybody's text and shown inert. Neighbours: ``pages.run`` places this above the buttons.
"""

from __future__ import annotations

import re

import streamlit as st

from finetune30.client import WholeTask
from finetune30.client.answers import Failure
from finetune30.ui import data_names
from finetune30.ui.pages import page_of
from finetune30.ui.shell import inert, say
from finetune30.ui.words import all_words

_REFUSED = "data_quality"
_CHECK = re.compile(r"(?:^|(?<=[;:] ))([a-z_]+)(?=: )")


def why_it_failed(task: WholeTask) -> None:
    """The box, for a run that failed or is tried again."""
    error = task.error
    if error is None or task.status == "SUCCESS":
        return
    if error.code == _REFUSED and task.has_ended:
        _refused(task, error)
        return
    told = ": ".join(filter(None, (error.where, error.message)))
    again = "" if task.has_ended else f"{say('failure.failed_before', count=task.failures)} "
    box = st.error if task.has_ended else st.warning
    box(again + inert(told or say("failure.no_reason")), icon=":material/error:")
    if error.hint:
        st.info(f"{say('shell.hint')}: {inert(error.hint)}", icon=":material/lightbulb:")


def _refused(task: WholeTask, error: Failure) -> None:
    """The checks by their names, and the way to what they found; another try is among the buttons below."""
    data = str((task.config.get("data") or {}).get("dataset_name") or error.where or "")
    found = named(error.message or "").partition(": ")[2] or named(error.message or "")
    told = say("failure.data_refused", data=data_names.name_of(data), found=found)
    st.error(inert(told), icon=":material/error:")
    st.info(say("failure.data_refused_next"), icon=":material/lightbulb:")
    if data_names.is_sent(data):
        st.page_link(
            page_of("data"),
            label=say("failure.data_report"),
            icon=":material/fact_check:",
            query_params={"id": data_names.id_of(data)},
        )


def named(message: str) -> str:
    """The message with checks called by their names instead of their ids."""
    words = all_words()

    def name(found: re.Match[str]) -> str:
        key = f"quality.check_{found[1]}"
        return say(key) if key in words else found[1]

    return _CHECK.sub(name, message)
