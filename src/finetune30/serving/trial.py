"""What a merged copy is tried on before it answers anybody, and what it must answer.

Texts are those of the evaluation split, up to 512 of them, evenly spread; where the split is not at hand (its folder
was deleted, or is on another machine), or holds fewer than 32, those on which adapters are tried when they are loaded,
and the last that were asked for. The shared base answers them as it would answer a request; so does the copy. Both are
computed by the lane, a few rows at a time, between what is asked.
Neighbours: ``hot`` decides; ``evaluated`` reads the split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune30.modeling.predict import probabilities_of
from finetune30.modeling.shared import Adapter, Row, SharedBase
from finetune30.modeling.shared.body import Format
from finetune30.modeling.shared.merging import Merged
from finetune30.modeling.shared.reading import Read
from finetune30.modeling.shared.rounding import MOVED, NOISE, Rounding
from finetune30.modeling.task import Task
from finetune30.serving.evaluated import MOST_ROWS
from finetune30.serving.lane import Engine, Lane, Logits
from finetune30.serving.probes import PROBES, PROBES_TOKENS

if TYPE_CHECKING:
    from finetune30.serving.host import Live

# Of the issue: what a probability may differ by.
_APART = 0.01
# A split of fewer rows says too little.
_FEWEST = 32
_AT_ONCE = 6
# So many rows, or up to twice as many, are computed in float32 as well.
_EXACT = 128
# Drift that is made larger begins here.
_LEAST = 1e-3
# More rows than these, of a hundred, computed twice on the copy and once on the base: then it is no gain.
_AGAIN = 3


class Differs(Exception):
    """What the copy answered otherwise."""


@dataclass(frozen=True)
class Trial:
    """Rows, and what the shared base answers.

    Attributes:
        told: What they are, in words.
        probes: The first so many rows are of no split.
        check: Raises when the trial is to end.
    """

    live: Live
    rows: Sequence[Row]
    probes: int
    told: str
    lane: Lane
    check: Callable[[], None]

    @classmethod
    def of(cls, live: Live, recent: Sequence[Read], lane: Lane, check: Callable[[], None]) -> Trial:
        """The trial of an adapter; see the module."""
        pairs = live.task.text_pair
        probes = live.reader.read(PROBES, PROBES[::-1] if pairs else None, PROBES_TOKENS)
        split = live.found.evaluated()[:MOST_ROWS]
        told = f"{len(split)} texts of the evaluation split"
        if len(split) < _FEWEST:
            told, more = f"{len(recent)} texts that were asked for, {len(PROBES)} of ours", list(recent)
        else:
            firsts, seconds = [first for first, _ in split], [second or "" for _, second in split]
            more = []
            for at in range(0, len(split), _AT_ONCE):
                some = slice(at, at + _AT_ONCE)
                more += live.reader.read(firsts[some], seconds[some] if pairs else None, live.found.max_length)
        rows = [Row(one.ids, one.types, live.adapter) for one in (*probes, *more)]
        return cls(live, rows, len(probes), told, lane, check)

    def passed(self, merged: Merged) -> Merged:
        """The copy, knowing what its number format does to its answers.

        Raises: Differs where it answers otherwise than the base.
        """
        engine, task = _base(self.live), self.live.task
        wanted, fast = self._computed(engine), self._computed(Format(engine, merged.compute, merged.head))
        exact: dict[int, NDArray[np.float32]] = {}
        again = 0
        if engine.precision != "float32":
            merged = replace(merged, rounding=self._rounding(fast, exact))
            if merged.rounding.hopeless:
                raise Differs(f"its answers are noise in {engine.precision} ({self.told})")
            doubted = [at for at, one in enumerate(fast) if merged.rounding.doubts(one)]
            self._add(exact, [at for at in doubted if at not in exact])
            again = len(doubted) - sum(_adapter(self.live).rounding.doubts(one) for one in wanted)
            fast = [exact[at] if at in doubted else one for at, one in enumerate(fast)]
        before, after = (probabilities_of(np.stack(one), multi_label=task.multi_label) for one in (wanted, fast))
        if not np.isfinite(after).all():
            raise Differs("its answers are no numbers")
        labels = (task.given if task.multi_label else _best)(before) != (task.given if task.multi_label else _best)(
            after
        )
        other, moved = int(labels.any(axis=1).sum()), float(np.abs(before - after).max(initial=0.0))
        if other or moved > _APART:
            raise Differs(
                f"{other} of {len(self.rows)} labels differ, a probability by up to {moved:.4f} ({self.told})"
            )
        if 100 * again > _AGAIN * len(self.rows):
            raise Differs(f"{again} of {len(self.rows)} rows more would be computed in float32 as well ({self.told})")
        return merged

    def _rounding(self, fast: Logits, exact: dict[int, NDArray[np.float32]]) -> Rounding:
        """As an adapter's, then stricter until no row of the rest that it trusts has moved too far.

        Args:
            exact: Has the logits of what was looked at in float32 afterwards.
        """
        task = self.live.task
        few, many = range(self.probes), range(self.probes, len(self.rows), self._step)
        self._add(exact, [*few, *many])
        rounding = Rounding.seen(task, np.stack([fast[at] for at in few]), np.stack([exact[at] for at in few]))
        far = [fast[at] for at in many if _moved(task, fast[at], exact[at]) > MOVED]
        while not rounding.hopeless and not all(rounding.doubts(one) for one in far):
            drift = max(1.2 * rounding.drift, _LEAST)
            rounding = Rounding(task, drift if drift <= NOISE else np.inf)
        return rounding

    @property
    def _step(self) -> int:
        return max(1, (len(self.rows) - self.probes) // _EXACT)

    def _add(self, exact: dict[int, NDArray[np.float32]], places: Sequence[int]) -> None:
        exact |= zip(places, self._computed(_base(self.live).exact, [self.rows[at] for at in places]), strict=True)

    def _computed(self, engine: Engine, rows: Sequence[Row] | None = None) -> Logits:
        found: Logits = []
        rows = self.rows if rows is None else rows
        for at in range(0, len(rows), _AT_ONCE):
            self.check()
            found += self.lane.ask(engine, rows[at : at + _AT_ONCE], bounded=False).result()
        return found


def _moved(task: Task, fast: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    found, wanted = (probabilities_of(one[None], multi_label=task.multi_label) for one in (fast, exact))
    return float(np.abs(found - wanted).max())


def _best(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    best: NDArray[np.int64] = probabilities.argmax(axis=1, keepdims=True)
    return best


def _base(live: Live) -> SharedBase:
    assert isinstance(live.engine, SharedBase)  # noqa: S101 - ``hot`` has looked
    return live.engine


def _adapter(live: Live) -> Adapter:
    assert isinstance(live.adapter, Adapter)  # noqa: S101 - ``hot`` has looked
    return live.adapter
