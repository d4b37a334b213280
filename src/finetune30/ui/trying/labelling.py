"""A file is chosen, its rows are answered some at a time with the progress told, and it comes back labelled.

Whole or not at all: who leaves the page meanwhile has no file, and the rows lie nowhere but here. Neighbours:
``labelled`` reads and writes, ``answerers`` says who may be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import streamlit as st

from finetune30.client.predictions import Labelled
from finetune30.errors import Finetune30Error, Unreachable
from finetune30.ui import shell, shown
from finetune30.ui.shell import here, inert, say
from finetune30.ui.trying import answerers, labelled, replies
from finetune30.ui.trying.labelled import Rows, Unreadable
from finetune30.ui.trying.questions import LOADING_S

_DONE = "try_labelled"
_PREVIEW = 100


@dataclass(frozen=True)
class _Done:
    """What came of a file."""

    name: str
    content: bytes
    preview: list[dict[str, Any]]
    counts: dict[str, int]


def form(chosen: Sequence[str], *, ready: bool) -> None:
    """The file, its columns, the button, and what came of the last one."""
    st.caption(say("tryout.file_help", rows=shown.number(labelled.MOST_ROWS), size=_most_mb()))
    file = st.file_uploader(
        say("tryout.choose_file"), type=list(labelled.ENDINGS), key="try_file", max_upload_size=_most_mb()
    )
    if file is not None:
        _chosen(file, chosen, ready=ready)
    done: _Done | None = st.session_state.get(_DONE)
    if done is not None:
        _result(done)


def _most_mb() -> int:
    return min(labelled.MOST_MB, shell.OPTIONS.upload_mb)


def _chosen(file: Any, chosen: Sequence[str], *, ready: bool) -> None:
    try:
        rows = labelled.read(file.name, file.getvalue())
    except Unreadable as fault:
        values = {name: inert(str(value)) for name, value in fault.values.items()}
        st.error(say(f"tryout.bad_{fault.why}", **values), icon=":material/error:")
        return
    left, right = st.columns(2)
    column = left.selectbox(say("tryout.column"), rows.columns, index=rows.usual, key="try_column")
    others = [None, *(one for one in rows.columns if one != column)]
    second = right.selectbox(
        say("tryout.second_column"),
        others,
        key="try_second",
        format_func=lambda one: say("tryout.no_second") if one is None else str(one),
        help=say("tryout.pair_help"),
    )
    st.caption(say("tryout.rows_found", count=shown.number(len(rows.rows)), columns=len(rows.columns)))
    place = st.empty()
    pressed = st.button(
        say("tryout.label_file"), key="try_label", type="primary", icon=":material/label:", disabled=not ready
    )
    if not pressed:
        return
    st.session_state.pop(_DONE, None)
    if not chosen:
        st.warning(say("tryout.choose_one"), icon=":material/edit:")
        return
    texts, pairs = rows.texts(column), None if second is None else rows.texts(second)
    long = labelled.too_long(texts) or labelled.too_long(pairs or [])
    if long is not None:
        st.error(say("tryout.bad_long", row=long), icon=":material/error:")
        return
    try:
        st.session_state[_DONE] = _labelled(file.name, rows, texts, pairs, chosen, place)
    except Unreachable:
        st.warning(say("tryout.away_file"), icon=":material/cloud_off:")
    except Finetune30Error as fault:
        replies.refused(fault, paired=pairs is not None)
    finally:
        place.empty()


def _labelled(
    name: str, rows: Rows, texts: list[str], pairs: list[str] | None, chosen: Sequence[str], place: Any
) -> _Done:
    bar = place.progress(0.0, say("tryout.asking"))
    asked = [at for at, one in enumerate(texts) if one.strip() and (pairs is None or pairs[at].strip())]
    total, answered = max(1, len(asked) * len(chosen)), 0
    columns: dict[str, list[Any]] = {}
    cut: set[int] = set()

    def told(more: int) -> None:
        nonlocal answered
        answered += more
        bar.progress(answered / total, say("tryout.progress", done=shown.number(answered), total=shown.number(total)))

    for address in chosen:
        answerers.check(address)
        found = _answers(address, [texts[at] for at in asked], pairs and [pairs[at] for at in asked], told)
        cut |= {at for at, one in zip(asked, found, strict=True) if one.truncated}
        behind = "" if len(chosen) == 1 else f" {address}"
        columns |= {f"{name}{behind}": values for name, values in _columns(len(texts), asked, found).items()}
    preview = [
        {"text": text, **{key: values[at] for key, values in columns.items()}}
        for at, text in enumerate(texts[:_PREVIEW])
    ]
    counts = {"rows": len(texts), "empty": len(texts) - len(asked), "cut": len(cut)}
    path = PurePath(name)
    return _Done(f"{path.stem}-labelled.{rows.ending}", labelled.written(rows, columns), preview, counts)


def _columns(count: int, asked: Sequence[int], found: Sequence[Labelled]) -> dict[str, list[Any]]:
    """What is written beside the rows; nothing where nothing was asked."""
    answers = dict(zip(asked, found, strict=True))
    rows = [answers.get(at) for at in range(count)]
    return {
        "label": [one and replies.names(one) for one in rows],
        "probability": [one and one.probability for one in rows],
        "truncated": [one and one.truncated for one in rows],
    }


def _answers(address: str, texts: list[str], pairs: list[str] | None, told: Callable[[int], None]) -> list[Labelled]:
    found: list[Labelled] = []
    client = here().client
    for one in client.predict_all(texts, pairs=pairs, adapter=address, timeout_s=LOADING_S):
        found.append(one)
        if len(found) % 16 == 0 or len(found) == len(texts):
            told(len(found) % 16 or 16)
    return found


def _result(done: _Done) -> None:
    counts = {name: shown.number(count) for name, count in done.counts.items()}
    st.success(say("tryout.labelled", **counts), icon=":material/check_circle:")
    st.download_button(
        f"{say('tryout.get_file')} ({shown.size(len(done.content))})",
        done.content,
        done.name,
        "application/octet-stream",
        key="try_get",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
    )
    st.dataframe(
        done.preview,
        key="try_preview",
        hide_index=True,
        width="stretch",
        alt=say("tryout.preview_alt", count=len(done.preview)),
    )
    if done.counts["rows"] > len(done.preview):
        st.caption(say("tryout.preview", count=len(done.preview)))
