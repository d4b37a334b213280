"""Which words occurred, for any number of words, in 16 MiB.

A word sets one of 2**27 bits. Two words may share one, so a new word passes for a seen one with a
probability of 0.7 % once a million distinct words were seen. Neighbours: figures asks how much of a
held-out split train has never shown.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from finetune30.data.fold import key_of

_BITS = 27


class Seen:
    """A set of words that only grows."""

    def __init__(self) -> None:
        self._bytes = np.zeros(1 << (_BITS - 3), np.uint8)

    @property
    def nbytes(self) -> int:
        """Memory it holds, whatever was added."""
        return int(self._bytes.nbytes)

    def add(self, words: Iterable[str]) -> None:
        """Remember these words."""
        bits = _bits_of(words)
        np.bitwise_or.at(self._bytes, bits >> 3, _mask(bits))

    def has(self, words: Iterable[str]) -> NDArray[np.bool_]:
        """Of each word, whether it was seen."""
        bits = _bits_of(words)
        found: NDArray[np.bool_] = (self._bytes[bits >> 3] & _mask(bits)) > 0
        return found

    def share_unknown_to(self, other: Seen) -> float:
        """Share of the distinct words here that the other has not seen; 0 where there is none."""
        own = int(np.bitwise_count(self._bytes).sum(dtype=np.int64))
        unknown = int(np.bitwise_count(self._bytes & ~other._bytes).sum(dtype=np.int64))
        return unknown / max(1, own)


def _bits_of(words: Iterable[str]) -> NDArray[np.int64]:
    return np.fromiter((key_of(word) & ((1 << _BITS) - 1) for word in words), np.int64)


def _mask(bits: NDArray[np.int64]) -> NDArray[np.uint8]:
    mask: NDArray[np.uint8] = np.left_shift(1, bits & 7).astype(np.uint8)
    return mask
