"""Plots of runs side by side: curves over each other, confusion matrices beside each other; each with its numbers.

Neighbours: ``plots`` draws, ``pages.compare`` says where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.ui import plots, shown
from finetune30.ui.comparing import side_tables
from finetune30.ui.comparing.sides import Side
from finetune30.ui.figures import PER_CLASS, Show
from finetune30.ui.plots import Line
from finetune30.ui.shell import inert, say

_MIB = 1 << 20
# What can be drawn: the series it is of, its figure there, how a value is shown, and by what it is divided.
_CURVES: Mapping[str, tuple[str, str, Show, float]] = {
    "train_loss": ("training", "loss", shown.number, 1),
    "eval_accuracy": ("evaluations", "accuracy", lambda value: shown.share(value), 1),
    "eval_f1": ("evaluations", "f1_macro", lambda value: shown.share(value), 1),
    "eval_loss": ("evaluations", "loss", shown.number, 1),
    "learning_rate": ("training", "learning_rate", shown.number, 1),
    "tokens": ("training", "tokens_per_s", shown.number, 1),
    "memory": ("training", "memory_bytes", shown.number, _MIB),
    "gpu_memory": ("training", "gpu_memory_bytes", shown.number, _MIB),
}
_AXES = ("step", "epoch", "minutes")


def curves(told: Mapping[str, Mapping[str, Any]], sides: Sequence[Side]) -> None:
    """One figure of all runs, by step, epoch or time; a fragment.

    Args:
        told: What ``Client.curves`` answered, by the run's id.
    """
    there = [name for name in _CURVES if any(_values(told[side.id], name) for side in sides)]
    if not there:
        st.info(say("compare.no_curves"))
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            say("compare.curve"),
            there,
            key="compare_curve",
            format_func=lambda one: say(f"compare.curve_{one}"),
            width=280,
        )
        axis = st.segmented_control(
            say("compare.axis"),
            _AXES,
            default=_AXES[0],
            required=True,
            key="compare_axis",
            format_func=lambda one: say(f"compare.axis_{one}"),
        )
    _, _, show, divisor = _CURVES[name]
    some = [_line(told[side.id], side, name, axis, divisor) for side in sides]
    y, x = say(f"compare.curve_{name}"), say(f"compare.axis_{axis}")
    percent = name in ("eval_accuracy", "eval_f1")
    told_of = _sentences(some, show)
    plots.draw(plots.lines(some, x=x, y=y, percent=percent, height=340), "compare_curves", f"{y}. {'; '.join(told_of)}")
    st.caption(inert(" · ".join(told_of)))


def _values(told: Mapping[str, Any], name: str) -> list[Any]:
    series, figure, _, _ = _CURVES[name]
    values = told[series]["figures"].get(figure) or []
    return values if any(one is not None for one in values) else []


def _line(told: Mapping[str, Any], side: Side, name: str, axis: str, divisor: float) -> Line:
    series = told[_CURVES[name][0]]
    places = _places(told, series, axis)
    values = [None if one is None else one / divisor for one in _values(told, name)] or [None] * len(places)
    both = [(x, y) for x, y in zip(places, values, strict=True) if x is not None]
    return Line(side.title, [x for x, _ in both], [y for _, y in both], points=_CURVES[name][0] == "evaluations")


def _places(told: Mapping[str, Any], series: Mapping[str, Any], axis: str) -> list[Any]:
    """Where each point stands: at its step, its epoch, or its minutes since the run's first step."""
    if axis == "step":
        return list(series["steps"])
    if axis == "epoch":
        return list(series["figures"]["epoch"])
    starts = [one for one in told["training"]["figures"]["at"] if one is not None]
    begun = starts[0] if starts else None
    return [None if at is None or begun is None else (at - begun) / 60 for at in series["figures"]["at"]]


def _sentences(some: Sequence[Line], show: Show) -> list[str]:
    made = []
    for one in some:
        known = [value for value in one.y if value is not None]
        made.append(
            say("compare.curve_told", name=one.name, last=show(known[-1]), low=show(min(known)), high=show(max(known)))
            if known
            else say("compare.curve_none", name=one.name)
        )
    return made


def labels(comparison: Mapping[str, Any], sides: Sequence[Side]) -> None:
    """Every label's figures, and the confusion matrices; a fragment."""
    rows, matrices = comparison["per_class"], comparison["confusion"]
    splits = [one for one in ("eval", "test") if any(row["split"] == one for row in [*rows, *matrices])]
    if not splits:
        st.info(say("compare.no_labels"))
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        split = splits[0]
        if len(splits) > 1:
            split = st.segmented_control(
                say("compare.split"),
                splits,
                default=split,
                required=True,
                key="compare_split",
                format_func=lambda one: say(f"compare.part_{one}"),
            )
        figure = st.segmented_control(
            say("compare.figure"),
            list(PER_CLASS),
            default="f1",
            required=True,
            key="compare_class_figure",
            format_func=lambda one: say(f"compare.class_{one}"),
        )
    some = [row for row in rows if (row["split"], row["figure"]) == (split, figure)]
    same = comparison["evaluated"]["match"] == "same"
    side_tables.class_table(some, sides, figure, same=same)
    _confusions([one for one in matrices if one["split"] == split], sides)


def _confusions(matrices: Sequence[Mapping[str, Any]], sides: Sequence[Side]) -> None:
    if not matrices:
        return
    st.subheader(say("compare.confusion"))
    st.caption(say("compare.confusion_told"))
    several = [one["labels"] for one in matrices if _is_of_several(one)]
    label = ""
    if several:
        label = st.selectbox(
            say("compare.label"), list(dict.fromkeys(name for names in several for name in names)), key="compare_label"
        )
    by_id = {one["id"]: one for one in matrices}
    there = [side for side in sides if side.id in by_id]
    width = 1 if any(plots.is_large(by_id[side.id]["labels"]) for side in there) else min(3, len(there))
    for start in range(0, len(there), width):
        for column, side in zip(st.columns(width), there[start : start + width], strict=False):
            with column:
                _confusion(by_id[side.id], side, label)


def _confusion(told: Mapping[str, Any], side: Side, label: str) -> None:
    names, counts = list(told["labels"]), told["counts"]
    st.markdown(f"**{inert(side.title)}**")
    if _is_of_several(told):
        if label not in names:
            st.caption(say("compare.label_missing"))
            return
        names, counts = [say("compare.without"), say("compare.with")], counts[names.index(label)]
    right = [f"{name}: {row[at]}/{sum(row)}" for at, (name, row) in enumerate(zip(names, counts, strict=True))]
    figure = plots.confusion(counts, names, right=say("compare.right"), answered=say("compare.answered"))
    plots.draw(
        figure,
        f"compare_confusion_{side.letter}",
        say("compare.confusion_alt", name=side.title, rows="; ".join(right[:20])),
    )


def _is_of_several(told: Mapping[str, Any]) -> bool:
    """Whether rows have several labels: then there is a matrix of two by two for each of them."""
    return bool(told["counts"]) and isinstance(told["counts"][0][0], list)
