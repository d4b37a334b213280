"""Values that can be sent: what JSON has no word for, or no machine a number, becomes a text.

The server says of such a text what it says of any other that stands where a number belongs, beside its field.
Neighbours: ``draft`` and ``templates`` read values that somebody else wrote, ``widgets`` what was typed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_LARGEST = 10**18
_LONGEST = 40


def sendable(value: Any) -> Any:
    """The value; what JSON, or a number of usual size, cannot hold is a text, which the server says is wrong."""
    match value:
        case bool() | None:
            return value
        case int():
            return value if abs(value) < _LARGEST else _as_text(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case Mapping():
            return {str(sendable(str(name))): sendable(one) for name, one in value.items()}
        case list() | tuple():
            return [sendable(one) for one in value]
        case _:
            return str(value)


def _as_text(number: int) -> str:
    told = str(number)
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"
