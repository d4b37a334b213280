"""The rows an experiment uses, and the two ways their number shrinks: cutting and sampling.

Both depend on the seed and the rows alone: not on hashes, not on the machine. A larger sample holds
the smaller one of the same seed. Neighbours: prepare builds Splits, training only reads them.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """Rows in their original order.

    Args:
        texts: May lie on disk: read them in order, or by slices.
        labels: Shape (rows,): positions in ``Splits.label_names``. Multi-label: shape (rows, labels), 0 or 1.
        rows: Shape (rows,): 0-based position of each row in the source split it came from.
        pairs: The second text of each row, where a row is a pair of texts.
    """

    texts: Sequence[str]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    pairs: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, eq=False)
class Splits:
    """Everything training, scoring and the record need to know about the data.

    Args:
        source: Where the rows came from, for people.
        notes: What was found, left out or changed, a sentence each.
        counts: Per split: ``read``, ``dropped`` by rule, ``stripped``, ``cut`` (rows given to
            the validation split), ``kept``, ``sampled`` (rows used) and ``labels`` (rows used,
            by label name). JSON can carry it.
        multi_label: A row may have several labels, or none.
    """

    train: Split
    validation: Split
    test: Split | None
    label_names: tuple[str, ...]
    source: str
    notes: tuple[str, ...]
    counts: dict[str, dict[str, Any]]
    multi_label: bool = False

    def items(self) -> Iterator[tuple[str, Split]]:
        """Name and rows of each split there is."""
        yield "train", self.train
        yield "validation", self.validation
        if self.test is not None:
            yield "test", self.test

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the exact rows used: split, label names and texts of each, in order."""
        digest = hashlib.sha256()
        for name, split in self.items():
            pairs = repeat(None) if split.pairs is None else split.pairs
            for labels, text, pair in zip(self._named(split), split.texts, pairs, strict=False):
                # JSON, because joined strings could be cut in two places and hash the same.
                digest.update(json.dumps([name, labels, text, *([] if pair is None else [pair])]).encode("ascii"))
        return digest.hexdigest()

    def _named(self, split: Split) -> Iterator[str | list[str]]:
        if not self.multi_label:
            return (self.label_names[label] for label in split.labels)
        return ([self.label_names[at] for at in np.flatnonzero(row)] for row in split.labels)


def cut(labels: Sequence[Hashable], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Positions that stay in train and positions for validation, each ascending.

    Every label gives its share, to the nearest row; one with a single row gives none. Both parts
    hold rows, unless every label has one row only: then the second is empty.

    Source: largest remainder apportionment, ties to the label met first.
    """
    positions: dict[Hashable, list[int]] = {}
    for position in _shuffled(len(labels), seed, "validation cut"):
        positions.setdefault(labels[position], []).append(position)
    order = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    groups = [positions[label] for label in sorted(positions, key=order.__getitem__) if len(positions[label]) > 1]
    chosen: list[int] = []
    for group, count in zip(groups, _shares([len(group) for group in groups], share), strict=True):
        chosen += group[:count]
    taken = set(chosen)
    return [position for position in range(len(labels)) if position not in taken], sorted(chosen)


def sample(available: int, wanted: int, seed: int, purpose: str) -> list[int]:
    """``wanted`` of ``available`` positions at random, ascending."""
    return sorted(_shuffled(available, seed, purpose)[:wanted])


def by_name(labels: Sequence[int], names: Sequence[str]) -> dict[str, int]:
    """Rows of each label, every label listed."""
    counted = Counter(labels)
    return {name: counted[label] for label, name in enumerate(names)}


def _shares(sizes: list[int], share: float) -> list[int]:
    if not sizes:
        return []
    exact = [size * share for size in sizes]
    counts = [int(part) for part in exact]
    missing = max(1, round(sum(exact))) - sum(counts)
    by_remainder = sorted(range(len(sizes)), key=lambda at: counts[at] - exact[at])
    for at in by_remainder[:missing]:
        counts[at] += 1
    return counts


def _shuffled(count: int, seed: int, purpose: str) -> list[int]:
    # random() is the one draw that Python promises to keep the same across versions.
    draw = random.Random(f"{seed} {purpose}").random  # noqa: S311 - nothing secret is drawn
    keys = [draw() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)
