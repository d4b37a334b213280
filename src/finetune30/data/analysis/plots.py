"""The plots of the page, as plotly.js takes them: ``{"data": [...], "layout": {...}}`` in JSON types.

Plotly reads HTML in every text, so whatever comes from users is escaped here. Colours of ink and
lines are the page's, which knows light from dark. Neighbours: page puts the plots into HTML.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from finetune30.data.analysis.values import Analysis, Histogram, LabelFigures, TellingWord
from finetune30.data.analysis.visible import visible
from finetune30.data.roles import Role

Plot = dict[str, Any]

COLOURS: Mapping[Role, str] = {"train": "#4c78d8", "validation": "#e8962e", "test": "#2fa37c"}
LABELS_DRAWN = 100
_BARS_FOR_EACH_SPLIT = 12
_DIFFERENCES = 15
_NEGLIGIBLE = 2.0  # points: smaller differences are drawn small
_ENDS = 12
_NAME = 24


def label_shares(analysis: Analysis) -> Plot:
    """Share of the rows of each split by label: bars side by side, or dots over bars where labels are many."""
    labels = in_order(analysis)[:LABELS_DRAWN]
    few = len(labels) <= _BARS_FOR_EACH_SPLIT
    data = []
    for role, split in analysis.splits.items():
        counts = [split.label_counts.get(label.name, 0) for label in labels]
        if not any(counts):
            continue
        marks: Plot = {"type": "bar", "orientation": "h"}
        style: Plot = {} if few else {"opacity": 0.45}
        if not few and role != "train":
            marks = {"type": "scatter", "mode": "markers"}
            style = {"size": 8, "line": {"color": "#ffffff", "width": 1}}
        data.append(
            marks
            | {
                "name": role,
                "y": [_safe(label.name) for label in labels],
                "x": [round(100 * split.share(label.name), 3) for label in labels],
                "customdata": counts,
                "marker": {"color": COLOURS[role]} | style,
                "hovertemplate": "%{y}<br>%{x:.2f} % of " + role + ", %{customdata:,} rows<extra></extra>",
            }
        )
    row = 14 * len(data) + 12 if few else 18
    height = 90 + row * len(labels)
    return {"data": data, "layout": _bars(labels, height, "% of the rows", legend=len(data) > 1) | {"barmode": "group"}}


def lengths(analysis: Analysis, unit: str) -> Plot:
    """Share of the rows by length in ``words`` or ``tokens``; the latter with a line at ``data.max_length``."""
    data = []
    edges: Sequence[int] = (0, 1)
    for role, split in analysis.splits.items():
        told = getattr(split, unit)
        if told is None or not split.rows:
            continue
        edges = told.histogram.edges
        data.append(_steps(role, told.histogram, unit))
    width = edges[1] - edges[0]
    end = edges[-1] + width
    layout = _layout(340, legend=len(data) > 1) | {
        "xaxis": {
            "title": {"text": f"{unit}; the last bar: {edges[-1]:,} or more"},
            "range": [0, end],
            "zeroline": False,
        },
        "yaxis": {"title": {"text": "% of the rows"}, "rangemode": "tozero", "automargin": True},
        "bargap": 0,
        "hovermode": "closest",
    }
    if unit == "tokens":
        _mark_max_length(layout, analysis.max_length, end)
    return {"data": data, "layout": layout}


def median_words(analysis: Analysis) -> Plot | None:
    """Median length of the texts of each label; of many labels the shortest and the longest."""
    labels = [label for label in in_order(analysis) if label.median_words is not None]
    if len(labels) > 2 * _ENDS:
        labels.sort(key=lambda label: label.median_words or 0)
        labels = labels[:_ENDS] + labels[-_ENDS:]
    if not labels:
        return None
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [_safe(label.name) for label in labels],
        "x": [label.median_words for label in labels],
        "marker": {"color": COLOURS["train"]},
        "hovertemplate": "%{y}<br>half of the texts have at most %{x:,} words<extra></extra>",
    }
    return {"data": [bars], "layout": _bars(labels, 60 + 22 * len(labels), "median words of a train text")}


def telling(words: Sequence[TellingWord], role: Role) -> Plot:
    """Words by how much they tell; in the bars the rows that hold them, here and elsewhere."""
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [_safe(told.word) for told in words],
        "x": [told.z for told in words],
        "text": [f"{told.rows:,} / {told.elsewhere:,}" for told in words],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [[told.rows, told.elsewhere] for told in words],
        "marker": {"color": COLOURS[role]},
        "hovertemplate": "%{y}: %{customdata[0]:,} rows here, %{customdata[1]:,} elsewhere, z %{x}<extra></extra>",
    }
    layout = _bars([told.word for told in words], 20 + 22 * len(words), "")
    # Room at the right for what stands beside the longest bar.
    layout["xaxis"] |= {"range": [0, 1.45 * max(told.z for told in words)], "showticklabels": False, "showgrid": False}
    layout["margin"] |= {"b": 8}
    return {"data": [bars], "layout": layout}


def share_differences(analysis: Analysis) -> Plot | None:
    """By how many percentage points the label shares of held-out splits differ from train: the largest ones."""
    train = analysis.splits["train"]
    roles = [role for role, told in analysis.comparisons.items() if told.label_distance is not None]

    def difference(role: Role, name: str) -> float:
        return 100 * (analysis.splits[role].share(name) - train.share(name))

    def largest(label: LabelFigures) -> float:
        return max((abs(difference(role, label.name)) for role in roles), default=0.0)

    labels = in_order(analysis)
    if len(labels) > _DIFFERENCES:
        labels = sorted(labels, key=largest, reverse=True)[:_DIFFERENCES]
    if not roles or not labels:
        return None
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": role,
            "y": [_safe(label.name) for label in labels],
            "x": [round(difference(role, label.name), 3) for label in labels],
            "marker": {"color": COLOURS[role]},
            "hovertemplate": "%{y}<br>%{x:+.2f} points in " + role + "<extra></extra>",
        }
        for role in roles
    ]
    layout = _bars(
        labels, 90 + (14 * len(roles) + 12) * len(labels), "percentage points against train", legend=len(data) > 1
    )
    reach = 1.1 * max(_NEGLIGIBLE, *map(largest, labels))
    layout["xaxis"] |= {"zeroline": True, "range": [-reach, reach]}
    return {"data": data, "layout": layout}


def labels_per_row(analysis: Analysis) -> Plot | None:
    """Train rows by how many labels they tell; None unless rows may have several."""
    if analysis.together is None:
        return None
    sizes = analysis.together.labels_per_row
    bars = {
        "type": "bar",
        "x": [str(size) for size in sizes],
        "y": list(sizes.values()),
        "marker": {"color": COLOURS["train"]},
        "hovertemplate": "%{x} labels: %{y:,} rows<extra></extra>",
    }
    axes = {
        "xaxis": {"type": "category", "title": {"text": "labels of a row"}},
        "yaxis": {"title": {"text": "train rows"}, "automargin": True},
    }
    return {"data": [bars], "layout": _layout(300, legend=False) | axes}


def in_order(analysis: Analysis) -> list[LabelFigures]:
    """Labels in the model's order where they are few, else those with most rows first."""
    return list(analysis.labels if len(analysis.labels) <= _BARS_FOR_EACH_SPLIT else analysis.by_count)


def _steps(role: Role, histogram: Histogram, unit: str) -> Plot:
    """Bars for train, lines like stairs for the splits that are compared with it."""
    edges, width = histogram.edges, histogram.edges[1] - histogram.edges[0]
    rows = max(1, sum(histogram.counts))
    spans = [f"{edge:,} to {edge + width - 1:,}" if width > 1 else f"{edge:,}" for edge in edges[:-1]]
    told = list(zip([*spans, f"{edges[-1]:,} or more"], histogram.counts, strict=True))
    shares = [round(100 * count / rows, 4) for count in histogram.counts]
    hover = "%{customdata[0]} " + unit + ": %{y:.1f} % of " + role + ", %{customdata[1]:,} rows<extra></extra>"
    trace = {"name": role, "hovertemplate": hover}
    if role == "train":
        bars = {"type": "bar", "width": width, "marker": {"color": COLOURS[role], "opacity": 0.45}}
        return trace | bars | {"x": [edge + width / 2 for edge in edges], "y": shares, "customdata": told}
    stairs = {"type": "scatter", "mode": "lines", "line": {"shape": "hv", "color": COLOURS[role], "width": 2}}
    # Each stair begins at its edge; the last one needs an end.
    ended = {"x": [*edges, edges[-1] + width], "y": [*shares, shares[-1]], "customdata": [*told, told[-1]]}
    return trace | stairs | ended


def _mark_max_length(layout: Plot, max_length: int, end: int) -> None:
    """A line, or an arrow in words where the line would squeeze the bars."""
    inside = max_length <= 1.5 * end
    text = f"max_length {max_length}" + ("" if inside else " →")
    note = {"text": text, "yref": "paper", "y": 0.99, "yanchor": "top", "showarrow": False}
    if not inside:
        layout["annotations"] = [note | {"xref": "paper", "x": 1, "xanchor": "right"}]
        return
    layout["xaxis"]["range"] = [0, max(end, 1.04 * max_length)]
    layout["annotations"] = [note | {"x": max_length, "xanchor": "right" if max_length > 0.7 * end else "left"}]
    line = {"color": "#d1495b", "width": 2, "dash": "dash"}
    at = {"x0": max_length, "x1": max_length, "y0": 0, "y1": 1, "yref": "paper"}
    layout["shapes"] = [{"type": "line", "line": line} | at]


def _bars(named: Sequence[LabelFigures | str], height: int, title: str, *, legend: bool = False) -> Plot:
    """The layout of horizontal bars, the first at the top, with names of bounded width."""
    names = [name if isinstance(name, str) else name.name for name in named]
    return _layout(height, legend=legend) | {
        "xaxis": {"title": {"text": title}, "zeroline": False},
        "yaxis": {
            "type": "category",
            "range": [len(names) - 0.5, -0.5],
            "automargin": True,
            "tickmode": "array",
            "tickvals": [_safe(name) for name in names],
            "ticktext": [_safe(_shortened(name)) for name in names],
            "ticklabelstandoff": 6,
            "showgrid": False,
        },
    }


def _layout(height: int, *, legend: bool) -> Plot:
    return {
        "height": height,
        "autosize": True,
        "margin": {"l": 8, "r": 12, "t": 36 if legend else 6, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        "dragmode": False,
    }


def _safe(text: str) -> str:
    return html.escape(visible(text), quote=False)


def _shortened(name: str) -> str:
    return name if cell_len(name) <= _NAME else set_cell_size(name, _NAME - 1).rstrip() + "…"
