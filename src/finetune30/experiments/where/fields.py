"""What a filter may ask for, and how the values beside it are read.

Neighbours: ``grammar`` looks names up here. A value is read by its field: ``1e3`` is a number beside ``runtime`` and a
text beside ``name``.
"""

from __future__ import annotations

import difflib
import math
import re
from functools import cache

from finetune30.config.keys import Key, keys
from finetune30.errors import FilterError
from finetune30.experiments import moments
from finetune30.experiments.record import Status
from finetune30.experiments.tables import row
from finetune30.experiments.where.tree import Day, Field, Kind, Value

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,10}")
_MOST = 2**31
_DAY_S = 86_400.0
# Of metrics.json: any figure below these. A name begins with a letter: a number could be a place in a list.
_METRIC = re.compile(r"metrics\.(train|eval|test|system|data)(\.[A-Za-z][A-Za-z0-9_]{0,79}){1,4}")

_KINDS = {
    Kind.TEXT: ("id", "owner", "base_model", "dataset", "dataset_hash", "queue", "resumed_from"),
    Kind.NUMBER: ("eval_accuracy", "train_runtime", "max_runtime_s"),
    Kind.WHOLE: ("attempt", "failures", "priority", "devices"),
    Kind.MOMENT: ("created_at", "started_at", "finished_at"),
    Kind.FLAG: ("paused", "cancel_requested", "continues"),
    Kind.STATUS: ("status",),
}
_ALSO = {"task_id": "id", "accuracy": "eval_accuracy", "runtime": "train_runtime"}
ORDERED = frozenset({Kind.NUMBER, Kind.WHOLE, Kind.MOMENT})
WORDED = frozenset({Kind.TEXT, Kind.NAME})


@cache
def fields() -> dict[str, Field]:
    """All there are by name, but for ``metrics.…``."""
    found = {name: Field(name, kind, row[name]) for kind, names in _KINDS.items() for name in names}
    found["name"] = Field("name", Kind.NAME, row.name_key)
    found["error.code"] = Field("error.code", Kind.KEY, row.error, "code", frozenset({"text"}))
    found |= {name: found[same] for name, same in _ALSO.items()}
    for path, key in keys().items():
        found[f"config.{path}"] = Field(f"config.{path}", Kind.KEY, row.config, path, _types(key))
    return found


def field_of(name: str, at: int) -> Field:
    """The field by this name.

    Args:
        at: Its place, for the error.
    Raises: FilterError; its hint is the nearest name.
    """
    known = fields()
    if name in known:
        return known[name]
    if _METRIC.fullmatch(name):
        return Field(name, Kind.KEY, row.metrics, name.partition(".")[2], frozenset({"number"}))
    wanted = name.lower()[:80]
    near = [one for one in known if one.endswith(f".{wanted}")]  # lora.r and r are keys of the configuration
    near = near or difflib.get_close_matches(wanted, known, n=1)
    plain = ", ".join(one for one in known if not one.startswith("config."))
    hint = f"did you mean {' or '.join(near[:3])}?" if near else f"there is {plain}, config.… and metrics.…"
    raise FilterError("there is no such field", at=at, hint=hint)


def value_of(field: Field, text: str, quoted: bool, at: int) -> Value:
    """What ``text`` means beside ``field``.

    Raises: FilterError.
    """
    match field.kind:
        case Kind.TEXT | Kind.NAME:
            return text
        case Kind.STATUS:
            return _status(text, at)
        case Kind.NUMBER:
            return _number(text, at)
        case Kind.WHOLE:
            return _whole(text, at)
        case Kind.MOMENT:
            return _moment(text, at)
        case Kind.FLAG:
            return _flag(text, at)
        case Kind.KEY:
            return _of_key(field, text, quoted, at)


def _types(key: Key) -> frozenset[str]:
    """The types a key may have, of those a filter can compare."""
    names = {"integer": "number", "number": "number", "string": "text", "boolean": "flag"}
    found: set[str] = set()
    for part in key.schema.get("anyOf", [key.schema]):
        kind = part.get("type") or ("string" if "enum" in part else "")
        found |= {names[kind]} if kind in names else set()
    return frozenset(found)


def _of_key(field: Field, text: str, quoted: bool, at: int) -> Value:
    """A number, true or false where one may stand and it looks like one without quotes; else a text."""
    if not quoted and "number" in field.takes and _NUMBER.fullmatch(text):
        return _number(text, at)
    if not quoted and "flag" in field.takes and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "text" in field.takes:
        return text
    told = {"number": "a number", "flag": "true or false"}
    wanted = " or ".join(word for kind, word in told.items() if kind in field.takes)
    raise FilterError(f"expected {wanted}" if wanted else "a list can only be compared with NULL", at=at)


def _status(text: str, at: int) -> str:
    word = text.upper()
    if word in list(Status):
        return word
    near = difflib.get_close_matches(word[:20], list(Status), n=1)
    hint = f"did you mean {near[0]}?" if near else None
    raise FilterError(f"expected one of {', '.join(Status)}", at=at, hint=hint)


def _number(text: str, at: int) -> float:
    found = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(found):
        raise FilterError("expected a number", at=at)
    return found


def _whole(text: str, at: int) -> float:
    if not _WHOLE.fullmatch(text) or not -_MOST <= int(text) < _MOST:
        raise FilterError("expected a whole number", at=at)
    return int(text)


def _moment(text: str, at: int) -> Value:
    if _NUMBER.fullmatch(text) and not moments.is_day(text):
        seconds = _number(text, at)
        if not 0 <= seconds <= moments.LAST:
            raise FilterError("expected Unix seconds of a moment that exists", at=at)
        return seconds
    try:
        start = moments.moment(text)
    except ValueError as fault:
        raise FilterError(str(fault), at=at) from None
    return Day(start, start + _DAY_S) if moments.is_day(text) else start


def _flag(text: str, at: int) -> bool:
    if text.lower() not in ("true", "false"):
        raise FilterError("expected true or false", at=at)
    return text.lower() == "true"
