"""How many rows of each label and each split hold a word, on a sample of bounded size.

Up to 50,000 rows of each split are read, drawn with a fixed seed where there are more: once to
learn where words of scripts without spaces end, once to choose the words, once to count them.
Neighbours: telling ranks what is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finetune30.data.analysis.segments import Segments, trim
from finetune30.data.fold import whole_texts
from finetune30.data.labels import each
from finetune30.data.roles import Role
from finetune30.data.table import Labels, Table

SAMPLED_AT_MOST = 50_000
WORDS_HELD = 500_000
_SEED = 30
_WORDS_COUNTED = 20_000
_CELLS = 10_000_000
_LEAST_ROWS = 3


@dataclass(frozen=True)
class WordCounts:
    """Rows that hold a word.

    Args:
        words: Sorted.
        by_split: For each split shape (words,).
        by_label: Sampled train rows, shape (labels, words).
        train_rows: Train rows in the sample.
    """

    words: tuple[str, ...]
    by_split: Mapping[Role, NDArray[np.int64]]
    by_label: NDArray[np.int32]
    train_rows: int


class CellLabels:
    """Which of some labels each row of a table tells, as positions in ``names``."""

    def __init__(self, labels: Labels, names: tuple[str, ...]) -> None:
        position = {name: at for at, name in enumerate(names)}
        self._codes = labels.codes
        self._of_cell = [
            np.array([position[n] for n in each(cell) if n in position], np.int64) for cell in labels.cells
        ]
        self._of_cell.append(np.zeros(0, np.int64))  # code -1: a row without a label

    def of(self, row: int) -> NDArray[np.int64]:
        """The labels of one row."""
        return self._of_cell[int(self._codes[row])]

    def expanded(self, first: int, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each label told by the rows from ``first`` on: its row, counted from ``first``, and itself."""
        told = [self._of_cell[code] for code in self._codes[first : first + rows]]
        return np.repeat(np.arange(len(told)), [len(labels) for labels in told]), np.concatenate([*told, told[0][:0]])


def count_rows(tables: Mapping[Role, Table], names: tuple[str, ...]) -> WordCounts:
    """Count the words of all splits, and those of train by label.

    Args:
        tables: With tidy labels.
        names: The labels to tell apart.
    """
    sampled = {role: _sampled(table) for role, table in tables.items()}
    segments = Segments(text for table in sampled.values() for text in whole_texts(table))
    words = _choose(sampled, segments, min(_WORDS_COUNTED, _CELLS // max(1, len(names))))
    position = {word: at for at, word in enumerate(words)}
    by_split = {role: np.zeros(len(words), np.int64) for role in sampled}
    by_label = np.zeros((len(names), len(words)), np.int32)
    for role, table in sampled.items():
        labels = CellLabels(table.labels, names)
        for row, text in enumerate(whole_texts(table)):
            held = np.array([position[word] for word in set(segments.words(text)) if word in position], np.int64)
            by_split[role][held] += 1
            if role == "train":
                by_label[labels.of(row)[:, None], held] += 1
    return WordCounts(words, by_split, by_label, len(sampled["train"].texts))


def _sampled(table: Table) -> Table:
    size = len(table.texts)
    if size <= SAMPLED_AT_MOST:
        return table
    rows = np.sort(np.random.default_rng(_SEED).choice(size, SAMPLED_AT_MOST, replace=False))
    pairs = None if table.pairs is None else table.pairs.take(rows)
    labels = Labels(table.labels.codes[rows], table.labels.cells)
    return replace(table, texts=table.texts.take(rows), labels=labels, pairs=pairs, lines=None)


def _choose(tables: Mapping[Role, Table], segments: Segments, limit: int) -> tuple[str, ...]:
    """The words that most rows hold; numbers are none."""
    rows: Counter[str] = Counter()
    for table in tables.values():
        for text in whole_texts(table):
            rows.update({word for word in segments.words(text) if not word.isdecimal()})
            trim(rows, WORDS_HELD)
    return tuple(sorted(word for word, count in rows.most_common(limit) if count >= _LEAST_ROWS))
