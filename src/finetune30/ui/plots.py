"""Plots: lines by step, bars by name, confusion matrices; the same signs on every page, light and dark.

Promises: nothing is told by colour alone (lines differ in dash and marker, bars and cells carry their numbers); texts
that somebody else wrote are neither markup nor links; a redrawn plot keeps its size and place. What is drawn stands
beside it as words or a table, which is the caller's to say: ``alt`` is what a screen reader calls the plot.
Neighbours: ``theme`` has the colours, ``stencils`` makes lines quickly; pages call ``lines``, ``bars`` or ``confusion``
and ``draw`` what comes.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from finetune30.ui import stencils
from finetune30.ui.stencils import Drawing, Stencil, holes, stencil_of
from finetune30.ui.theme import COLOURS

Number = float | int | None
# Yellow is too faint on white, black too faint on dark.
_COLOURS = COLOURS[:6]
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
# Solid colours, so that the numbers on them are told apart whatever lies behind the plot.
_SCALE = ((0.0, "#EAF3F9"), (0.5, "#5BA3CC"), (1.0, "#00466F"))
_LONGEST_LABEL = 22
_MOST_NUMBERED = 12
_CONFIG = {"displayModeBar": False, "responsive": True}
_GRID = "rgba(128, 140, 150, 0.25)"


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        y: None where nothing was told; the line goes on over it.
        points: Draw a marker at each, as for evaluations, which are few.
    """

    name: str
    x: Sequence[float]
    y: Sequence[Number]
    points: bool = False


def lines(
    some: Sequence[Line],
    *,
    x: str,
    y: str,
    percent: bool = False,
    unit: str = "",
    height: int = 260,
    steps: bool = False,
) -> Drawing:
    """Curves over each other, in the order's colours and dashes.

    Args:
        x, y: What the axes say, unit included; nothing where a heading above says it.
        percent: ``y`` is a share from 0 to 1 and is shown in percent.
        unit: Behind the numbers of the hover.
        steps: Each value holds until the next point, and what is below it is filled.
    """
    told = tuple([(at, value) for at, value in zip(one.x, one.y, strict=True) if value is not None] for one in some)
    # A single point has no line that could be seen.
    marked = tuple(one.points or len(points) == 1 for one, points in zip(some, told, strict=True))
    known = {value for points in told for _, value in points}
    level = known.pop() if len(known) == 1 else None
    names = tuple(one.name for one in some)
    return Drawing(_lines(names, marked, any(told), level or None, x, y, percent, unit, height, steps), told)


@lru_cache(maxsize=256)
def _lines(
    names: tuple[str, ...],
    marked: tuple[bool, ...],
    is_known: bool,
    level: Number,
    x: str,
    y: str,
    percent: bool,
    unit: str,
    height: int,
    steps: bool,
) -> Stencil:
    """All of it but the points; ``level`` is the value of all of them, where it is one."""
    figure = go.Figure()
    signs = zip(names, marked, cycle(_COLOURS), cycle(_DASHES), cycle(_MARKERS), strict=False)
    for place, (name, has_markers, colour, dash, marker) in enumerate(signs):
        figure.add_scatter(
            **holes(place),
            name=plain(name),
            mode="lines+markers" if has_markers else "lines",
            line={"color": colour, "dash": dash, "width": 2},
            marker={"symbol": marker, "size": 8, "color": colour},
            hovertemplate=f"%{{y:{'.1%' if percent else '.4~g'}}}{plain(unit)}<extra>{plain(name, 40)}</extra>",
        )
    if steps:
        figure.update_traces(line_shape="hv", fill="tozeroy")
    figure.update_layout(hovermode="x unified", showlegend=len(names) > 1)
    if not is_known:
        # An empty place, as large as the plot will be, instead of axes about nothing.
        figure.update_xaxes(range=[0, 1], showticklabels=False)
        figure.update_yaxes(range=[0, 1], showticklabels=False)
    if level is not None:
        # Around one level plotly shows from -1 to 1, in which a small one looks like nothing.
        figure.update_yaxes(range=sorted((0.5 * level, 1.5 * level)))
    figure.update_xaxes(title=plain(x, 60), tickformat="~s", hoverformat="d")
    figure.update_yaxes(title=plain(y, 60), tickformat=".0%" if percent else None, exponentformat="e")
    return stencil_of(_dressed(figure, height))


def bars(
    names: Sequence[str],
    series: Mapping[str, Sequence[Number]],
    *,
    x: str,
    y: str = "",
    percent: bool = False,
    height: int | None = None,
) -> go.Figure:
    """Horizontal bars with their numbers: a group for each name, the first on top; a bar in it for each of ``series``.

    Args:
        x: What the numbers are, unit included.
        y: What the names are.
        height: Pixels; None for as many as the bars need.
    """
    figure, places = go.Figure(), list(range(len(names)))
    for (name, values), colour, pattern in zip(
        series.items(), cycle(_COLOURS), cycle(("", "/", "x", ".", "-", "\\")), strict=False
    ):
        figure.add_bar(
            orientation="h",
            x=list(values),
            y=places,
            name=plain(name),
            customdata=[plain(one, 200) for one in names],
            marker={"color": colour, "pattern": {"shape": pattern, "solidity": 0.25}},
            texttemplate="%{x:.1%}" if percent else "%{x:.4~g}",
            textposition="auto",
            textangle=0,
            hovertemplate=f"%{{customdata}}: %{{x:{'.2%' if percent else '.6~g'}}}<extra>{plain(name, 40)}</extra>",
        )
    figure.update_layout(barmode="group", showlegend=len(series) > 1, bargap=0.3)
    figure.update_xaxes(title=plain(x, 60), tickformat=".0%" if percent else "~s", rangemode="tozero")
    figure.update_yaxes(title=plain(y, 60), autorange="reversed", **_names(names))
    return _dressed(figure, height or max(170, 90 + 26 * max(1, len(series)) * len(names)))


def confusion(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], *, right: str, answered: str, height: int | None = None
) -> go.Figure:
    """A confusion matrix: a row for each right label, shaded by its share of the row, with counts where they have room.

    Args:
        right: What the rows are called.
        answered: What the columns are called.
    """
    totals = [sum(row) or 1 for row in matrix]
    shares = [[count / total for count in row] for row, total in zip(matrix, totals, strict=True)]
    told = [
        [f"{plain(one, 60)} → {plain(other, 60)}: {count}" for other, count in zip(labels, row, strict=True)]
        for one, row in zip(labels, matrix, strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            zmin=0,
            zmax=1,
            text=[[str(count) for count in row] for row in matrix],
            texttemplate="%{text}" if len(labels) <= _MOST_NUMBERED else None,
            textfont={"size": 14},
            customdata=told,
            hovertemplate="%{customdata} (%{z:.1%})<extra></extra>",
            colorscale=_SCALE,
            xgap=2,
            ygap=2,
            colorbar={"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
        )
    )
    figure.update_xaxes(title=plain(answered, 60), showgrid=False, constrain="domain", **_names(labels))
    figure.update_yaxes(title=plain(right, 60), showgrid=False, autorange="reversed", **_names(labels))
    if is_large(labels):
        # Each label at its own place, none over another: upright below, as high as they need beside.
        figure.update_xaxes(tickangle=-90, tickfont={"size": 11}, title_standoff=16)
        figure.update_yaxes(tickfont={"size": 11})
        return _dressed(figure, height or min(1600, 260 + 22 * len(labels)))
    figure.update_xaxes(title_standoff=16)
    return _dressed(figure, height or max(280, 160 + 44 * len(labels)))


def is_large(labels: Sequence[str]) -> bool:
    """Whether a confusion matrix of these needs the page's whole width."""
    return len(labels) > _MOST_NUMBERED


def draw(plot: go.Figure | Drawing, key: str, alt: str) -> None:
    """The plot, in its place.

    Args:
        key: Stable over refreshes and one of its kind on the page.
        alt: What is to be seen, in a sentence; inert as it is.
    """
    if isinstance(plot, Drawing):
        stencils.draw(plot, key, alt, json.dumps(_CONFIG))
        return
    plot.update_layout(uirevision=key)
    st.plotly_chart(plot, theme="streamlit", key=key, alt=alt, config=_CONFIG)


def plain(text: str, most: int = _LONGEST_LABEL) -> str:
    """A text for a plot, which reads some HTML: cut to ``most`` characters, nothing in it is markup."""
    short = " ".join(text.split())
    return html.escape(short if len(short) <= most else short[: most - 1] + "…", quote=False)


def middle(text: str, most: int = _LONGEST_LABEL) -> str:
    """As ``plain``, cut in its middle: labels often begin alike, and their ends tell them apart."""
    short = " ".join(text.split())
    if len(short) <= most:
        return plain(short, most)
    front = (most - 1) // 2
    return plain(f"{short[:front]}…{short[len(short) - (most - 1 - front) :]}", most)


def _names(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names, written at numbers: two that are cut to the same text stay two, and "1" stays a name."""
    places = range(len(names))
    return {"tickmode": "array", "tickvals": list(places), "ticktext": [middle(one) for one in names], "type": "linear"}


def _dressed(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        # A finger that scrolls the page must not zoom the plot.
        dragmode=False,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title": {"text": ""}},
        transition={"duration": 0},
    )
    figure.update_xaxes(automargin=True, gridcolor=_GRID, zeroline=False, fixedrange=True)
    figure.update_yaxes(automargin=True, gridcolor=_GRID, zeroline=False, fixedrange=True)
    return figure
