"""The keys of a configuration as the form needs them, read off the server's JSON schema.

A configuration is flat here: ``{"training.learning_rate": 0.0005, …}``. What the schema says of a key decides its
widget, so that a server with more keys has them in the form without a change of the page.
Neighbours: ``fields`` draws them, ``draft`` holds the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One key.

    Attributes:
        kind: ``text``, ``integer``, ``number``, ``boolean``, ``choice`` (words, or a number beside them), ``list``,
            ``weights`` (numbers by name).
        words: Texts it takes as they are, such as ``auto``.
        empty: What an empty widget means, where one may be empty.
        low, high: The least and the largest number; ``open_low``, ``open_high`` where it must be more, or less.
        item: Of a list: ``text`` or ``integer``.
        free: Whether a choice takes more than its words.
    """

    path: str
    description: str
    kind: str
    words: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    can_be_empty: bool = False
    empty: Any = None
    item: str = "text"
    free: bool = False
    default: Any = None

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition(".")[2]


def fields_of(schema: Mapping[str, Any]) -> dict[str, Field]:
    """Every key by its path, in the order of the schema."""
    found: dict[str, Field] = {}

    def walk(part: Mapping[str, Any], prefix: str) -> None:
        for name, one in part.get("properties", {}).items():
            if prefix + name == "extends":
                continue
            if "$ref" in one:
                walk(schema["$defs"][one["$ref"].rsplit("/", 1)[-1]], f"{prefix}{name}.")
            else:
                found[prefix + name] = _field(prefix + name, one)

    walk(schema, "")
    return found


def flat(values: Mapping[str, Any], fields: Mapping[str, Field]) -> Values:
    """Values by path; a group that is empty or null says nothing."""
    return dict(_leaves(values, "", fields))


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a file or a request has it."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        *outer, name = path.split(".")
        level = found
        for part in outer:
            inner = level.setdefault(part, {})
            if not isinstance(inner, dict):
                break
            level = inner
        else:
            level.setdefault(name, value)
    return found


def _leaves(values: Mapping[str, Any], prefix: str, fields: Mapping[str, Field]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        path = f"{prefix}{name}"
        is_group = any(known.startswith(f"{path}.") for known in fields)
        if isinstance(value, Mapping) and path not in fields and (value or is_group):
            yield from _leaves(value, f"{path}.", fields)
        elif value is not None or not is_group:
            yield path, value


def _field(path: str, schema: Mapping[str, Any]) -> Field:
    parts = [dict(one) for one in schema.get("anyOf", [schema])]
    kinds = [_kind_of(one) for one in parts]
    shared: dict[str, Any] = {
        "path": path,
        "description": str(schema.get("description", "")),
        "default": schema.get("default"),
        "low": _least([_bound(one, "minimum", "exclusiveMinimum") for one in parts if _is_number(one)], min),
        "high": _least([_bound(one, "maximum", "exclusiveMaximum") for one in parts if _is_number(one)], max),
        "open_low": any("exclusiveMinimum" in one for one in parts),
        # Of a share or a count, the count's end counts.
        "open_high": all("exclusiveMaximum" in one for one in parts if _is_number(one)),
        "can_be_empty": "null" in kinds,
        "words": tuple(dict.fromkeys(word for one in parts for word in _words(one))),
    }
    minus = next((one["const"] for one in parts if isinstance(one.get("const"), int)), None)
    if minus is not None:  # a number that means none
        shared |= {"can_be_empty": True, "empty": minus}
        parts = [one for one in parts if "const" not in one]
        kinds = [_kind_of(one) for one in parts]
        shared["low"] = _least([_bound(one, "minimum", "exclusiveMinimum") for one in parts if _is_number(one)], min)
    return Field(**_with_kind(shared, parts, set(kinds) - {"null"}))


def _with_kind(shared: dict[str, Any], parts: list[dict[str, Any]], kinds: set[str]) -> dict[str, Any]:
    if "object" in kinds:
        return {**shared, "kind": "weights", "can_be_empty": True}
    if "array" in kinds:
        items = next(one["items"] for one in parts if one.get("type") == "array")
        empty: Any = None if shared["can_be_empty"] else []
        words = tuple(dict.fromkeys((*shared["words"], *_words(items))))
        numbers = items.get("type") == "integer"
        closed = bool(_words(items))
        shared |= {"words": tuple(word for word in words if word != "none"), "can_be_empty": True, "empty": empty}
        return {**shared, "kind": "list", "item": "integer" if numbers else "text", "free": not closed}
    if kinds <= {"integer"}:
        return {**shared, "kind": "integer"}
    if kinds <= {"integer", "number"}:
        return {**shared, "kind": "number"}
    if kinds == {"boolean"}:
        return {**shared, "kind": "boolean"}
    if shared["words"] or "boolean" in kinds:
        words = (*shared["words"], *(("true", "false") if "boolean" in kinds else ()))
        return {**shared, "kind": "choice", "words": words, "free": bool(kinds & {"text", "integer", "number"})}
    return {**shared, "kind": "text"}


def _kind_of(part: Mapping[str, Any]) -> str:
    if "enum" in part or isinstance(part.get("const"), str):
        return "word"
    return {"string": "text"}.get(str(part.get("type")), str(part.get("type")))


def _is_number(part: Mapping[str, Any]) -> bool:
    return part.get("type") in ("integer", "number")


def _words(part: Mapping[str, Any]) -> tuple[str, ...]:
    given = part.get("enum", [part["const"]] if "const" in part else [])
    return tuple(one for one in given if isinstance(one, str))


def _bound(part: Mapping[str, Any], closed: str, opened: str) -> float | None:
    found = part.get(closed, part.get(opened))
    return None if found is None or not math.isfinite(found) else found


def _least(bounds: list[float | None], choose: Any) -> float | None:
    known = [one for one in bounds if one is not None]
    return choose(known) if known and len(known) == len(bounds) else None
