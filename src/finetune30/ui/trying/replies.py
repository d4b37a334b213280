"""Answers of several adapters to the same texts, side by side: label, probability, what else should be known.

Neighbours: ``questions`` asks. Texts, labels and names are others', and inert here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from finetune30.client.predictions import Labelled
from finetune30.errors import Finetune30Error, Unreachable
from finetune30.ui import shell, shown
from finetune30.ui.shell import inert, say

_CARDS = 8
"""More texts than these are a table."""


@dataclass(frozen=True)
class Reply:
    """What came back from one address.

    Attributes:
        latency_ms: The service's own time for all texts.
        fault: Instead of answers.
        paired: Whether second texts were sent.
    """

    address: str
    run: str = ""
    rows: tuple[Labelled, ...] = ()
    latency_ms: float = 0.0
    fault: Finetune30Error | None = None
    paired: bool = False


def show(texts: Sequence[str], replies: Sequence[Reply]) -> None:
    """All of it."""
    for one in replies:
        if one.fault is not None:
            _fault(one)
    good = [one for one in replies if one.fault is None]
    if not good:
        return
    st.subheader(say("tryout.answers"), anchor=False)
    for one, column in zip(good, st.columns(len(good)), strict=True):
        with column:
            _head(one, len(texts))
    _agreement(good, len(texts))
    if len(texts) <= _CARDS:
        for at, text in enumerate(texts):
            _card(at, text, good)
    else:
        _table(texts, good)


def names(one: Labelled) -> str:
    """The label; of several all that the text has."""
    if one.labels is None:
        return one.label_name
    return ", ".join(each.label_name for each in one.labels) or say("tryout.no_label")


def _fault(one: Reply) -> None:
    fault = one.fault
    if isinstance(fault, Unreachable):
        st.warning(say("tryout.away_for", name=inert(one.address)), icon=":material/cloud_off:")
    elif fault is not None:
        st.markdown(f"**{inert(one.address)}**")
        refused(fault, paired=one.paired)


def refused(fault: Finetune30Error, *, paired: bool) -> None:
    """The fault; where a question is refused as it was asked, what is the matter nearly always."""
    if getattr(fault, "status", None) == 422 and "as it was asked" in fault.message:
        st.error(say("tryout.single_only" if paired else "tryout.pairs_only"), icon=":material/error:")
    else:
        shell.show(fault)


def _head(one: Reply, count: int) -> None:
    st.metric(
        inert(one.address),
        f"{shown.number(one.latency_ms, 3)} ms",
        help=inert(one.run),
        border=True,
    )
    base = one.rows[0].base_model if one.rows else ""
    st.caption(inert(say("tryout.head", count=count, each=shown.number(one.latency_ms / max(1, count), 3), base=base)))


def _agreement(replies: Sequence[Reply], count: int) -> None:
    if len(replies) < 2:
        return
    apart = sum(len({names(one.rows[at]) for one in replies}) > 1 for at in range(count))
    if apart:
        st.info(say("tryout.apart", apart=apart, count=count), icon=":material/call_split:")
    else:
        st.success(say("tryout.alike", count=count), icon=":material/check:")


def _card(at: int, text: str, replies: Sequence[Reply]) -> None:
    with st.container(border=True, key=f"try_answer_{at}"):
        st.text(text)
        for one, column in zip(replies, st.columns(len(replies)), strict=True):
            with column:
                if len(replies) > 1:
                    st.caption(inert(one.address))
                _answer(one.rows[at])


def _answer(one: Labelled) -> None:
    st.progress(min(1.0, max(0.0, one.probability)), f"**{inert(names(one))}** · {shown.share(one.probability)}")
    others = [each for each in one.top_k if each.label != one.label]
    if others:
        told = shown.names(f"{each.label_name} {shown.share(each.probability)}" for each in others)
        st.caption(inert(told))
    if one.truncated:
        st.caption(f":material/content_cut: {say('tryout.truncated')}")
    if one.warning:
        st.caption(f":material/translate: {inert(one.warning)}")


def _table(texts: Sequence[str], replies: Sequence[Reply]) -> None:
    column = st.column_config
    kinds = {"text": column.TextColumn(say("tryout.text_column"), width="large")}
    rows: list[dict[str, object]] = [{"text": text} for text in texts]
    for number, one in enumerate(replies):
        behind = "" if len(replies) == 1 else f" ({one.address})"
        kinds[f"label_{number}"] = column.TextColumn(say("tryout.label") + behind)
        kinds[f"p_{number}"] = column.ProgressColumn(
            say("tryout.probability") + behind, format="percent", min_value=0.0, max_value=1.0
        )
        kinds[f"note_{number}"] = column.TextColumn(say("tryout.note") + behind)
        for row, answer in zip(rows, one.rows, strict=True):
            cut = say("tryout.truncated") if answer.truncated else ""
            row[f"label_{number}"], row[f"p_{number}"] = names(answer), answer.probability
            row[f"note_{number}"] = " · ".join(filter(None, (cut, answer.warning)))
    st.dataframe(
        rows,
        key="try_table",
        hide_index=True,
        width="stretch",
        column_config=kinds,
        alt=say("tryout.table_alt", count=len(texts)),
    )
