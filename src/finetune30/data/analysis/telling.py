"""Which words tell one group of rows from the others: weighted log-odds with an informative prior.

A plain ratio prefers rare words, a plain difference prefers common ones. The prior says that both
groups use a word as all rows do, and weighs as much as all rows: it pulls rare words to the middle.
Dividing by the standard deviation ranks what is left by how sure it is. Rows are counted, not
occurrences: a text that repeats a word is one witness.
Source: Monroe, Colaresi & Quinn 2008, Fightin' Words, Political Analysis 16(4), equations 15 to 22.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune30.data.analysis.values import TellingWord

_LEAST_ROWS = 3
_WORDS = 15


def log_odds(inside: NDArray[np.int64], outside: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much more each word is used inside than outside, in standard deviations; the prior pulls it to 0.

    Args:
        inside: Rows of the group that hold each word, shape (words,).
        outside: Other rows that do, shape (words,).
    """
    prior = (inside + outside).astype(np.float64)
    one, other = inside + prior, outside + prior
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.log(one / (one.sum() - one)) - np.log(other / (other.sum() - other))
        z: NDArray[np.float64] = difference / np.sqrt(1 / one + 1 / other)
    return np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0)


def telling(
    words: Sequence[str], inside: NDArray[np.int64], outside: NDArray[np.int64], *, least: float = 0.0
) -> tuple[TellingWord, ...]:
    """The words that tell most for the group, those with most evidence first.

    Args:
        words: Sorted, so that ties fall the same way each time.
        least: Words with a smaller z are left out.
    """
    z = log_odds(inside, outside)
    z[inside < _LEAST_ROWS] = 0.0
    best = np.argsort(-z, kind="stable")[:_WORDS]
    return tuple(
        TellingWord(words[at], round(float(z[at]), 2), int(inside[at]), int(outside[at]))
        for at in best
        if z[at] > least
    )
