"""Plots as browsers get them, made from a stencil: all of a plot but its points, built and written as JSON once.

Plotly checks and copies each property of a figure each time, some milliseconds a plot; what a live page draws every two
seconds differs in its points alone. Promises: what comes is what plotly itself would write of the same figure, less the
parts of its template for kinds of plots that are not in it. Neighbours: ``plots`` says what the figures are.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import plotly.io
import streamlit as st
from streamlit.elements.lib.layout_utils import LayoutConfig
from streamlit.proto.PlotlyChart_pb2 import PlotlyChart
from streamlit.runtime.state.common import GENERATED_ELEMENT_ID_PREFIX

Points = Sequence[tuple[float, float | int]]
# No text that somebody wrote holds it.
_MARK = secrets.token_hex(12)
_PLACE = re.compile(rf'\["{_MARK}\.(\d+)\.([xy])"\]|"({_MARK})"')


@dataclass(frozen=True)
class Stencil:
    """Pieces of JSON; between two of them stand the points ``places`` names, or None for the plot's own key."""

    pieces: tuple[str, ...]
    places: tuple[tuple[int, int] | None, ...]
    height: int

    def filled(self, points: Sequence[Points], key: str) -> str:
        """The plot's JSON with these points, a list for each line."""
        told = [self.pieces[0]]
        for place, piece in zip(self.places, self.pieces[1:], strict=True):
            told.append(json.dumps(key) if place is None else _column(points[place[0]], place[1]))
            told.append(piece)
        return "".join(told)


@dataclass(frozen=True)
class Drawing:
    """A stencil and its points."""

    stencil: Stencil
    points: tuple[Points, ...]


def holes(line: int) -> dict[str, list[str]]:
    """What stands in a figure of ``stencil_of`` in place of this line's points."""
    return {"x": [f"{_MARK}.{line}.x"], "y": [f"{_MARK}.{line}.y"]}


def stencil_of(figure: go.Figure) -> Stencil:
    """Of a figure whose lines have ``holes``; it is used up."""
    figure.update_layout(uirevision=_MARK)
    found = figure.to_dict()
    template: dict[str, Any] = found["layout"].get("template", {})
    kinds = {one["type"] for one in found["data"]}
    if "data" in template:
        template["data"] = {kind: told for kind, told in template["data"].items() if kind in kinds}
    parts = _PLACE.split(plotly.io.to_json(found, validate=False))
    places = [
        None if own else (int(line), "xy".index(axis))
        for line, axis, own in zip(parts[1::4], parts[2::4], parts[3::4], strict=True)
    ]
    return Stencil(tuple(parts[0::4]), tuple(places), int(figure.layout.height))


def draw(drawing: Drawing, key: str, alt: str, config: str) -> None:
    """The plot, in its place; as ``st.plotly_chart`` would do it with the figure."""
    plot = PlotlyChart()
    plot.spec = drawing.stencil.filled(drawing.points, key)
    plot.theme, plot.config, plot.alt = "streamlit", config, alt
    # The browser reads a plot anew where its id is another one.
    plot.id = f"{GENERATED_ELEMENT_ID_PREFIX}-{zlib.crc32((plot.spec + alt).encode()):x}-{key}"
    st._main._enqueue("plotly_chart", plot, layout_config=LayoutConfig("stretch", drawing.stencil.height))


def _column(points: Points, axis: int) -> str:
    column = [one[axis] for one in points]
    if not all(map(math.isfinite, column)):
        column = [one if math.isfinite(one) else None for one in column]  # type: ignore[misc]
    return json.dumps(column, separators=(",", ":"))
