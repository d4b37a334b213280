"""When a message is sent again, and when no more. No SQL here; times are seconds."""

from __future__ import annotations

import random

# An attempt may take carrying.TOTAL_S and the time to resolve the name; whoever takes longer has died.
CLAIM_S = 60.0
GIVE_UP_S = 24 * 3600.0
# A receiver that took nothing for so long is told nothing more until its owner says so.
DISABLE_S = 3 * 24 * 3600.0
KEEP_S = 30 * 24 * 3600.0
_FIRST_S, _FACTOR, _LONGEST_S = 5.0, 4.0, 6 * 3600.0


def delay_s(attempts: int, asked_s: float = 0.0) -> float:
    """How long to wait after so many attempts: 5 s, 20 s, 80 s, … up to 6 hours, a quarter more or less.

    Args:
        asked_s: What the receiver asks for, at least.
    """
    usual = min(_LONGEST_S, _FIRST_S * _FACTOR ** min(attempts - 1, 10))
    return max(asked_s, usual * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, guards nothing
