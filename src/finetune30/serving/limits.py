"""What the lane is allowed, and what it counts.

Neighbours: ``lane`` goes by them, ``measures`` shows them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How large batches are, and how much may wait.

    Attributes:
        batch_tokens: Tokens of a batch, padding included.
        waiting_rows: More than this many waiting rows are refused.
    """

    batch_rows: int = 32
    batch_tokens: int = 4096
    waiting_rows: int = 2048


@dataclass
class Figures:
    """What the lane did so far, for metrics; written by it alone.

    Attributes:
        busy_s: Of all batches; two that are computed at a time count twice.
        computing_s: In which any batch was computed.
    """

    batches: int = 0
    rows: int = 0
    tokens: int = 0
    padded: int = 0
    last_rows: int = 0
    busy_s: float = 0.0
    computing_s: float = 0.0
