"""A word that gives the label away, such as a file name or a signature that one class always carries.

A model learns such a word instead of the task, and fails where the word is missing. Reported is a
word in many train rows of which nearly all have one label; real sentiment words are rarer or less
pure. Candidates come from a sample, so memory does not grow with the vocabulary.
Source: Gururangan et al. 2018, Annotation Artifacts in Natural Language Inference Data.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from finetune30.data.fold import whole_texts
from finetune30.data.labels import each
from finetune30.data.quality.labels import count_names
from finetune30.data.quality.report import Check, check, quoted
from finetune30.data.quality.rows import Dataset
from finetune30.data.table import Labels, shortened
from finetune30.data.words import words

_SAMPLE = 50_000
_SEED = 30
_MIN_ROWS, _MIN_SHARE, _EXPECTED_OTHERS = 10, 0.004, 5
# Of all train rows, or of the rows of the label where there are many labels: rarer words are the task itself.
_SHARE, _SHARE_OF_LABEL = 0.045, 0.6
_PURITY = 0.98
_LIFT = 1.5


def check_shortcuts(data: Dataset) -> Check:
    """The check ``shortcut``: each word with the label it gives away, its rows and its purity."""
    found = _giveaways(data, _candidates(data))
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in found.values())]))
    ranked = sorted(found.items(), key=lambda item: -len(item[1][0]))
    listed = shortened(
        f"{quoted(token)} means {quoted(label)} in {purity:.0%} of {len(of_token):,} rows"
        for (token, label), (of_token, purity) in ranked
    )
    return check(
        "shortcut",
        rows,
        listed,
        "a model learns such a word instead of the task; is it part of what users will write?",
        tokens=[
            {"token": token, "label": label, "rows": len(of_token), "purity": round(purity, 4)}
            for (token, label), (of_token, purity) in ranked
        ],
    )


def _candidates(data: Dataset) -> set[str]:
    """Words that look like giveaways in a sample of the train rows."""
    table = data.tidy["train"]
    size = len(table.texts)
    sampled = np.arange(min(size, _SAMPLE))
    if size > _SAMPLE:
        sampled = np.sort(np.random.default_rng(_SEED).choice(size, _SAMPLE, replace=False))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    for cell, text in zip(_cells(table.labels, sampled), data.texts_at(sampled), strict=True):
        found = set(words(text))
        total.update(found)
        for label in cell:
            counts[label].update(found)
    of_label = count_names(Labels(table.labels.codes[sampled], table.labels.cells))
    candidates = set()
    for label, counter in counts.items():
        # Half of what is asked for below: a sample may be off by a little.
        least = _least(len(sampled), of_label[label], _MIN_ROWS * len(sampled) / size) / 2
        candidates |= {word for word, rows in counter.items() if rows >= least and rows / total[word] >= _PURITY - 0.02}
    return candidates


def _giveaways(data: Dataset, candidates: set[str]) -> dict[tuple[str, str], tuple[NDArray[np.int64], float]]:
    """Of the candidates those that all train rows confirm, with the rows that carry word and label."""
    if not candidates:
        return {}
    table = data.tidy["train"]
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    total: Counter[str] = Counter()
    size = len(table.texts)
    for row, (cell, text) in enumerate(zip(_cells(table.labels, np.arange(size)), whole_texts(table), strict=True)):
        for word in candidates.intersection(words(text)):
            total[word] += 1
            for label in cell:
                rows[word, label].append(row)
    of_label = count_names(table.labels)
    found = {}
    for (word, label), of_word in rows.items():
        if len(of_word) < _least(size, of_label[label], _MIN_ROWS):
            continue
        purity, usual = len(of_word) / total[word], of_label[label] / size
        # Where nine of ten rows have the label, nine of ten with any word have it.
        if purity >= max(_PURITY, min(1.0, _LIFT * usual)) and total[word] * (1 - usual) >= _EXPECTED_OTHERS:
            found[word, label] = (np.array(of_word), purity)
    return found


def _cells(labels: Labels, rows: NDArray[np.int64]) -> Iterator[tuple[str, ...]]:
    """The labels of each of these rows."""
    cells = [*map(each, labels.cells), ()]  # -1 is the last: none
    return (cells[code] for code in labels.codes[rows].tolist())


def _least(rows: int, of_label: int, least: float) -> float:
    """How many rows must carry word and label."""
    return max(least, _MIN_SHARE * rows, min(_SHARE * rows, _SHARE_OF_LABEL * of_label))
