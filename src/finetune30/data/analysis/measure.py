"""One pass over the rows of a split: how long they are, and which words occur.

Neighbours: figures asks split by split, train first, and reads the tallies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune30.data.analysis.lengths import Lengths, Tally
from finetune30.data.analysis.seen import Seen
from finetune30.data.analysis.vocabulary import CellLabels
from finetune30.data.table import Table
from finetune30.data.words import count_words, words


@dataclass(frozen=True)
class Measured:
    """What the pass leaves behind.

    Args:
        tokens: None where nobody counted them.
        unseen: Share of the words of all texts that the earlier split never has.
    """

    rows: int
    empty: int
    characters: Tally
    words: Tally
    tokens: Tally | None
    seen: Seen
    unseen: float


class WordsByLabel:
    """Lengths in words of the rows of each label, to one part in 128 beyond 256 words."""

    def __init__(self, table: Table, names: tuple[str, ...]) -> None:
        self._labels = CellLabels(table.labels, names)
        self._tally = Tally(max(1, len(names)), bits=8)

    def add(self, first: int, lengths: NDArray[np.int64]) -> None:
        """Count the rows from ``first`` on."""
        rows, labels = self._labels.expanded(first, len(lengths))
        self._tally.add(lengths[rows], labels)

    def median(self, label: int) -> int:
        """Half of the label's rows have no more words."""
        return self._tally.percentile(0.5, label)


def measure(table: Table, lengths: Lengths | None, *, known: Seen | None, by_label: WordsByLabel | None) -> Measured:
    """Measure every row.

    Args:
        known: The words of the split to compare with.
        by_label: Told the words of each row, too.
    """
    characters, in_words, tokens, seen = Tally(), Tally(), Tally(), Seen()
    empty = occurrences = unseen = 0
    for first, texts, pairs in _portions(table):
        whole = texts if pairs is None else [f"{one}\x1f{other}" for one, other in zip(texts, pairs, strict=True)]
        characters.add(np.array([len(text) for text in whole], np.int64) - (pairs is not None))
        portion = np.array([count_words(text) for text in whole], np.int64)
        in_words.add(portion)
        # What separates the texts of a pair counts as white space, too.
        empty += sum(not text or text.isspace() for text in whole)
        if lengths is not None:
            tokens.add(np.asarray(lengths(texts, pairs), np.int64))
        if by_label is not None:
            by_label.add(first, portion)
        held = Counter(word for text in whole for word in words(text))
        seen.add(held)
        if known is not None:
            counts = np.array(list(held.values()), np.int64)
            occurrences += int(counts.sum())
            unseen += int(counts[~known.has(held)].sum())
    share = unseen / max(1, occurrences)
    return Measured(len(table.texts), empty, characters, in_words, None if lengths is None else tokens, seen, share)


def _portions(table: Table) -> Iterator[tuple[int, list[str], list[str] | None]]:
    """The rows of a table a few at a time: number of the first, texts, second texts of pairs."""
    for first, texts in table.texts.chunks():
        listed = texts.to_pylist()
        yield first, listed, None if table.pairs is None else table.pairs[first : first + len(listed)]
