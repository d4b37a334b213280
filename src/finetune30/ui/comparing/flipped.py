"""Rows that another run answers differently: how many became right or wrong, and which ones.

Texts and labels are data of somebody's: they stand in cells and in plain text, where nothing is markup. Neighbours:
``pages.compare`` shows it, the API matches the rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.client import Client
from finetune30.ui import shown
from finetune30.ui.comparing.sides import Side
from finetune30.ui.seats import Seat
from finetune30.ui.shell import act, here, inert, say

PAGE_ROWS = 25
_KINDS = ("any", "gained", "lost", "changed")
_AT, _OF = "compare_flips_after", "compare_flips_of"
_FETCHED = 1000
_SURE = 0.05


def counts(comparison: Mapping[str, Any], sides: Sequence[Side]) -> bool:
    """How many rows flipped, in numbers and words; False where nobody can tell which rows are the same."""
    evaluated = comparison["evaluated"]
    if evaluated["match"] == "unknown":
        st.info(say("compare.rows_unknown", why=inert(str(evaluated["why"] or ""))), icon=":material/help:")
        return False
    if not comparison["flips"]:
        st.info(say("compare.rows_none"), icon=":material/join_inner:")
        return False
    if evaluated["match"] == "shared":
        st.info(say("compare.rows_shared", rows=evaluated["rows"]), icon=":material/join_inner:")
    named = {side.id: side for side in sides}
    told = comparison["flips"]
    column = st.column_config
    parts = ("gained", "lost", "changed", "both_right", "both_wrong")
    st.dataframe(
        {
            "run": [named[one["to"]].title for one in told],
            **{part: [one[part] for one in told] for part in parts},
            "luck": [_luck(one["p_value"]) for one in told],
        },
        key="compare_flips",
        hide_index=True,
        width="stretch",
        column_config={
            "run": column.TextColumn(say("compare.run"), pinned=True),
            **{part: column.NumberColumn(say(f"compare.flips_{part}")) for part in parts},
            "luck": column.TextColumn(say("compare.luck"), help=say("compare.luck_help")),
        },
        alt=say("compare.flips"),
    )
    for one in told:
        st.text(_sentence(one, named[one["since"]], named[one["to"]]))
    return True


def rows(sides: Sequence[Side]) -> None:
    """The rows themselves, by kind, a page at a time; a fragment."""
    seat, ids = here(), [side.id for side in sides]
    kind = st.segmented_control(
        say("compare.kind"),
        _KINDS,
        default="any",
        required=True,
        key="compare_kind",
        format_func=lambda one: say(f"compare.kind_{one}"),
    )
    if st.session_state.get(_OF) != (ids, kind):
        st.session_state[_OF], st.session_state[_AT] = (ids, kind), 0
    after = st.session_state[_AT]
    found = seat.client.compare(ids, flips=kind, limit=PAGE_ROWS, after=after)
    some = found["flipped"]
    if not some:
        st.info(say("compare.no_flipped"), icon=":material/task_alt:")
        return
    _table(some, sides, f"compare_rows_{kind}_{after}")
    _paging(found, after, len(some))
    st.download_button(
        say("compare.get_rows"),
        _file(seat, ids, kind, sides),
        f"flipped-{kind}.csv",
        "text/csv",
        key="compare_get_rows",
        icon=":material/download:",
        on_click="ignore",
    )


def _sentence(told: Mapping[str, Any], first: Side, second: Side) -> str:
    if told["gained"] == told["lost"]:
        return say("compare.told_even", first=first.letter, second=second.letter, count=told["gained"])
    better, worse = (second, first) if told["gained"] > told["lost"] else (first, second)
    value, luck = told["p_value"], _luck(told["p_value"])
    sure = say("compare.told_sure", luck=luck) if value < _SURE else say("compare.told_luck", luck=luck)
    more, fewer = max(told["gained"], told["lost"]), min(told["gained"], told["lost"])
    return say("compare.told", better=better.letter, worse=worse.letter, more=more, fewer=fewer) + " " + sure


def _luck(value: float) -> str:
    return "< 0.01 %" if value < 0.0001 else shown.share(value)


def _table(some: Sequence[Mapping[str, Any]], sides: Sequence[Side], key: str) -> None:
    column = st.column_config
    cells: dict[str, list[Any]] = {
        "row": [one["row"] for one in some],
        "text": [_text(one) for one in some],
        "label": [_name(one["label"]) for one in some],
    }
    for at, side in enumerate(sides):
        cells[side.letter] = [_said(one["answers"][at]) for one in some]
    told = st.dataframe(
        cells,
        key=key,
        hide_index=True,
        width="stretch",
        height="content",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "row": column.NumberColumn(say("compare.row"), width=64, help=say("compare.row_help")),
            "text": column.TextColumn(say("compare.text"), width=320),
            "label": column.TextColumn(say("compare.right")),
            **{side.letter: column.TextColumn(side.title) for side in sides},
        },
        alt=say("compare.rows"),
    )
    chosen = told["selection"]["rows"]
    if chosen and chosen[0] < len(some):
        _whole(some[chosen[0]], sides)
    else:
        st.caption(say("compare.choose_row"))


def _whole(one: Mapping[str, Any], sides: Sequence[Side]) -> None:
    """A row that is too long for its cell."""
    with st.container(border=True):
        st.text(_text(one))
        st.text(f"{say('compare.right')}: {_name(one['label'])}")
        for said, side in zip(one["answers"], sides, strict=True):
            st.text(f"{side.title}: {_said(said)}")


def _paging(found: Mapping[str, Any], after: int, count: int) -> None:
    def go(to: int) -> None:
        st.session_state[_AT] = to

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            say("experiments.previous"),
            key="compare_previous",
            disabled=not after,
            on_click=act(go, max(0, after - PAGE_ROWS)),
            icon=":material/chevron_left:",
        )
        st.button(
            say("experiments.next"),
            key="compare_next",
            disabled=found["next"] is None,
            on_click=act(go, found["next"] or 0),
            icon=":material/chevron_right:",
        )
        st.caption(say("compare.rows_of", first=after + 1, last=after + count, all=found["flipped_rows"]))


def _said(one: Mapping[str, Any]) -> str:
    sign = "✓" if one["right"] else "✕"
    sure = "" if one["certainty"] is None else f" ({shown.share(one['certainty'], 1)})"
    return f"{sign} {_name(one['predicted'])}{sure}"


def _name(label: Any) -> str:
    return ", ".join(label) or shown.NOTHING if isinstance(label, list) else str(label)


def _text(one: Mapping[str, Any]) -> str:
    if one["text"] is None:
        return say("compare.text_gone")
    return one["text"] if one["pair"] is None else f"{one['text']}\n{one['pair']}"


def _file(seat: Seat, ids: Sequence[str], kind: str, sides: Sequence[Side]) -> Callable[[], bytes]:
    """Makes the file when it is asked for, in a thread that knows no page: words and client are taken before."""
    client, letters = seat.client, [side.letter for side in sides]
    return lambda: _as_csv(client, ids, kind, letters)


def _as_csv(client: Client, ids: Sequence[str], kind: str, letters: Sequence[str]) -> bytes:
    told = io.StringIO()
    file = csv.writer(told)
    answers = [f"{letter} {part}" for letter in letters for part in ("predicted", "right", "certainty")]
    file.writerow(["row", "text", "pair", "label", *answers])
    after: int | None = 0
    while after is not None:
        found = client.compare(ids, flips=kind, limit=_FETCHED, after=after)
        for one in found["flipped"]:
            said = [
                cell
                for each in one["answers"]
                for cell in (_safe(_name(each["predicted"])), each["right"], each["certainty"])
            ]
            file.writerow([one["row"], _safe(one["text"]), _safe(one["pair"]), _safe(_name(one["label"])), *said])
        after = found["next"]
    return ("\ufeff" + told.getvalue()).encode()


def _safe(text: str | None) -> str:
    """A cell no spreadsheet computes."""
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text or ""
