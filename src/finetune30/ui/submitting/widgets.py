"""The widget of each kind of key: how it is drawn, what it shows of a value, which value its answer is.

A value that the kind's widget could not show, such as a text where a number belongs, gets a line of plain text, so that
nothing somebody loaded is lost or hidden. Neighbours: ``keys`` has the kinds, ``fields`` puts widgets on the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from finetune30.ui.shell import say
from finetune30.ui.submitting.keys import Field
from finetune30.ui.submitting.sendable import sendable

SUGGESTED = {
    "lora.target_modules": ("query", "key", "value", "q_lin", "k_lin", "v_lin", "out_lin", "dense"),
    "lora.init_lora_weights": ("gaussian", "pissa", "pissa_niter_16", "olora", "orthogonal"),
    "training.per_device_train_batch_size": ("4", "8", "16", "32", "64"),
    "training.device": ("auto", "cpu", "cuda", "mps"),
    "data.encoding": ("utf-8", "big5", "gb18030", "latin-1"),
    "data.label_separator": ("|", ",", ";"),
}
"""Words that are offered beside those of the schema; others can be typed."""
_STEPS = {"training.learning_rate": 1e-4, "data.validation_size": 0.05, "training.num_train_epochs": 1.0}


@dataclass(frozen=True)
class Drawn:
    """One widget on the page.

    Attributes:
        options: Offered beside what the schema knows.
        empty: What it means when it is empty; plain text.
        common: Label, key, help and callback.
        closed: Nothing but what is offered is taken, so nothing can be typed.
    """

    field: Field
    options: Sequence[str]
    empty: str
    common: dict[str, Any]
    closed: bool = False


@dataclass(frozen=True)
class Widget:
    """One kind.

    Attributes:
        plain: From a value of the configuration to that of the widget; ``back`` the other way.
        suffix: Of its key, where a key may have two.
    """

    draw: Callable[[Drawn], None]
    plain: Callable[[Field, Any], Any]
    back: Callable[[Field, Any], Any]
    suffix: str = ""


def widget_of(field: Field, value: Any) -> Widget:
    """The widget that can show this value."""
    return _WIDGETS.get(field.kind, _TEXT) if _fits(field, value) else _RAW


def _fits(field: Field, value: Any) -> bool:
    """Whether the kind's widget can show the value."""
    if value is None or value == field.empty:
        return field.can_be_empty or field.kind == "text"
    is_number = _is_weight(value) and abs(value) < 1e15
    match field.kind:
        case "integer":
            return is_number and isinstance(value, int) and _within(field, value)
        case "number":
            return is_number and _within(field, value)
        case "boolean":
            return isinstance(value, bool)
        case "list":
            some = value if isinstance(value, list) else [value]
            return all(isinstance(one, str | int) and not isinstance(one, bool) for one in some)
        case "weights":
            if isinstance(value, dict):
                return all(map(_is_weight, value.values()))
            return isinstance(value, str) and value in field.words
        case "choice":
            return isinstance(value, str | bool | int)
        case _:
            return isinstance(value, str)


def _within(field: Field, value: float) -> bool:
    least = -1e15 if field.low is None else field.low
    most = 1e15 if field.high is None else field.high
    return least <= value <= most


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _draw_number(one: Drawn) -> None:
    field, whole = one.field, one.field.kind == "integer"
    cast: Any = int if whole else float
    step: Any = 1 if whole else _STEPS.get(field.path, 0.01 if (field.high or 2) <= 1 else 0.1)
    empty: Any = None if field.can_be_empty else "min"
    st.number_input(
        **one.common,
        min_value=None if field.low is None else cast(field.low),
        max_value=None if field.high is None else cast(field.high),
        step=step,
        format="%d" if whole else "%g",
        placeholder=one.empty or None,
        value=empty,
    )


def _number(field: Field, value: Any) -> Any:
    return None if value is None or value == field.empty else int(value) if field.kind == "integer" else float(value)


def _of_number(field: Field, got: Any) -> Any:
    if got is None:
        return field.empty
    # Of a number that may be a share or a count, a count is whole.
    counts = field.kind == "number" and (field.high or 0) > 1e6 and got >= 1 and float(got).is_integer()
    return int(got) if counts else got


def _draw_boolean(one: Drawn) -> None:
    st.toggle(**one.common)


def _draw_choice(one: Drawn) -> None:
    field, now = one.field, st.session_state[one.common["key"]]
    there = [*field.words, *SUGGESTED.get(field.path, ()), *one.options, *([now] if now else [])]
    st.selectbox(
        **one.common,
        options=list(dict.fromkeys(there)),
        accept_new_options=not one.closed and (field.free or field.kind == "text"),
        index=None if field.can_be_empty else 0,
        placeholder=one.empty or None,
    )


def _choice(_: Field, value: Any) -> Any:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _of_choice(field: Field, got: Any) -> Any:
    if got is None:
        return field.empty
    if got in ("true", "false") and got in field.words:
        return got == "true"
    text = str(got).strip()
    is_count = field.low is not None and text.isascii() and text.isdigit() and len(text) < 16
    return int(text) if is_count else text


def _draw_text(one: Drawn) -> None:
    if one.options or one.field.path in SUGGESTED:
        _draw_choice(one)
    else:
        value = None if one.field.can_be_empty else ""
        st.text_input(**one.common, value=value, placeholder=one.empty or None)


def _plain_text(field: Field, value: Any) -> Any:
    return value or (None if field.can_be_empty else "")


def _of_text(field: Field, got: Any) -> Any:
    text = str(got or "").strip()
    return text if text or not field.can_be_empty else None


def _draw_list(one: Drawn) -> None:
    field = one.field
    there = [*field.words, *SUGGESTED.get(field.path, ()), *one.options, *st.session_state[one.common["key"]]]
    st.multiselect(
        **one.common,
        options=list(dict.fromkeys(there)),
        accept_new_options=field.free,
        placeholder=one.empty,
    )


def _list(field: Field, value: Any) -> Any:
    if value is None or value == field.empty:
        return []
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _of_list(field: Field, got: Any) -> Any:
    if not got:
        return field.empty
    # A word that stands for a list, such as all-linear, is none itself.
    alone = [one for one in got if one in field.words and field.free]
    if alone:
        return alone[-1] if got[-1] in alone or len(got) == 1 else [one for one in got if one not in alone]
    if field.item == "integer":
        return [int(one) if str(one).isascii() and str(one).isdigit() else one for one in got]
    return [str(one) for one in got]


def _draw_weights(one: Drawn) -> None:
    st.text_area(**one.common, placeholder=f"{one.empty}; {say('submit.weights')}", height=96)


def _weights(_: Field, value: Any) -> Any:
    if not value:
        return ""
    return value if isinstance(value, str) else "\n".join(f"{name}: {one:.10g}" for name, one in value.items())


def _of_weights(field: Field, got: Any) -> Any:
    text = str(got).strip()
    if not text or text in field.words:
        return text or field.empty
    lines = [line.rpartition(":") if ":" in line else (line, "", "") for line in text.splitlines() if line.strip()]
    return {name.strip(): _as_number(number.strip()) for name, _, number in lines}


def _as_number(text: str) -> Any:
    try:
        found = float(text)
    except ValueError:
        return text
    return found if math.isfinite(found) else text


def _draw_raw(one: Drawn) -> None:
    st.text_input(**one.common)


def _plain_raw(_: Field, value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _of_raw(_: Field, got: Any) -> Any:
    try:
        return sendable(json.loads(got, parse_constant=str))
    except (ValueError, RecursionError):
        return sendable(got)


_TEXT = Widget(_draw_text, _plain_text, _of_text)
_RAW = Widget(_draw_raw, _plain_raw, _of_raw, ".raw")
_WIDGETS = {
    "integer": Widget(_draw_number, _number, _of_number),
    "number": Widget(_draw_number, _number, _of_number),
    "boolean": Widget(_draw_boolean, lambda _, value: value, lambda _, got: got),
    "choice": Widget(_draw_choice, _choice, _of_choice),
    "list": Widget(_draw_list, _list, _of_list),
    "weights": Widget(_draw_weights, _weights, _of_weights),
}
