"""Which runs somebody wants to see: the filters above the table, kept in the address, so that a refresh, a bookmark and
a link to a colleague show the same.

Neighbours: ``pages.experiments`` shows them, ``runs_seen`` asks the API for what they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from finetune30.ui import shell, shown
from finetune30.ui.seats import Seat
from finetune30.ui.shell import act, say

PAGE_ROWS = 20
# How the list may be ordered: what it is sorted by, and whether the largest comes first.
ORDERS: dict[str, tuple[str, bool]] = {
    "newest": ("created_at", True),
    "oldest": ("created_at", False),
    "best": ("eval_accuracy", True),
    "worst": ("eval_accuracy", False),
    "quickest": ("train_runtime", False),
    "longest": ("train_runtime", True),
    "name": ("name", False),
    "name_back": ("name", True),
}
_ANY, _EVERYBODY, _ME = "", "*", "me"
# A paused run waits, and is called otherwise in the list: so it is not among those that wait.
_STATES = {"PENDING": ("PENDING", "paused = false"), "PAUSED": ("PENDING", "paused = true")}
_STATES |= {one: (one, "") for one in shown.STATES if one not in _STATES}
_KEPT, _OF_OTHERS = "runs_wanted", ("id", "ids")


@dataclass(frozen=True)
class Wanted:
    """What the list and the figures above it are asked for.

    Attributes:
        owner: As the API takes it: ``me``, a name, or None for everybody's.
        filters: For ``Client.experiments_page``.
        words: The filter in words that somebody wrote; it is a part of ``filters["q"]``.
    """

    owner: str | None
    filters: dict[str, Any] = field(hash=False)
    words: str | None = None

    def is_everything(self, seat: Seat) -> bool:
        """Whether no run that this seat may see is left out."""
        return self.owner == (None if seat.is_admin else _ME) and set(self.filters) <= {"owner", "sort_by", "desc"}


@dataclass(frozen=True)
class _Field:
    """One filter: its name in the address, how its text there is read, what it is without one."""

    name: str
    read: Callable[[str], Any]
    empty: Any = None

    @property
    def key(self) -> str:
        return f"runs_{self.name}"

    @property
    def value(self) -> Any:
        return st.session_state.get(self.key, self.empty)


def _text(given: str) -> str:
    return given[:1000]


def _order(given: str) -> str:
    return given if given in ORDERS else "newest"


def _state(given: str) -> str:
    return given if given in _STATES else _ANY


def _percent(given: str) -> float:
    return min(100.0, max(0.0, _finite(given)))


def _minutes(given: str) -> float:
    return min(1e9, max(0.0, _finite(given)))


def _finite(given: str) -> float:
    value = float(given)
    if not math.isfinite(value):
        raise ValueError(given)
    return value


_NAME = _Field("find", _text, "")
_STATE = _Field("state", _state, _ANY)
_ORDER = _Field("sort", _order, "newest")
_MODEL = _Field("model", _text, _ANY)
_DATA = _Field("data", _text, "")
_OWNER = _Field("owner", _text, _EVERYBODY)
_ACCURACY = _Field("accuracy", _percent)
_MINUTES = _Field("minutes", _minutes)
_FROM = _Field("from", date.fromisoformat)
_TO = _Field("to", date.fromisoformat)
_WORDS = _Field("q", _text, "")
_FIELDS = (_NAME, _STATE, _ORDER, _MODEL, _DATA, _OWNER, _ACCURACY, _MINUTES, _FROM, _TO, _WORDS)


def wanted(seat: Seat) -> Wanted:
    """What the filters say, which need not be shown yet."""
    _recall()
    return _wanted(seat)


def controls(seat: Seat, models: Sequence[str], people: Sequence[str]) -> None:
    """Show the filters.

    Args:
        models: Base models there are runs of.
        people: Users' names, for admins.
    """
    st.text_input(
        say("experiments.find"), key=_NAME.key, placeholder=say("experiments.find_hint"), icon=":material/search:"
    )
    with st.expander(say("experiments.more"), expanded=_is_narrowed(), icon=":material/filter_list:", key="runs_more"):
        _usual()
        _further(seat, models, people)
    _remember()


def _usual() -> None:
    state, order = st.columns(2)
    state.selectbox(say("experiments.state"), [_ANY, *_STATES], key=_STATE.key, format_func=_state_name)
    order.selectbox(
        say("experiments.order"), list(ORDERS), key=_ORDER.key, format_func=lambda one: say(f"experiments.order_{one}")
    )


def clear() -> None:
    """No filter but the order; for a button's ``on_click``."""
    for one in _FIELDS:
        if one is not _ORDER:
            st.session_state[one.key] = one.empty


def _further(seat: Seat, models: Sequence[str], people: Sequence[str]) -> None:
    first, second, third = st.columns(3)
    first.selectbox(
        say("experiments.model"),
        list(dict.fromkeys([_ANY, *models, _MODEL.value])),
        key=_MODEL.key,
        format_func=lambda one: one or say("experiments.all_models"),
    )
    second.text_input(say("experiments.data"), key=_DATA.key, placeholder=say("experiments.data_hint"))
    if seat.is_admin:
        third.selectbox(
            say("experiments.owner"),
            list(dict.fromkeys([_EVERYBODY, _ME, *people, _OWNER.value])),
            key=_OWNER.key,
            format_func=lambda one: {_EVERYBODY: say("experiments.everybody"), _ME: say("experiments.only_me")}.get(
                one, one
            ),
        )
    accuracy, minutes, start, end = st.columns(4)
    accuracy.number_input(say("experiments.least_accuracy"), 0.0, 100.0, None, 1.0, "%.1f", key=_ACCURACY.key)
    minutes.number_input(say("experiments.most_minutes"), 0.0, 1e9, None, 1.0, "%.1f", key=_MINUTES.key)
    start.date_input(say("experiments.from"), None, key=_FROM.key, format="YYYY-MM-DD")
    end.date_input(say("experiments.to"), None, key=_TO.key, format="YYYY-MM-DD")
    st.text_input(
        say("experiments.words"),
        key=_WORDS.key,
        placeholder='status = SUCCESS AND (accuracy >= 0.9 OR name ~ "sst2") AND config.lora.r IN (8, 16)',
        help=say("experiments.words_help"),
        max_chars=1000,
    )
    st.button(say("experiments.clear"), key="runs_clear", on_click=act(clear), icon=":material/filter_list_off:")


def _wanted(seat: Seat) -> Wanted:
    owner = None if _OWNER.value == _EVERYBODY else _OWNER.value
    owner = owner if seat.is_admin else _ME
    sort_by, desc = ORDERS[_ORDER.value]
    words = _WORDS.value.strip() or None
    status, held = _STATES.get(_STATE.value, (None, ""))
    own = [f"({words})"] if words else []
    own += [held] if held else []
    own += [f"base_model = {_quoted(_MODEL.value)}"] if _MODEL.value else []
    own += [f"dataset ~ {_quoted(_DATA.value.strip())}"] if _DATA.value.strip() else []
    filters = {
        "owner": owner,
        "name": _NAME.value.strip()[:200] or None,
        "status": status,
        "min_accuracy": None if _ACCURACY.value is None else _ACCURACY.value / 100,
        "max_runtime": None if _MINUTES.value is None else 60 * _MINUTES.value,
        "start_date": _moment(_FROM.value),
        "end_date": _moment(_TO.value, ends=True),
        "q": words if own == [f"({words})"] else " AND ".join(own) or None,
        "sort_by": sort_by,
        "desc": desc,
    }
    return Wanted(owner, {name: value for name, value in filters.items() if value is not None}, words)


def _quoted(text: str) -> str:
    """A text as a value of the filter language, which escapes quotes and the backslash and nothing else."""
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _moment(day: date | None, *, ends: bool = False) -> str | None:
    """The first or last moment of a day where the page's clock stands."""
    if day is None:
        return None
    found = datetime.combine(day, time.min, ZoneInfo(shell.OPTIONS.tz))
    if ends:
        found += timedelta(days=1, microseconds=-1)
    return found.isoformat()


def _is_narrowed() -> bool:
    return any(one.value != one.empty for one in _FIELDS[1:])


def _state_name(one: str) -> str:
    return shown.state(one).cell if one else say("experiments.all_states")


def _recall() -> None:
    """When the page is opened: what the address says; where that is nothing, what was wanted here before."""
    told = {one.name: st.query_params[one.name] for one in _FIELDS if one.name in st.query_params}
    told = told or st.session_state.get(_KEPT, {})
    for one in _FIELDS:
        if one.key not in st.session_state:
            try:
                st.session_state[one.key] = one.read(told[one.name])
            except (KeyError, ValueError):
                st.session_state[one.key] = one.empty


def _remember() -> None:
    told = {one.name: str(one.value) for one in _FIELDS if one.value != one.empty}
    st.session_state[_KEPT] = told
    for name, text in told.items():
        if st.query_params.get(name) != text:
            st.query_params[name] = text
    # The browser's way back from another page brings what stood in that one's address.
    for name in {*(one.name for one in _FIELDS), *_OF_OTHERS} - set(told):
        if name in st.query_params:
            del st.query_params[name]
