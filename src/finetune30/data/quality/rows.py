"""All rows of a dataset under one numbering: train first, then validation, then test.

Checks that compare splits number rows through; a report names them by split again.
Neighbours: every check reads a ``Dataset``; report writes the names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finetune30.data.fold import texts_and_pairs, whole, whole_texts
from finetune30.data.labels import names_in, unlabelled
from finetune30.data.prepare import tidied
from finetune30.data.roles import Role
from finetune30.data.table import Labels, Table, smallest_for

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

_PORTION_ROWS, _PORTION_CHARACTERS = 8_192, 1 << 19
_ROLES: tuple[Role, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """The tables of a source as found, and the configuration whose rules apply."""

    tables: Mapping[Role, Table]
    config: ExperimentConfig

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """The splits there are, in the order of the numbering."""
        return tuple(role for role in _ROLES if role in self.tables)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Number of the first row of each split; one more at the end: of all rows."""
        return np.concatenate([[0], np.cumsum([len(self.tables[role].texts) for role in self.roles])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def split_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Position in ``roles`` of each row's split."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def by_split(self, rows: NDArray[np.int64]) -> dict[Role, NDArray[np.int64]]:
        """Rows as positions in their splits, ascending; splits with none are left out."""
        rows = np.unique(rows)
        of = self.split_of(rows)
        parts = ((role, rows[of == at] - self.starts[at]) for at, role in enumerate(self.roles))
        return {role: part for role, part in parts if len(part)}

    def names(self, rows: NDArray[np.int64]) -> Iterator[str]:
        """``train:17`` for each row, ascending."""
        for role, part in self.by_split(rows).items():
            yield from (f"{role}:{row}" for row in part)

    def texts(self) -> Iterator[str]:
        """Every row's text, both texts of a pair, in the order of the numbering."""
        for role in self.roles:
            yield from whole_texts(self.tables[role])

    def texts_and_pairs(self) -> Iterator[tuple[str, str | None]]:
        """Every row's text and second text, in the order of the numbering."""
        for role in self.roles:
            yield from texts_and_pairs(self.tables[role])

    def columns_at(self, rows: NDArray[np.int64]) -> tuple[list[str], list[str]]:
        """The texts of some rows, and their second texts (none at all where rows have one).

        Args:
            rows: Ascending, each once.
        """
        texts: list[str] = []
        pairs: list[str] = []
        of = self.split_of(rows)
        for at, role in enumerate(self.roles):
            table = self.tables[role]
            part = rows[of == at] - self.starts[at]
            texts += table.texts.take(part)
            pairs += [] if table.pairs is None else table.pairs.take(part)
        return texts, pairs

    def texts_at(self, rows: NDArray[np.int64]) -> list[str]:
        """The texts of some rows, both of a pair; ``rows`` as in ``columns_at``."""
        texts, pairs = self.columns_at(rows)
        return [whole(text, pair) for text, pair in zip(texts, pairs, strict=True)] if pairs else texts

    @cached_property
    def tidy(self) -> Mapping[Role, Table]:
        """The tables with labels as a run reads them: no white space around, a set where there may be several."""
        return tidied(dict(self.tables))

    @cached_property
    def silent(self) -> bool:
        """Whether the test split keeps its labels to itself, as those of benchmarks do; a run leaves it out."""
        return "test" in self.tables and unlabelled(self.tidy["test"], names_in(self.tidy["train"].labels))

    @property
    def unlabelled(self) -> NDArray[np.bool_]:
        """Shape (rows,): rows that tell no label where they should."""
        missing = self.labels < 0
        if self.silent:
            missing[self.starts[self.roles.index("test")] :] = False
        return missing

    @cached_property
    def labels(self) -> NDArray[np.signedinteger[Any]]:
        """A number for each row's label as a run reads it, the same in all splits; -1 for none."""
        known: dict[object, int] = {}
        parts = []
        for role in self.roles:
            labels = self.tidy[role].labels
            if role == "test" and self.silent:
                labels = Labels(np.full(len(labels), -1, np.int32), ())
            numbers = [known.setdefault(cell, len(known)) for cell in labels.cells]
            parts.append(np.array([*numbers, -1], np.int32)[labels.codes].astype(smallest_for(len(known)), copy=False))
        return np.concatenate(parts)


def portions(texts: Iterator[str]) -> Iterator[list[str]]:
    """All texts in lists of bounded size, whatever their lengths."""
    portion: list[str] = []
    characters = 0
    for text in texts:
        portion.append(text)
        characters += len(text)
        if len(portion) >= _PORTION_ROWS or characters >= _PORTION_CHARACTERS:
            yield portion
            portion, characters = [], 0
    if portion:
        yield portion
