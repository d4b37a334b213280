"""What can be done with the runs that are chosen: open, compare, run again with changes, delete.

Neighbours: ``runs_chosen`` knows them; ``pages.experiments`` shows this above its table.
"""

from __future__ import annotations

import streamlit as st

from finetune30.ui import shown
from finetune30.ui.experiments import runs_chosen, runs_deleted
from finetune30.ui.pages import page_of
from finetune30.ui.shell import inert, say

MOST_COMPARED = 5


def actions() -> None:
    """The buttons, once something is chosen; until then a line says how."""
    some = runs_chosen.chosen()
    if not some:
        st.caption(say("experiments.choose"))
        return
    one = some[0] if len(some) == 1 else None
    with st.container(horizontal=True, vertical_alignment="center", key="runs_actions"):
        if _button("open", "open_in_full", enabled=one is not None) and one:
            st.switch_page(page_of("run"), query_params={"id": one.id})
        if _button("compare", "compare", enabled=len(some) <= MOST_COMPARED):
            # The oldest is what the others are compared with.
            ids = [run.id for run in sorted(some, key=lambda run: run.created_at)]
            st.switch_page(page_of("compare"), query_params={"ids": ",".join(ids)})
        if _button("again", "replay", enabled=one is not None) and one:
            st.switch_page(page_of("submit"), query_params={"from": one.id})
        if _button("delete", "delete", enabled=True):
            runs_deleted.ask([run.id for run in some])
            st.rerun()
        if _button("unchoose", "deselect", enabled=True):
            runs_chosen.clear()
            st.rerun(scope="fragment")
    st.caption(_told(len(some), [run.name for run in some]))


def _told(count: int, names: list[str]) -> str:
    told = say("experiments.chosen", count=count, names=inert(shown.names(names)))
    return told if count <= MOST_COMPARED else f"{told} {say('experiments.too_many', most=MOST_COMPARED)}"


def _button(name: str, icon: str, *, enabled: bool) -> bool:
    return st.button(
        say(f"experiments.do_{name}"),
        key=f"runs_{name}_chosen",
        disabled=not enabled,
        icon=f":material/{icon}:",
        help=say(f"experiments.do_{name}_help"),
    )
