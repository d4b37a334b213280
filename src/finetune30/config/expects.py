"""What a key expects, in words, read off the JSON schema of its type.

The constraint is written once, in schema; errors, help and the reference all say it in these
words. Neighbours: keys asks for every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def expected(schema: Mapping[str, Any]) -> str:
    """Such as ``a whole number from 1 to 512`` or ``one of epoch, steps, no``."""
    if "expects" in schema:
        return str(schema["expects"])
    if "anyOf" in schema:
        return " or ".join(expected(part) for part in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    match schema.get("type"):
        case "integer":
            return "a whole number" + _range(schema)
        case "number":
            return "a number" + _range(schema)
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "array":
            return f"a list of {_plural(expected(schema['items']))}"
        case "object":
            return f"a mapping of names to {_plural(expected(schema['additionalProperties']))}"
        case _:
            return "text"


def _range(schema: Mapping[str, Any]) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    lower = f"from {_plain(low)}" if low is not None else f"above {_plain(above)}" if above is not None else ""
    upper = f"to {_plain(high)}" if high is not None else f"below {_plain(below)}" if below is not None else ""
    if lower.startswith("above") and high is not None:
        upper = f"and at most {_plain(high)}"
    elif lower and below is not None:
        upper = f"and {upper}"
    return "".join(f" {part}" for part in (lower, upper) if part)


def _plain(number: float) -> str:
    return f"{number:.10g}" if isinstance(number, float) else str(number)


def _plural(text: str) -> str:
    for singular, plural in (
        ("a whole number", "whole numbers"),
        ("a number", "numbers"),
        ("module name", "module names"),
    ):
        if text.startswith(singular):
            return plural + text.removeprefix(singular)
    return text
