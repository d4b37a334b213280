"""How long rows take here just now: whether one may be computed by who asks, and how many threads do it fastest.

A short text is two dozen small products, and two cores share each in two thirds of the time of one, if the other core
is idle. Whether it is shows only by trying: on a machine that trains beside its answers the second thread would be
waited for at every product. So numbers of threads are tried in turn, again and again, and the fastest is taken.
Neighbours: ``lane`` computes and tells, ``crew`` says which numbers there may be.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import torch

# So long a caller may compute itself, for others are not read meanwhile; not where nothing of a base was timed.
HERE_S = 0.01
_BASES = 64
# Of each number so many rows are looked at before one is preferred; then every so many rows another is tried.
_SEEN, _AGAIN = 8, 32
# Beside its tokens a row costs as much as so many; else short ones would seem dear, and who computed them slow.
_FIXED = 24
# More threads must take so much less time: the core is also somebody else's.
_WORTH = 0.9


class Timing:
    """Of all bases.

    Args:
        shared: Numbers of threads that may share a lone row, ascending; none: the caller's own number stays.
    """

    def __init__(self, shared: Sequence[int] = ()) -> None:
        self._shared = tuple(shared)
        self._token_s: dict[int, float] = {}
        self._chosen: dict[int, Chosen] = {}

    def note(self, engine: object, tokens: int, took_s: float) -> None:
        """A batch of so many tokens was computed."""
        each = took_s / max(1, tokens)
        if len(self._token_s) >= _BASES:
            self._token_s.clear()
        self._token_s[id(engine)] = 0.8 * self._token_s.get(id(engine), each) + 0.2 * each

    def is_short(self, engine: object, tokens: int) -> bool:
        """Whether a row of so many tokens may be computed by its caller."""
        return tokens * self._token_s.get(id(engine), HERE_S) < HERE_S

    @contextmanager
    def lone(self, engine: object, tokens: int) -> Iterator[None]:
        """The calling thread computes a row meanwhile; one at a time."""
        if not self._shared:
            yield
            return
        if len(self._chosen) >= _BASES:
            self._chosen.clear()
        chosen = self._chosen.setdefault(id(engine), Chosen(self._shared))
        before, threads = torch.get_num_threads(), chosen.next()
        torch.set_num_threads(threads)
        began = time.perf_counter()
        try:
            yield
            chosen.took(threads, (time.perf_counter() - began) / (tokens + _FIXED))
        finally:
            torch.set_num_threads(before)


class Chosen:
    """The number of threads that one base's lone rows are computed by."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._seen = {number: deque[float](maxlen=_SEEN) for number in numbers}
        self._best: int | None = None
        self._rows = 0

    def next(self) -> int:
        """For the next row."""
        self._rows += 1
        if self._best is None or self._rows % _AGAIN == 0:
            numbers = list(self._seen)
            turn = self._rows if self._best is None else self._rows // _AGAIN
            return numbers[turn % len(numbers)]
        return self._best

    def took(self, number: int, seconds: float) -> None:
        """A row, computed by so many threads, took so long for each of its tokens."""
        self._seen[number].append(seconds)
        if self._best is not None and number == self._best and self._rows % _AGAIN:
            return
        if all(len(seen) == _SEEN for seen in self._seen.values()):
            self._best = self._fastest()

    def _fastest(self) -> int:
        # Medians: the first row of a length makes its kernels, and now and then a thread waits for its core.
        best, *others = [(number, median(seen)) for number, seen in self._seen.items()]
        for number, took in others:
            if took < _WORTH * best[1]:
                best = number, took
        return best[0]
