"""Tables of runs side by side: figures with the best one marked, and what was configured differently.

Cells are plain text. Neighbours: ``figures`` says what they are called, ``pages.compare`` where they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.ui import data_names, figures, shown
from finetune30.ui.comparing.sides import Side
from finetune30.ui.figures import Kind, Value
from finetune30.ui.shell import say

_BEST = "★ "


def figure_table(comparison: Mapping[str, Any], sides: Sequence[Side]) -> None:
    """Every figure of every run; a fragment."""
    told = {one["figure"]: one["values"] for one in comparison["figures"]}
    if not told:
        st.info(say("compare.no_figures"))
        return
    everything = st.toggle(say("compare.all_figures"), key="compare_all")
    names = list(told) if everything else [one for one in figures.MAIN if one in told]
    same = comparison["evaluated"]["match"] == "same"
    rows = [(figures.name_of(one), told[one], _kind(one, same=same)) for one in names]
    _table(say("compare.figure"), rows, sides, key="compare_figures", alt=say("compare.figures"))
    st.caption(say("compare.best_same") if same else say("compare.best_other"))


def class_table(rows: Sequence[Mapping[str, Any]], sides: Sequence[Side], figure: str, *, same: bool) -> None:
    """One figure of every label."""
    kind = figures.PER_CLASS.get(figure, Kind(shown.number))
    kind = kind if same else Kind(kind.show)
    told = [(str(one["label"]), one["values"], kind) for one in rows]
    _table(say("compare.label"), told, sides, key="compare_classes", alt=say("compare.classes"))


def configuration_table(comparison: Mapping[str, Any], sides: Sequence[Side]) -> None:
    """Keys whose values differ, and how many do not."""
    differences = comparison["configuration"]
    if not differences:
        st.info(say("compare.same_configuration", count=comparison["same_keys"]), icon=":material/equal:")
        return
    cells: dict[str, list[str]] = {"name": [one["key"] for one in differences]}
    for at, side in enumerate(sides):
        cells[side.letter] = [_setting(one["key"], one["values"][at]) for one in differences]
    _show(cells, say("compare.key"), sides, key="compare_configuration", alt=say("compare.configuration"))
    st.caption(say("compare.same_keys", count=comparison["same_keys"]))


def _setting(key: str, value: Any) -> str:
    return data_names.name_of(value) if key == "data.dataset_name" and value else figures.plain(value)


def _kind(figure: str, *, same: bool) -> Kind:
    kind = figures.kind_of(figure)
    return kind if same or not kind.depends else Kind(kind.show)


def _table(
    first: str, rows: Sequence[tuple[str, Sequence[Value], Kind]], sides: Sequence[Side], *, key: str, alt: str
) -> None:
    cells: dict[str, list[str]] = {"name": [name for name, _, _ in rows]}
    marks = [figures.best(values, kind) for _, values, kind in rows]
    for at, side in enumerate(sides):
        cells[side.letter] = [
            (_BEST if at in mark else "") + kind.show(values[at])
            for (_, values, kind), mark in zip(rows, marks, strict=True)
        ]
    if len(sides) == 2:
        cells["difference"] = [figures.difference(values, kind) for _, values, kind in rows]
    _show(cells, first, sides, key=key, alt=alt)


def _show(cells: dict[str, list[str]], first: str, sides: Sequence[Side], *, key: str, alt: str) -> None:
    column = st.column_config
    st.dataframe(
        cells,
        key=key,
        hide_index=True,
        width="stretch",
        height="content" if len(cells["name"]) <= 40 else 600,
        column_config={
            "name": column.TextColumn(first, pinned=True, width=200),
            "difference": column.TextColumn(say("compare.difference"), width="small"),
            **{side.letter: column.TextColumn(side.title, width=150) for side in sides},
        },
        alt=alt,
    )
