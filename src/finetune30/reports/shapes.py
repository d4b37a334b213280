"""What reports say, as plain values: the API answers them and the command line prints them.

No numpy here: who only describes an answer need not wait for it. Neighbours: ``predictions``, ``flips`` and ``compare``
fill these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Name = str | list[str]
Order = Literal["row", "worst", "best"]
Kind = Literal["any", "gained", "lost", "changed"]


@dataclass(frozen=True)
class Answer:
    """One row and what was answered.

    Attributes:
        position: In the validation split as it was used; ``row`` is that in the source.
        label, predicted: By name; lists where a row may have several labels.
        certainty: Probability that was given to the right answer; of several labels the least.
        probabilities: Of each label.
    """

    position: int
    row: int
    text: str | None
    pair: str | None
    label: Name
    predicted: Name
    right: bool
    certainty: float | None
    probabilities: dict[str, float | None]


@dataclass(frozen=True)
class Counts:
    """How the answers of a run (``to``) differ from those of the first (``since``), over the rows both have.

    Attributes:
        gained: Wrong before, right now.
        lost: Right before, wrong now.
        changed: Wrong both times, in different ways.
        p_value: How often luck alone would give a difference between gained and lost at least as large.
    """

    since: str
    to: str
    both_right: int
    both_wrong: int
    gained: int
    lost: int
    changed: int
    p_value: float


@dataclass(frozen=True)
class Said:
    """What one run answered to a row."""

    id: str
    predicted: Name
    right: bool
    certainty: float | None


@dataclass(frozen=True)
class FlippedRow:
    """A row that a run answers differently from the first one. ``position`` and ``row`` are the first one's."""

    position: int
    row: int
    text: str | None
    pair: str | None
    label: Name
    answers: list[Said]


@dataclass(frozen=True)
class Side:
    """One of the runs."""

    id: str
    name: str
    owner: str
    status: str
    base_model: str
    dataset: str
    dataset_hash: str | None
    created_at: float


@dataclass(frozen=True)
class KeyDifference:
    """A key of the configuration; its value in each run, in their order."""

    key: str
    values: list[Any]


@dataclass(frozen=True)
class FigureRow:
    """A figure in each run, in their order; None where a run has none."""

    figure: str
    values: list[int | float | None]


@dataclass(frozen=True)
class ClassRow:
    """A figure of one label in each run."""

    split: str
    label: str
    figure: str
    values: list[int | float | None]


@dataclass(frozen=True)
class Confusion:
    """``[label][predicted]`` counts of one run; of several labels ``[[tn, fp], [fn, tp]]`` for each."""

    id: str
    split: str
    labels: list[str]
    counts: list[Any]


@dataclass(frozen=True)
class EvaluatedRows:
    """Whether the runs were evaluated on the same rows.

    Attributes:
        match: ``same``: the same version of data. ``shared``: different data, of which ``rows`` rows have the same
            text and label in all. ``unknown``: nobody can tell, and ``why`` says so.
        rows: That all runs have; None where it is unknown.
        of: Validation rows of each run.
    """

    match: Literal["same", "shared", "unknown"]
    rows: int | None
    of: list[int | None]
    why: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Everything.

    Attributes:
        same_keys: Keys of the configuration with one value in all runs.
        flips: Of each run but the first; empty where rows cannot be matched.
        flipped: Rows that some run answers differently from the first, of the kind asked for.
        next: For ``after``, where there are more of them.
    """

    runs: list[Side]
    configuration: list[KeyDifference]
    same_keys: int
    figures: list[FigureRow]
    per_class: list[ClassRow]
    confusion: list[Confusion]
    evaluated: EvaluatedRows
    flips: list[Counts] = field(default_factory=list)
    flipped: list[FlippedRow] = field(default_factory=list)
    flipped_rows: int = 0
    next: int | None = None
