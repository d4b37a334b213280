"""The rows an experiment uses, and the two ways their number shrinks: cutting and sampling.

Both depend on the seed and the rows alone: not on hashes, not on the machine. A larger sample holds
the smaller one of the same seed. Neighbours: prepare builds Splits, training only reads them.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
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
            for label, text, pair in zip(self.named(split.labels), split.texts, pairs, strict=False):
                # The order of a model's outputs is no part of the rows: several labels of a row are a set.
                labels = sorted(label) if isinstance(label, list) else label
                # JSON, because joined strings could be cut in two places and hash the same.
                digest.update(json.dumps([name, labels, text, *([] if pair is None else [pair])]).encode("ascii"))
        return digest.hexdigest()

    def named(self, labels: NDArray[np.int64]) -> Iterator[str | list[str]]:
        """The label of each row by name; with ``multi_label`` a list of names."""
        if not self.multi_label:
            return (self.label_names[label] for label in labels)
        return ([self.label_names[at] for at in np.flatnonzero(row)] for row in labels)


def cut(
    labels: NDArray[np.int32], share: float, seed: int, texts: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions that stay in train and positions for validation, each ascending.

    Every label gives its share, to the nearest row; one with a single row gives none. No text is on
    both sides: those that occur once go first, and only where there are none do all copies of a
    text go together. Both parts hold rows, unless nothing can be given: then the second is empty.

    Args:
        texts: Shape (rows,): equal numbers for equal texts.
    Source: largest remainder apportionment, ties to the label met first.
    """
    shuffled = _shuffled(len(labels), seed, "validation cut")
    _, of_text, copies = np.unique(texts, return_inverse=True, return_counts=True)
    once = copies[of_text] == 1
    met, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = first.argsort()
    groups = [(label, size) for label, size in zip(met[order], sizes[order].tolist(), strict=True) if size > 1]
    taken = np.zeros(len(labels), bool)
    for (label, _), count in zip(groups, _shares([size for _, size in groups], share), strict=True):
        candidates = shuffled[(labels[shuffled] == label) & once[shuffled]]
        taken[candidates[:count]] = True
    if not taken.any():
        taken = _whole_texts(labels, of_text, shuffled, share)
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def _whole_texts(
    labels: NDArray[np.int32], of_text: NDArray[np.int64], shuffled: NDArray[np.int64], share: float
) -> NDArray[np.bool_]:
    """Rows to give where every text occurs several times: all copies of some texts, no label wholly."""
    taken = np.zeros(len(labels), bool)
    by_text = np.argsort(of_text, kind="stable")
    starts = np.append(np.searchsorted(of_text[by_text], np.arange(of_text.max() + 1)), len(labels))
    _, label_of = np.unique(labels, return_inverse=True)
    staying, given = np.bincount(label_of), 0
    for text in dict.fromkeys(of_text[shuffled].tolist()):
        if given >= share * len(labels):
            break
        copies = by_text[starts[text] : starts[text + 1]]
        leaving = np.bincount(label_of[copies], minlength=len(staying))
        if ((leaving == 0) | (staying > leaving)).all():
            taken[copies] = True
            staying, given = staying - leaving, given + len(copies)
    return taken


def sample(available: int, wanted: int, seed: int, purpose: str) -> NDArray[np.int64]:
    """``wanted`` of ``available`` positions at random, ascending."""
    return np.sort(_shuffled(available, seed, purpose)[:wanted])


def by_name(labels: NDArray[np.int64], names: Sequence[str]) -> dict[str, int]:
    """Rows of each label, every label listed."""
    counted = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(names))
    return {name: int(rows) for name, rows in zip(names, counted, strict=True)}


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


def _shuffled(count: int, seed: int, purpose: str) -> NDArray[np.int64]:
    # random() is the one draw that Python promises to keep the same across versions.
    draw = random.Random(f"{seed} {purpose}").random  # noqa: S311 - nothing secret is drawn
    return np.argsort(np.fromiter((draw() for _ in range(count)), np.float64, count), kind="stable")
