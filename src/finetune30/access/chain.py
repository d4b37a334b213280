"""What chains the rows of the audit log: each row's MAC covers the row and the MAC before it.

Whoever changes, adds, moves or removes a row without the key breaks the chain there. Only the rows at the end could go
without a break, which is what the ``anchor`` outside the database is for. No SQL here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from typing import Any

_LONGEST_DETAIL = 16_384
# The signed columns in their order; ``mac`` is what they give.
COLUMNS = (
    "seq",
    "at",
    "actor_id",
    "actor_name",
    "role",
    "action",
    "target",
    "outcome",
    "address",
    "request_id",
    "detail",
)


def mac(key: bytes, before: str, row: Mapping[str, Any]) -> str:
    """MAC of a row after the row whose MAC is ``before``, in hex."""
    # repr: who tampers may leave any type in a column of SQLite.
    signed = json.dumps([before, *(row[name] for name in COLUMNS)], default=repr)
    return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()


def is_same(found: object, wanted: str) -> bool:
    """Whether a stored MAC is that one; says nothing by its time."""
    return hmac.compare_digest(str(found).encode("utf-8", "replace"), wanted.encode())


def plain(text: str, longest: int = 200) -> str:
    """``text`` as every database can hold it: without NUL and half characters, and not endless."""
    return text[:longest].replace("\0", "�").encode("utf-8", "replace").decode()


def detail_text(detail: Mapping[str, Any] | None) -> str | None:
    """The details as one line of strict JSON in ASCII, the same for the same details."""
    if detail is None:
        return None
    text = json.dumps(_finite(detail), sort_keys=True, default=str, allow_nan=False)
    return text if len(text) <= _LONGEST_DETAIL else json.dumps({"left_out_characters": len(text)})


def detail_of(text: object) -> dict[str, Any] | None:
    """The way back; a row that was tampered with must not stop a list."""
    if text is None:
        return None
    try:
        found = json.loads(str(text))
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"unreadable": True}


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(name): _finite(one) for name, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
        case _:
            return value
