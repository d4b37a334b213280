"""Lengths of any number of texts, counted in a table of fixed size.

Lengths are whole numbers, so counting each one keeps mean, percentiles and histograms exact; only
very long texts share a cell. Neighbours: figures fills the tallies and reads them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from finetune30.data.analysis.values import Histogram, LengthFigures

Lengths = Callable[[Sequence[str], Sequence[str] | None], NDArray[np.int64]]
"""Tokens of each text (or pair), special ones included, nothing cut; shape (texts,)."""

_LONGEST = (1 << 31) - 1
_BINS_AT_MOST = 40


class Tally:
    """How often each length occurred, in each of some groups.

    Args:
        bits: Lengths below ``2**bits`` are exact; longer ones are kept to this many leading binary digits.
    """

    def __init__(self, groups: int = 1, *, bits: int = 14) -> None:
        self._bits = bits
        self._half = 1 << (bits - 1)
        cells = np.arange(2 * self._half + self._half * (31 - bits), dtype=np.int64)
        beyond = cells - 2 * self._half
        self._lengths = np.where(
            beyond < 0, cells, (self._half + beyond % self._half) << np.maximum(beyond // self._half + 1, 0)
        )
        """The shortest length of each cell."""
        self._counts = np.zeros((groups, len(cells)), np.int32)
        self._sum = 0
        self._longest = 0

    @property
    def nbytes(self) -> int:
        """Memory it holds, whatever was added."""
        return int(self._counts.nbytes + self._lengths.nbytes)

    def add(self, lengths: NDArray[np.int64], groups: NDArray[np.int64] | int = 0) -> None:
        """Count some lengths, each in its group."""
        if not len(lengths):
            return
        lengths = np.minimum(lengths, _LONGEST)
        # frexp gives the number of binary digits: those beyond `bits` are cut off.
        surplus = np.maximum(np.frexp(lengths.astype(np.float64))[1] - self._bits, 0)
        cells = (lengths >> surplus) + self._half * surplus
        np.add.at(self._counts.reshape(-1), groups * self._counts.shape[1] + cells, 1)
        self._sum += int(lengths.sum())
        self._longest = max(self._longest, int(lengths.max()))

    def percentile(self, share: float, group: int = 0) -> int:
        """The shortest length that this share of the group's rows does not exceed; 0 where there is none."""
        reached = np.cumsum(self._counts[group], dtype=np.int64)
        rank = max(1, math.ceil(share * int(reached[-1])))
        return int(self._lengths[np.searchsorted(reached, rank)]) if reached[-1] else 0

    def longer(self, limit: int) -> float:
        """Share of all rows that are longer than ``limit``."""
        counts = self._counts.sum(0, dtype=np.int64)
        return float(counts[self._lengths > limit].sum() / max(1, counts.sum()))

    def figures(self, edges: Sequence[int]) -> LengthFigures:
        """What is told of the first group."""
        counts = self._counts[0].astype(np.int64)
        bins = np.searchsorted(np.array(edges), self._lengths, side="right") - 1
        histogram = np.bincount(bins, weights=counts, minlength=len(edges)).astype(np.int64)
        return LengthFigures(
            mean=round(self._sum / max(1, int(counts.sum())), 2),
            median=self.percentile(0.5),
            p95=self.percentile(0.95),
            p99=self.percentile(0.99),
            longest=self._longest,
            histogram=Histogram(tuple(edges), tuple(histogram.tolist())),
        )


def edges_for(tallies: Sequence[Tally]) -> list[int]:
    """Where the bins of some histograms begin: the same for all, of a round width, 99 % below the last."""
    usual = max((tally.percentile(0.99) for tally in tallies), default=0)
    widths = (digit * 10**zeros for zeros in range(10) for digit in (1, 2, 5))
    width = next(width for width in widths if usual < width * _BINS_AT_MOST)
    return [width * at for at in range(usual // width + 2)]
