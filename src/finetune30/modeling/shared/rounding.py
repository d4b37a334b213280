"""Which rows bfloat16 is not to be trusted with: those are computed again in float32.

bfloat16 moves a row's logits by a few hundredths, of some adapters more than of others. What that does to a
probability p hangs on the row: p(1 - p) times as much, so nothing to a sure answer and a quarter of it to a torn one.
An adapter is tried on some texts when it is loaded; how far its logits drift there says which of its rows may move
too far, or fall on the other side. Neighbours: ``body`` asks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune30.modeling.predict import probabilities_of
from finetune30.modeling.task import Task

# Labels whose probabilities are nearer than this are always looked at again.
_CLOSE = 0.08
# What a probability may move by, and what an adapter's logits drift on the worst of many texts over the few it was
# tried on: of 40 adapters on 168 texts this left 0.003 where it answered in bfloat16, and 2 rows of 100 to float32.
MOVED, _WORST = 0.006, 6.0
# Logits that drift more than this are noise.
NOISE = 1.0
# Two logits further apart are a probability of one, and an exponential that is none.
_SURE = 700.0


@dataclass(frozen=True)
class Rounding:
    """What bfloat16 does to an adapter.

    Attributes:
        drift: How far it was seen to move one logit against another of a row; infinite for an adapter of whose
            numbers bfloat16 cannot hold all.
    """

    task: Task
    drift: float = 0.0

    @classmethod
    def seen(cls, task: Task, fast: NDArray[np.float32], exact: NDArray[np.float32]) -> Rounding:
        """On some rows.

        Args:
            fast, exact: Logits in bfloat16 and in float32, shape (rows, labels).
        """
        with np.errstate(invalid="ignore"):
            moved = fast - exact
            apart = np.abs(moved) if task.multi_label else np.ptp(moved, axis=1)
        drift = float(apart.max(initial=0.0))
        return cls(task, drift if drift <= NOISE else np.inf)

    @property
    def hopeless(self) -> bool:
        """Whether every row is computed in float32, without a look at bfloat16."""
        return self.drift == np.inf

    def doubts(self, logits: NDArray[np.float32]) -> bool:
        """Whether a row with these logits, in bfloat16, shape (labels,), is computed again."""
        task = self.task
        if not task.multi_label and len(logits) == 2:  # what numpy does to two numbers takes it longer than the sums
            apart = abs(float(logits[0]) - float(logits[1]))
            first = 1.0 / (1.0 + math.exp(-apart)) if apart < _SURE else 1.0
            second = 1.0 - first
            return first * second * self.drift * _WORST > MOVED or first - second < _CLOSE or apart != apart
        found = probabilities_of(logits[None], multi_label=task.multi_label)[0]
        if task.multi_label and bool((np.abs(found - task.threshold) < _CLOSE).any()):
            return True
        if float((found * (1.0 - found)).max()) * self.drift * _WORST > MOVED:
            return True
        if len(found) < 2 or task.multi_label:
            return False
        second, first = np.partition(found, -2)[-2:]
        return bool(first - second < _CLOSE)
