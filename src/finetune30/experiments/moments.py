"""A date or moment as people write it: ``2026-01-31``, ``2026-01-31T12:00:00Z``; one without a zone is UTC.

Neighbours: ``where`` reads them in filters, the API in its queries.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

LAST = 253_402_300_799.0  # the end of the year 9999
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


def is_day(text: str) -> bool:
    """Whether it names a day, not a moment of one."""
    return _DAY.fullmatch(text) is not None


def moment(text: str, *, ends: bool = False) -> float:
    """Unix seconds of a date or of a moment.

    Args:
        ends: A date means its last moment.
    Raises: ValueError.
    """
    if not is_day(text) and not _MOMENT.fullmatch(text):
        raise ValueError("expected a date such as 2026-01-31, or 2026-01-31T12:00:00Z")
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        if ends and is_day(text):
            found += timedelta(days=1, microseconds=-1)
        return found.timestamp()
    except (ValueError, OverflowError):
        raise ValueError("expected a date that exists") from None
