"""What a training says of itself while it runs.

``training`` defines the words, the pipeline hands in a listener: log, database row and
screen hear the same events. Values only; no clock and no file here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: ``note`` (a sentence), ``experiment`` (its id is the message: the row now exists),
            ``step`` (every logging step), ``evaluation``, ``checkpoint``, ``saving`` (files are about to be
            put into place: raise to prevent that).
        message: For people; empty for ``step``.
        step: Optimizer steps done, of ``total``.
        loss: Mean training loss since the last ``step`` event.
        learning_rate: Of the last step.
        tokens_per_s: Attention-mask tokens over step time so far.
        eta_s: Seconds of training left at the present pace.
        metrics: Of an ``evaluation``: accuracy, f1_macro, loss.
    """

    kind: Literal["note", "experiment", "step", "evaluation", "checkpoint", "saving"]
    message: str = ""
    step: int = 0
    total: int = 0
    epoch: float = 0.0
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_s: float | None = None
    eta_s: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


Progress = Callable[[Event], None]
# Asked after every optimizer step: None, or why to stop at a checkpoint ("interrupted", "cancelled").
StopRequested = Callable[[], str | None]


def note(text: str) -> Event:
    """A sentence for people."""
    return Event("note", text)
