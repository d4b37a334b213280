"""Two to five runs side by side: what came out, how they learned, what was set differently, which answers changed.

Neighbours: ``sides`` says which runs; ``side_tables``, ``side_plots`` and ``flipped`` show the parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.ui import data_names, shown
from finetune30.ui.comparing import flipped, side_plots, side_tables
from finetune30.ui.comparing.sides import LEAST, Side, choose, sides_of
from finetune30.ui.pages import page_of
from finetune30.ui.shell import guarded, here, inert, say

_POINTS = 300


def page() -> None:
    """The page."""
    seat = here()
    st.title(say("compare.title"))
    ids = choose(seat)
    if len(ids) < LEAST:
        _nothing(bool(ids))
        return
    comparison = seat.client.compare(ids, flips="any", limit=1)
    sides = sides_of(comparison)
    _cards(comparison, sides)
    _part("figures", lambda: side_tables.figure_table(comparison, sides))
    told = {one: seat.client.curves(one, points=_POINTS) for one in ids}
    _part("curves", lambda: side_plots.curves(told, sides))
    st.subheader(say("compare.configuration"))
    side_tables.configuration_table(comparison, sides)
    st.subheader(say("compare.flips"))
    if flipped.counts(comparison, sides):
        st.fragment(guarded(lambda: flipped.rows(sides)))()
    _part("classes", lambda: side_plots.labels(comparison, sides))
    _downloads(comparison)


def _part(name: str, show: Callable[[], None]) -> None:
    """A section whose choices draw nothing but itself anew."""
    st.subheader(say(f"compare.{name}"))
    st.fragment(guarded(show))()


def _nothing(one: bool) -> None:
    st.info(say("compare.one_more") if one else say("compare.too_few"), icon=":material/compare:")
    if not one and st.button(say("shell.submit"), key="compare_submit", type="primary", icon=":material/add_circle:"):
        st.switch_page(page_of("submit"))


def _cards(comparison: Mapping[str, Any], sides: Sequence[Side]) -> None:
    accuracies = next((one["values"] for one in comparison["figures"] if one["figure"] == "eval.accuracy"), None)
    accuracies = accuracies or [None] * len(sides)
    same = comparison["evaluated"]["match"] == "same"
    for at, (column, side) in enumerate(zip(st.columns(len(sides)), sides, strict=True)):
        with column.container(border=True, height="stretch", key=f"compare_card_{side.letter}"):
            st.markdown(f"**{inert(side.title)}**")
            shown.badge(side.run["status"])
            st.metric(
                say("experiments.accuracy"),
                shown.share(accuracies[at]),
                _delta(accuracies, at),
                # Of other rows, more is not better; and no difference is none.
                delta_color="normal" if same and _differs(accuracies, at) else "off",
                delta_arrow="auto" if same and _differs(accuracies, at) else "off",
                delta_description=say("compare.since", letter=sides[0].letter) if at else say("compare.is_base"),
            )
            st.text(
                f"{side.run['base_model']}\n{data_names.name_of(side.run['dataset'])}\n{shown.moment(side.run['created_at'])}"
            )
            if st.button(say("experiments.open"), key=f"compare_open_{side.letter}", icon=":material/open_in_full:"):
                st.switch_page(page_of("run"), query_params={"id": side.id})
    live = [side.letter for side in sides if side.run["status"] not in shown.ENDED]
    if live:
        st.info(say("compare.live", letters=shown.names(live, 5)), icon=":material/play_circle:")
        st.button(say("compare.refresh"), key="compare_refresh", icon=":material/refresh:")


def _delta(accuracies: Sequence[float | None], at: int) -> str | None:
    first, this = accuracies[0], accuracies[at]
    if not at or first is None or this is None:
        return None
    return say("compare.points", points=f"{100 * (this - first):+.2f}")


def _differs(accuracies: Sequence[float | None], at: int) -> bool:
    first, this = accuracies[0], accuracies[at]
    return first is not None and this is not None and abs(this - first) >= 0.00005


def _downloads(comparison: Mapping[str, Any]) -> None:
    told = {name: value for name, value in comparison.items() if name not in ("flipped", "next")}
    st.subheader(say("compare.downloads"))
    st.download_button(
        say("compare.get_all"),
        json.dumps(told, ensure_ascii=False, indent=2).encode(),
        "comparison.json",
        "application/json",
        key="compare_get_all",
        icon=":material/download:",
        on_click="ignore",
    )
