"""What came out of a run: figures, each label's, the confusion matrix, the answers it was most wrong or right about.

Neighbours: ``plots`` draws, ``look`` has the task; ``pages.compare`` puts several beside each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from finetune30.client.answers_more import Prediction
from finetune30.errors import Missing
from finetune30.ui import plots, shown
from finetune30.ui.shell import inert, say
from finetune30.ui.tiles import tiles
from finetune30.ui.watching import registered
from finetune30.ui.watching.look import Look

_SPLITS = ("eval", "test")
_SHARES = ("accuracy", "f1_macro", "precision_macro", "recall_macro", "roc_auc")
_CLASS = ("precision", "recall", "f1", "support")
_EXAMPLES = 20
_ORDERS: Mapping[str, Mapping[str, str]] = {
    "worst": {"order": "worst"},
    "wrong": {"order": "worst", "only": "wrong"},
    "best": {"order": "best"},
}


def results(look: Look) -> None:
    """Everything about how good it is."""
    metrics = (look.task.metrics if look.task else None) or {}
    splits = [name for name in _SPLITS if isinstance(metrics.get(name), Mapping)]
    if not splits:
        st.info(say("run.no_result"), icon=":material/hourglass_empty:")
        return
    kept = registered.versions(look)
    if kept:
        st.caption(say("run.registered"))
        registered.links(kept)
    split = splits[0]
    if len(splits) > 1:
        chosen = st.segmented_control(
            say("run.split"), splits, default=splits[0], format_func=_split_name, key="split", required=True
        )
        split = chosen or splits[0]
    scores: Mapping[str, Any] = metrics[split]
    _tiles(scores)
    # Many labels need the whole width, for the table as for the matrix.
    left, right = (st.container(), st.container()) if plots.is_large(label_names(scores)) else st.columns(2)
    with left:
        _classes(scores)
    with right:
        _confusion(scores, split)
    _examples(look)


def label_names(scores: Mapping[str, Any]) -> list[str]:
    """The labels, in the order of the confusion matrix."""
    return list(scores.get("per_class") or {})


def _tiles(scores: Mapping[str, Any]) -> None:
    told = [(name, shown.share(scores[name])) for name in _SHARES if scores.get(name) is not None]
    told.append(("eval_loss", shown.number(scores.get("loss"))))
    tiles("scores", [(say(f"run.score_{name}"), value, say(f"run.help_{name}")) for name, value in told])
    # No tile: a seventh would stand alone in its row.
    st.caption(say("run.score_rows", count=shown.number(scores.get("rows"))))


def _classes(scores: Mapping[str, Any]) -> None:
    st.subheader(say("run.per_class"), anchor=False)
    per_class: Mapping[str, Mapping[str, float]] = scores.get("per_class") or {}
    # A Series each: a label that is called like a column, or twice, cannot confuse the table.
    table = pd.DataFrame(
        {
            "label": pd.Series(list(per_class), dtype="object"),
            **{name: [one.get(name) for one in per_class.values()] for name in _CLASS},
        }
    )
    st.dataframe(
        table,
        key="per_class",
        hide_index=True,
        column_config={
            "label": st.column_config.TextColumn(
                say("run.label"), width="large" if plots.is_large(list(per_class)) else 104
            ),
            **{
                name: st.column_config.NumberColumn(say(f"run.{name}"), format="percent", width=76)
                for name in _CLASS[:3]
            },
            "support": st.column_config.NumberColumn(say("run.support"), help=say("run.support_help"), width=56),
        },
        alt=say("run.per_class"),
    )


def _confusion(scores: Mapping[str, Any], split: str) -> None:
    matrix: Sequence[Sequence[int]] | None = scores.get("confusion")
    labels = label_names(scores)
    if not matrix or len(matrix) != len(labels):
        return
    st.subheader(say("run.confusion"), anchor=False)
    words = _mixed_up(matrix, labels)
    figure = plots.confusion(matrix, labels, right=say("run.right_label"), answered=say("run.answered"))
    plots.draw(figure, f"confusion_{split}", f"{say('run.confusion')}. {words}")
    st.caption(inert(words))


def _mixed_up(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """The most frequent mistakes in words."""
    mistakes = sorted(
        (
            (count, right, answered)
            for right, row in zip(labels, matrix, strict=True)
            for answered, count in zip(labels, row, strict=True)
            if answered != right and count
        ),
        reverse=True,
    )
    if not mistakes:
        return say("run.no_mistakes")
    told = [say("run.mistake", count=count, right=right, answered=answered) for count, right, answered in mistakes]
    return say("run.mistakes", some=shown.names(told))


def _examples(look: Look) -> None:
    st.subheader(say("run.examples"), anchor=False)
    st.caption(say("run.examples_help"))
    chosen = st.segmented_control(
        say("run.examples_which"),
        list(_ORDERS),
        default="worst",
        format_func=lambda name: say(f"run.examples_{name}"),
        key="examples_which",
        label_visibility="collapsed",
        required=True,
    )
    which = chosen or "worst"
    try:
        some = look.once(
            f"examples_{which}",
            lambda: list(look.client.predictions(look.run_id, limit=_EXAMPLES, **_ORDERS[which])),
        )
    except Missing:  # not the run, which is looked at: its file of answers
        st.info(say("run.answers_gone"), icon=":material/folder_off:")
        return
    if not some:
        st.info(say("run.no_examples"), icon=":material/sentiment_satisfied:")
        return
    st.dataframe(
        _example_table(some),
        key=f"examples_{which}",
        hide_index=True,
        column_config={
            "right": st.column_config.TextColumn(say("run.column_right"), width=60),
            "text": st.column_config.TextColumn(say("run.text"), width=360),
            "pair": st.column_config.TextColumn(say("run.pair"), width="medium"),
            "label": st.column_config.TextColumn(say("run.right_label"), width=110),
            "predicted": st.column_config.TextColumn(say("run.answered"), width=110),
            "certainty": st.column_config.NumberColumn(
                say("run.certainty"), format="percent", help=say("run.certainty_help"), width=120
            ),
            "row": st.column_config.NumberColumn(say("run.row"), help=say("run.row_help"), width=60),
        },
        alt=say("run.examples"),
    )
    if all(one.text is None for one in some):
        st.caption(say("run.texts_gone"))


def _example_table(some: Sequence[Prediction]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        "right": ["✓" if one.right else "✕" for one in some],
        "text": [one.text for one in some],
        "pair": [one.pair for one in some],
        "label": [_named(one.label) for one in some],
        "predicted": [_named(one.predicted) for one in some],
        "certainty": [one.certainty for one in some],
        "row": [one.row for one in some],
    }
    if not any(columns["pair"]):
        del columns["pair"]
    return pd.DataFrame(columns)


def _named(label: str | Sequence[str]) -> str:
    return label if isinstance(label, str) else shown.names(label, most=10) or shown.NOTHING


def _split_name(name: str) -> str:
    return say(f"run.split_{name}")
