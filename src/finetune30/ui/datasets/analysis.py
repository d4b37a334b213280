"""A dataset in figures: how long its texts are, what would be cut, which words tell a label, how splits differ.

Takes what ``client.dataset_analysis`` gives. Words and labels are users' texts: they stand in cells and plots, where
nothing is markup. Neighbours: ``plots`` draws, ``dataset`` places this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.ui import plots, shown
from finetune30.ui.quality import say_split
from finetune30.ui.shell import inert, say

_UNITS = ("characters", "words", "tokens")
_LABELS = 30
_WORDS = 10


def analysis(figures: Mapping[str, Any], key: str) -> None:
    """All of it, from top to bottom."""
    splits: Mapping[str, Any] = figures["splits"]
    _lengths(splits, key)
    _cut(splits, int(figures["max_length"]), key)
    _by_label(figures.get("labels") or ())
    _together(figures.get("together"), key)
    _comparisons(figures.get("comparisons") or {}, key)


def _lengths(splits: Mapping[str, Any], key: str) -> None:
    st.subheader(say("data.lengths"), anchor=False)
    st.caption(say("data.lengths_help"))
    units = [unit for unit in _UNITS if all(split.get(unit) for split in splits.values())]
    drawn = [unit for unit in ("words", "tokens") if unit in units]
    for unit, place in zip(drawn, st.columns(max(1, len(drawn))), strict=False):
        with place:
            _histogram({name: split[unit] for name, split in splits.items()}, unit, f"{key}-{unit}")
    column = st.column_config
    st.dataframe(
        [
            {"unit": say(f"data.{unit}"), "split": say_split(name), **_percentiles(split[unit])}
            for unit in units
            for name, split in splits.items()
        ],
        key=f"{key}-lengths",
        hide_index=True,
        width="stretch",
        column_config={
            "unit": column.TextColumn(say("data.unit")),
            "split": column.TextColumn(say("data.split")),
            "mean": column.NumberColumn(say("data.mean"), format="%.1f"),
            **{one: column.NumberColumn(say(f"data.{one}"), format="localized") for one in _PERCENTILES},
        },
        alt=say("data.lengths"),
    )


_PERCENTILES = ("median", "p95", "p99", "longest")


def _percentiles(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("mean", *_PERCENTILES)}


def _histogram(splits: Mapping[str, Any], unit: str, key: str) -> None:
    told = []
    for name, one in splits.items():
        edges, counts = one["histogram"]["edges"], one["histogram"]["counts"]
        total = sum(counts) or 1
        told.append(plots.Line(say_split(name), edges[: len(counts)], [count / total for count in counts]))
    title = say(f"data.{unit}")
    # Steps: a bin has one share from its first length to its last.
    figure = plots.lines(told, x=title, y=say("data.share_of_rows"), percent=True, steps=True)
    alt = say(
        "data.lengths_alt",
        unit=title,
        told="; ".join(
            say("data.length_of", split=say_split(name), median=one["median"], p95=one["p95"], longest=one["longest"])
            for name, one in splits.items()
        ),
    )
    plots.draw(figure, key, alt)


def _cut(splits: Mapping[str, Any], max_length: int, key: str) -> None:
    if not all(split.get("cut") for split in splits.values()):
        return
    st.subheader(say("data.cut"), anchor=False)
    train = next(iter(splits.values()))
    tokens = train.get("tokens") or {}
    st.caption(say("data.cut_help", now=max_length, p95=tokens.get("p95"), p99=tokens.get("p99")))
    lengths = sorted({int(at) for split in splits.values() for at in split["cut"]})
    table = [
        {
            say("data.max_length"): f"{at} {say('data.now')}" if at == max_length else str(at),
            **{say_split(name): shown.share(split["cut"].get(str(at)), 1) for name, split in splits.items()},
        }
        for at in lengths
    ]
    st.dataframe(table, key=f"{key}-cut", hide_index=True, width="stretch", alt=say("data.cut"))


def _by_label(labels: Sequence[Mapping[str, Any]]) -> None:
    told = sorted(labels, key=lambda one: -one["rows"])[:_LABELS]
    if not told:
        return
    st.subheader(say("data.telling"), anchor=False)
    st.caption(say("data.telling_help"))
    quiet = [one for one in told if not one["words"]]
    for one in told:
        if one in quiet:
            continue
        words = ", ".join(f"{word['word']} ({word['rows']}/{word['elsewhere']})" for word in one["words"][:_WORDS])
        with st.container(gap="xxsmall"):
            about = say("data.label_told", rows=shown.number(one["rows"]), median=shown.number(one["median_words"], 3))
            st.markdown(f"**{inert(one['name'])}** · {about}")
            st.caption(inert(words))
    if quiet:
        st.caption(say("data.no_words", labels=inert(shown.names([str(one["name"]) for one in quiet], _LABELS))))
    if len(labels) > len(told):
        st.caption(say("data.labels_left_out", count=len(labels) - len(told)))


def _together(together: Mapping[str, Any] | None, key: str) -> None:
    if not together:
        return
    st.subheader(say("data.together"), anchor=False)
    st.caption(say("data.together_help", mean=shown.number(together["mean"], 3)))
    table = [
        {say("data.labels"): f"{one['one']} + {one['other']}", say("data.train_rows"): one["rows"]}
        for one in together["pairs"]
    ]
    st.dataframe(table, key=f"{key}-together", hide_index=True, width="stretch", alt=say("data.together"))


def _comparisons(comparisons: Mapping[str, Any], key: str) -> None:
    if not comparisons:
        return
    st.subheader(say("data.against_train"), anchor=False)
    rows = ("label_distance", "unseen_words", "unseen_occurrences")
    table = [
        {
            say("data.measure"): say(f"data.{row}"),
            **{say_split(name): shown.share(one[row], 1) for name, one in comparisons.items()},
        }
        for row in rows
    ]
    difference = {say_split(name): f"{one['length_difference']:+.1f}" for name, one in comparisons.items()}
    table.append({say("data.measure"): say("data.length_difference"), **difference})
    st.dataframe(table, key=f"{key}-against", hide_index=True, width="stretch", alt=say("data.against_train"))
    for name, one in comparisons.items():
        if one["words"]:
            words = ", ".join(word["word"] for word in one["words"][:_WORDS])
            st.caption(inert(say("data.more_in", split=say_split(name), words=words)))
