"""The figures of a dataset, told once from top to bottom.

One pass over all rows measures lengths and remembers words; what is ranked by word comes from a
sample. Memory does not grow with the rows. Neighbours: quality judges the same tables, this room
only describes them; how long a text is in tokens is told by whoever holds a tokenizer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from finetune30.data.analysis.lengths import Lengths, edges_for
from finetune30.data.analysis.measure import Measured, WordsByLabel, measure
from finetune30.data.analysis.telling import telling
from finetune30.data.analysis.values import (
    Analysis,
    Comparison,
    LabelFigures,
    LabelPair,
    SplitFigures,
    Together,
)
from finetune30.data.analysis.vocabulary import WordCounts, count_rows
from finetune30.data.labels import each, names_in, ordered, unlabelled
from finetune30.data.prepare import Found, tidied
from finetune30.data.quality.labels import BALANCED_UP_TO, count_names, ratio_of
from finetune30.data.roles import Role
from finetune30.data.table import Labels, Table

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

_LABELS_IN_DETAIL = 1_000
_CUTS = (64, 128, 256, 512)
_PAIRS_SHOWN = 20
_STANDS_OUT = 2.0


def analyze(found: Found, config: ExperimentConfig, *, lengths: Lengths | None = None) -> Analysis:
    """Describe all rows of a source, as found.

    Args:
        lengths: Counts tokens; None leaves them out.
    """
    tables = {role: _with_labels(table, found) for role, table in tidied(found.tables).items()}
    train = tables["train"]
    counts = {role: count_names(table.labels) for role, table in tables.items()}
    names = train.label_order or train.columns.flags or ordered(names_in(train.labels))
    detailed = tuple(sorted(names, key=lambda name: -counts["train"][name])[:_LABELS_IN_DETAIL])
    by_label = WordsByLabel(train, detailed)
    measured = _measured(tables, lengths, by_label)
    counted = count_rows(tables, detailed)
    total = sum(counts.values(), Counter[str]())
    ratio = ratio_of(total)
    splits = _splits(tables, counts, measured, config.data.max_length)
    several = train.columns.several or train.labels.several
    return Analysis(
        source=found.source,
        max_length=config.data.max_length,
        splits=splits,
        label_counts=dict(sorted(total.items())),
        imbalance_ratio=ratio,
        is_balanced=ratio <= BALANCED_UP_TO,
        labels=_labels(names, detailed, counts["train"], by_label, counted),
        comparisons={role: _compare(role, splits, measured, counted) for role in tables if role != "train"},
        together=_together(train.labels) if several else None,
        counted_rows=counted.train_rows,
        notes=(*found.notes, *dict.fromkeys(note for table in tables.values() for note in table.notes)),
    )


def _with_labels(table: Table, found: Found) -> Table:
    """A test split whose labels are kept secret has none, whatever its column says."""
    if not unlabelled(table, names_in(found.tables["train"].labels)):
        return table
    return replace(table, labels=Labels(np.full(len(table.labels), -1, np.int32), ()))


def _measured(tables: Mapping[Role, Table], lengths: Lengths | None, by_label: WordsByLabel) -> dict[Role, Measured]:
    """Every split, train first: the others are compared with its words."""
    train = measure(tables["train"], lengths, known=None, by_label=by_label)
    others = [role for role in tables if role != "train"]
    measured = {role: measure(tables[role], lengths, known=train.seen, by_label=None) for role in others}
    return {role: train if role == "train" else measured[role] for role in tables}


def _splits(
    tables: Mapping[Role, Table],
    counts: Mapping[Role, Counter[str]],
    measured: Mapping[Role, Measured],
    max_length: int,
) -> dict[Role, SplitFigures]:
    characters = edges_for([split.characters for split in measured.values()])
    in_words = edges_for([split.words for split in measured.values()])
    in_tokens = edges_for([split.tokens for split in measured.values() if split.tokens is not None])
    splits: dict[Role, SplitFigures] = {}
    for role, split in measured.items():
        tokens = split.tokens
        splits[role] = SplitFigures(
            rows=split.rows,
            empty=split.empty,
            unlabelled=int((tables[role].labels.codes < 0).sum()),
            label_counts=dict(sorted(counts[role].items())),
            characters=split.characters.figures(characters),
            words=split.words.figures(in_words),
            tokens=None if tokens is None else tokens.figures(in_tokens),
            cut=None if tokens is None else {at: _rounded(tokens.longer(at)) for at in _cuts(max_length)},
        )
    return splits


def _cuts(max_length: int) -> list[int]:
    return sorted({*_CUTS, max_length})


def _labels(
    names: tuple[str, ...],
    detailed: tuple[str, ...],
    counts: Counter[str],
    by_label: WordsByLabel,
    counted: WordCounts,
) -> tuple[LabelFigures, ...]:
    position = {name: at for at, name in enumerate(detailed)}
    figures = []
    for name in names:
        at = position.get(name)
        if at is None:
            figures.append(LabelFigures(name, counts[name], None, ()))
            continue
        inside = counted.by_label[at].astype(np.int64)
        told = telling(counted.words, inside, counted.by_split["train"] - inside)
        median = by_label.median(at) if counts[name] else None
        figures.append(LabelFigures(name, counts[name], median, told))
    return tuple(figures)


def _compare(
    role: Role, splits: Mapping[Role, SplitFigures], measured: Mapping[Role, Measured], counted: WordCounts
) -> Comparison:
    here, train = splits[role], splits["train"]
    known = {*here.label_counts, *train.label_counts}
    sums = sum(here.label_counts.values()), sum(train.label_counts.values())
    distance = None
    if all(sums):
        shares = ((here.label_counts.get(n, 0) / sums[0], train.label_counts.get(n, 0) / sums[1]) for n in known)
        distance = _rounded(sum(abs(one - other) for one, other in shares) / 2)
    return Comparison(
        label_distance=distance,
        length_difference=round(here.words.mean - train.words.mean, 2) if here.rows else 0.0,
        unseen_words=_rounded(measured[role].seen.share_unknown_to(measured["train"].seen)),
        unseen_occurrences=_rounded(measured[role].unseen),
        words=telling(counted.words, counted.by_split[role], counted.by_split["train"], least=_STANDS_OUT),
    )


def _together(labels: Labels) -> Together:
    rows = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.cells)).tolist()
    sizes: Counter[int] = Counter({0: int((labels.codes < 0).sum())})
    pairs: Counter[tuple[str, str]] = Counter()
    for cell, count in zip(labels.cells, rows, strict=True):
        sizes[len(each(cell))] += count
        for pair in combinations(each(cell), 2):
            pairs[pair] += count
    mean = sum(size * count for size, count in sizes.items()) / max(1, len(labels))
    most = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:_PAIRS_SHOWN]
    return Together(
        mean=round(mean, 2),
        labels_per_row={size: count for size, count in sorted(sizes.items()) if count},
        pairs=tuple(LabelPair(one, other, count) for (one, other), count in most),
    )


def _rounded(share: float) -> float:
    return round(share, 6)
