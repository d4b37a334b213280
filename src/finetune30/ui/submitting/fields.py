"""A key of the configuration on the page: its name, its help, its widget, and below it what is wrong with its value.

Neighbours: ``widgets`` draws by what the schema says, ``draft`` holds the values, ``words.fields`` has names and help.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.ui.shell import act, here, inert, say
from finetune30.ui.shown import names
from finetune30.ui.submitting.keys import Field, Values
from finetune30.ui.submitting.widgets import Drawn, widget_of
from finetune30.ui.words import all_words
from finetune30.ui.words.fields import EMPTY, HELP, VALUES

_WIDGET = "field."
_MEANT = re.compile(r"^expected one of .*; did you mean (\S+)\?$")


def label_of(path: str) -> str:
    """What a key is called, plain text; a key without a name has its own."""
    key = f"fields.{path}"
    return say(key) if key in all_words() else path


def help_of(field: Field) -> str:
    """What it does and takes, as Markdown."""
    chinese = here().language == "zh-TW" and field.path in HELP
    said = "。".join(filter(None, (HELP[field.path], _takes(field)))) if chinese else field.description
    return f"{inert(said)}\n\n`{field.path}`"


def forget() -> None:
    """Let widgets show the draft again: it was changed otherwise than by them."""
    for key in [key for key in st.session_state if isinstance(key, str) and key.startswith(_WIDGET)]:
        del st.session_state[key]


def show(
    field: Field, values: Values, faults: Mapping[str, str], *, options: Sequence[str] = (), closed: bool = False
) -> None:
    """The widget; what is chosen is written to ``values``, what is wrong stands below.

    Args:
        faults: By path, in the server's words.
        options: Offered beside what the schema knows.
        closed: Nothing else is taken.
    """
    known = values.get(field.path, field.default)
    widget = widget_of(field, known)
    key = f"{_WIDGET}{field.path}{widget.suffix}"
    if key not in st.session_state:
        st.session_state[key] = widget.plain(field, known)
    widget.draw(
        Drawn(
            field,
            options,
            _empty(field),
            {
                "label": label_of(field.path),
                "key": key,
                "help": help_of(field),
                "on_change": act(_take, field, values, key),
            },
            closed,
        )
    )
    names = VALUES.get(f"{field.path}={values.get(field.path, field.default)}")
    if names:
        st.caption(names[here().language == "zh-TW"])
    fault(faults.get(field.path), field)
    meant(faults.get(field.path), field.path, values)


def meant(text: str | None, path: str, values: Values) -> None:
    """A button that takes the name the server takes for the one that was meant."""
    found = _MEANT.search(text or "")
    if found:
        name = found[1]
        st.button(say("submit.meant", name=inert(name)), key=f"near.{path}", on_click=act(_mean, path, values, name))


def _mean(path: str, values: Values, name: str) -> None:
    values[path] = name
    forget()
    for key in [key for key in st.session_state if isinstance(key, str) and key.startswith("source.")]:
        del st.session_state[key]


def _take(field: Field, values: Values, key: str) -> None:
    """What a widget was changed to goes into the draft; the widget shows what came of it."""
    widget = widget_of(field, values.get(field.path, field.default))
    values[field.path] = widget.back(field, st.session_state[key])
    after = widget_of(field, values[field.path])
    if after.suffix == widget.suffix:
        st.session_state[key] = after.plain(field, values[field.path])


def fault(text: str | None, field: Field | None = None) -> None:
    """What is wrong, below its widget."""
    if text:
        st.markdown(f":red[:material/error: {inert(worded(text, field))}]")


def worded(text: str, field: Field | None = None) -> str:
    """What the server says is wrong, plain text: in the page's words where it names keys, or the schema says enough."""
    others = re.match(r"does not go together with ([\w., ]+);", text)
    if others:
        return say("submit.together", others=names(list(map(label_of, others[1].split(", ")))))
    near = _MEANT.search(text)
    if near:
        return say("submit.did_you_mean", name=near[1])
    if text.startswith("expected one of ") and (field is None or field.path in ("model.name", "data.dataset_name")):
        return say("submit.not_taken", names=text.removeprefix("expected one of "))
    if text.startswith("expected data that is ready"):
        return say("submit.not_ready")
    takes = _takes(field) if field and here().language != "en" and text.startswith("expected ") else ""
    return say("submit.expected", what=takes) if takes else text


def shown(value: Any, field: Field | None = None) -> str:
    """A value in a sentence, plain text."""
    if field is not None and field.can_be_empty and value == field.empty:
        return _empty(field)
    match value:
        case None:
            return say("submit.automatic")
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.10g}"
        case list():
            return ", ".join(map(str, value)) or say("submit.none")
        case dict():
            return ", ".join(f"{name}: {shown(one)}" for name, one in value.items())
        case _:
            return str(value)


def _takes(field: Field) -> str:
    """What a key takes, as the page says it; nothing where that needs more words."""
    if field.kind in ("integer", "number") and field.low is not None and field.high is not None:
        low = say("submit.above" if field.open_low else "submit.least", number=shown(float(field.low)))
        high = say("submit.below" if field.open_high else "submit.most", number=shown(float(field.high)))
        return say(f"submit.{field.kind}", low=low, high=high)
    return say("submit.words", words=", ".join(field.words)) if field.words and not field.free else ""


def _empty(field: Field) -> str:
    """What an empty widget means."""
    if field.path in EMPTY:
        return EMPTY[field.path][here().language == "zh-TW"]
    return say("submit.automatic") if field.can_be_empty else ""
