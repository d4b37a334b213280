"""How long training took and how fast it went, over all its sittings.

Neighbours: ``trainer`` books each step; a checkpoint keeps the fields.
"""

from __future__ import annotations

from dataclasses import dataclass

# The first steps of a sitting allocate memory and compile kernels: they say nothing of the speed.
_WARM_UP_STEPS = 5


@dataclass
class Clock:
    """Training time and throughput over all sittings; its fields are what a checkpoint keeps.

    Attributes:
        train_seconds: Of all steps, batching included, evaluating and saving not.
        tokens, rows, seconds: Of the steps after each sitting's first five.
    """

    train_seconds: float = 0.0
    tokens: float = 0
    rows: float = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._steps = 0
        self._first = (0, 0, 0.0)
        self.pace_s = 0.0

    def book(self, tokens: int, rows: int, seconds: float) -> None:
        """Add one optimizer step."""
        self._steps += 1
        self.train_seconds += seconds
        if self._steps <= _WARM_UP_STEPS:
            self._first = (self._first[0] + tokens, self._first[1] + rows, self._first[2] + seconds)
            self.pace_s = seconds
        else:
            self.tokens, self.rows, self.seconds = self.tokens + tokens, self.rows + rows, self.seconds + seconds
            # The pace for the ETA forgets: a machine gets busy and free again.
            self.pace_s = 0.95 * self.pace_s + 0.05 * seconds

    def throughput(self) -> tuple[float | None, float | None]:
        """Attention-mask tokens and texts per second; of a very short run, its first steps count."""
        tokens, rows, seconds = (self.tokens, self.rows, self.seconds) if self.seconds else self._first
        return (tokens / seconds, rows / seconds) if seconds else (None, None)
