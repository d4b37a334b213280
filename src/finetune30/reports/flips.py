"""Which rows two runs answer differently: the rows both have, matched by position or by what is in them.

Runs on the same version of data have the same rows in the same order. Others share the rows whose text and label
are equal, where the texts of both are kept. Neighbours: ``predictions`` reads a run's answers, ``compare`` tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune30.reports.predictions import Predictions
from finetune30.reports.shapes import Counts, FlippedRow, Kind, Said


class Flips:
    """The rows that all runs share.

    Args:
        ids: Of the runs, the one the others are compared with first.
        places: For each run, positions of the shared rows, in the order of the first.
    """

    def __init__(self, ids: Sequence[str], runs: Sequence[Predictions], places: Sequence[NDArray[np.int64]]) -> None:
        self._ids, self._runs, self._places = ids, runs, places
        self._right = [run.right[at] for run, at in zip(runs, places, strict=True)]
        self._answers = _in_common(runs, places)

    def __len__(self) -> int:
        return len(self._places[0])

    def counts(self) -> list[Counts]:
        """Of each run but the first."""
        return [self._counted(at) for at in range(1, len(self._ids))]

    def kept(self, kind: Kind) -> NDArray[np.int64]:
        """Which of the shared rows some run answers so, compared with the first."""
        found = np.zeros(len(self), bool)
        for at in range(1, len(self._ids)):
            masks = self._masks(at)
            for one in ("gained", "lost", "changed") if kind == "any" else (kind,):
                found |= masks[one]
        return np.flatnonzero(found)

    def rows(self, shared: NDArray[np.int64]) -> list[FlippedRow]:
        """Some of the shared rows.

        Raises: StorageError.
        """
        first = self._runs[0].rows(self._places[0][shared])
        return [
            FlippedRow(one.position, one.row, one.text, one.pair, one.label, self._said(at))
            for at, one in zip(shared.tolist(), first, strict=True)
        ]

    def _said(self, shared: int) -> list[Said]:
        told = []
        for id, run, places in zip(self._ids, self._runs, self._places, strict=True):
            at = int(places[shared])
            certainty = float(run.certainty[at])
            told.append(
                Said(
                    id,
                    run.spoken_at(at),
                    bool(run.right[at]),
                    round(certainty, 6) if math.isfinite(certainty) else None,
                )
            )
        return told

    def _masks(self, at: int) -> dict[str, NDArray[np.bool_]]:
        before, now = self._right[0], self._right[at]
        differs = self._answers[0] != self._answers[at]
        return {"gained": ~before & now, "lost": before & ~now, "changed": ~before & ~now & differs}

    def _counted(self, at: int) -> Counts:
        masks = {kind: int(mask.sum()) for kind, mask in self._masks(at).items()}
        before, now = self._right[0], self._right[at]
        return Counts(
            self._ids[0],
            self._ids[at],
            int((before & now).sum()),
            int((~before & ~now).sum()),
            **masks,
            p_value=p_value(masks["gained"], masks["lost"]),
        )


def shared_rows(runs: Sequence[Predictions], *, same_version: bool) -> list[NDArray[np.int64]] | None:
    """For each run, positions of the rows that all have; None where nobody can know.

    Args:
        same_version: All used the same version of data.
    Raises: StorageError.
    """
    if same_version and len({len(run) for run in runs}) == 1:
        return [np.arange(len(run)) for run in runs]
    keys = [run.keys() for run in runs]
    known = [one for one in keys if one is not None]
    if len(known) < len(runs):
        return None
    common = known[0]
    for one in known[1:]:
        common = np.intersect1d(common, one, assume_unique=True)
    first = np.flatnonzero(np.isin(known[0], common, assume_unique=True))
    found = [first]
    for one in known[1:]:
        order = np.argsort(one)
        found.append(order[np.searchsorted(one, known[0][first], sorter=order)])
    return found


def p_value(gained: int, lost: int) -> float:
    """Chance of so uneven a split of the flipped rows, or a more uneven one, if each side were as likely.

    Source: McNemar's test, exact (two-sided binomial).
    """
    rows, fewer = gained + lost, min(gained, lost)
    log_whole = math.lgamma(rows + 1) - rows * math.log(2)
    tail = math.fsum(math.exp(log_whole - math.lgamma(k + 1) - math.lgamma(rows - k + 1)) for k in range(fewer + 1))
    return min(1.0, 2 * tail)


def _in_common(runs: Sequence[Predictions], places: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Answers as numbers that mean the same in every run: labels may have other ids there."""
    known: dict[str | tuple[str, ...], int] = {}
    found = []
    for run, at in zip(runs, places, strict=True):
        # The order of several labels is the order of a model's outputs, which is no part of the answer.
        names = [one if isinstance(one, str) else tuple(sorted(one)) for one in run.spoken]
        numbers = np.array([known.setdefault(name, len(known)) for name in names], np.int64)
        found.append(numbers[run.answers[at]])
    return found
