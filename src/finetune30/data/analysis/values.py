"""The figures of a dataset as values: what text, JSON and HTML tell in three ways.

Neighbours: figures makes them, text and page read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from finetune30.data.roles import Role


@dataclass(frozen=True)
class Histogram:
    """Rows by length: ``counts[i]`` have ``edges[i]`` or more and less than ``edges[i + 1]``; the last bin is open."""

    edges: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LengthFigures:
    """How long the texts of a split are, in one unit.

    Percentiles are lengths that occur: the shortest that the named share of rows does not exceed.
    They are exact up to 16,384, above that at most 0.02 % too small.
    """

    mean: float
    median: int
    p95: int
    p99: int
    longest: int
    histogram: Histogram


@dataclass(frozen=True)
class SplitFigures:
    """One split.

    Args:
        unlabelled: Rows that tell no label.
        label_counts: Rows that tell each label; with several labels a row they add up to more than the rows.
        tokens: None where there was no tokenizer.
        cut: Share of the rows that have more tokens than each ``data.max_length``; None as above.
    """

    rows: int
    empty: int
    unlabelled: int
    label_counts: Mapping[str, int]
    characters: LengthFigures
    words: LengthFigures
    tokens: LengthFigures | None
    cut: Mapping[int, float] | None

    def share(self, label: str) -> float:
        """Share of the labelled rows that tell this label."""
        return self.label_counts.get(label, 0) / max(1, self.rows - self.unlabelled)


@dataclass(frozen=True)
class TellingWord:
    """A word that one group of rows uses more than the others.

    Args:
        z: Weighted log-odds in standard deviations, pulled to 0 by a prior: for the order, no test of significance.
        rows: Rows of the group that hold the word, among those that were counted.
        elsewhere: Other rows that hold it.
    """

    word: str
    z: float
    rows: int
    elsewhere: int


@dataclass(frozen=True)
class LabelFigures:
    """One label in train; None and no words for labels past the thousand most frequent."""

    name: str
    rows: int
    median_words: int | None
    words: tuple[TellingWord, ...]


@dataclass(frozen=True)
class Comparison:
    """A held-out split against train.

    Args:
        label_distance: Total variation distance of the label shares, 0 (the same) to 1; None without labels.
        length_difference: Mean words of a row, less those of a train row.
        unseen_words: Share of the distinct words (in scripts without spaces: pairs of characters) that train never has.
        unseen_occurrences: Share of all words of its texts that train never has.
        words: What its texts clearly use more than those of train.
    """

    label_distance: float | None
    length_difference: float
    unseen_words: float
    unseen_occurrences: float
    words: tuple[TellingWord, ...]


@dataclass(frozen=True)
class LabelPair:
    """Two labels, and the train rows that tell both."""

    one: str
    other: str
    rows: int


@dataclass(frozen=True)
class Together:
    """Several labels a row, in train: how many a row tells, and which go together most often.

    Args:
        labels_per_row: Rows by their number of labels.
    """

    mean: float
    labels_per_row: Mapping[int, int]
    pairs: tuple[LabelPair, ...]


@dataclass(frozen=True)
class Analysis:
    """A dataset in figures.

    Args:
        label_counts: Rows of each label in all splits, by name.
        imbalance_ratio: Rows of the most frequent label over those of the rarest in all splits, two digits.
        labels: In the order of the model's outputs.
        together: None unless a row may have several labels.
        counted_rows: Train rows on which words were counted.
    """

    source: str
    max_length: int
    splits: Mapping[Role, SplitFigures]
    label_counts: Mapping[str, int]
    imbalance_ratio: float
    is_balanced: bool
    labels: tuple[LabelFigures, ...]
    comparisons: Mapping[Role, Comparison]
    together: Together | None
    counted_rows: int
    notes: tuple[str, ...] = ()

    @property
    def total_samples(self) -> int:
        """Rows of all splits."""
        return sum(split.rows for split in self.splits.values())

    @cached_property
    def by_count(self) -> tuple[LabelFigures, ...]:
        """The labels, those with most train rows first."""
        return tuple(sorted(self.labels, key=lambda label: -label.rows))

    def to_dict(self) -> dict[str, Any]:
        """All of it, in JSON types."""
        figures: dict[str, Any] = _json({"total_samples": self.total_samples, **asdict(self)})
        return figures


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [_json(part) for part in value]
    return value
