"""Words of scripts without spaces, found in the texts themselves.

Characters that stand side by side far more often than by chance belong together: a run such as
``服務員很親切`` falls into ``服務員 很 親切``. No dictionary is loaded, so product names and slang
are found like anything else. Neighbours: vocabulary counts these words; pairs of characters, which
data.words gives, tell as much to a machine but do not read like words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from finetune30.data.words import runs

PAIRS_HELD = 500_000
_LEAST_PAIRS = 2
_LEAST_LIFT = 3.0
_FAR_STRONGER = 10.0
_EDGE = 1.0  # where a run begins or ends, something known sets a character apart


def trim(counts: Counter[str], held: int) -> None:
    """Forget the rarest of more than ``held`` entries, until half of that is left."""
    if len(counts) <= held:
        return
    least = 0
    while len(counts) > held // 2:
        least += 1
        for key in [key for key, count in counts.items() if count <= least]:
            del counts[key]


class Segments:
    """How to cut runs of characters into words, learned from some texts.

    The lift of a pair is how many times as often it occurs as its two characters would by chance.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        singles: Counter[str] = Counter()
        pairs: Counter[str] = Counter()
        for text in texts:
            dense_runs = [run for run, dense in runs(text) if dense]
            singles.update("".join(dense_runs))
            pairs.update([one + other for run in dense_runs for one, other in pairwise(run)])
            trim(pairs, PAIRS_HELD)
        total = singles.total()
        self._lift = {
            pair: count * total / (singles[pair[0]] * singles[pair[1]])
            for pair, count in pairs.items()
            if count >= _LEAST_PAIRS
        }

    def words(self, text: str) -> list[str]:
        """The words of a text in order, in small letters; single characters of unknown company are left out."""
        found: list[str] = []
        for run, dense in runs(text):
            if dense:
                found += self._cut(run)
            else:
                found.append(run)
        return found

    def _cut(self, run: str) -> list[str]:
        """Cut where a pair is weak, or far weaker than one beside it."""
        lifts = [*(self._lift.get(one + other, 0.0) for one, other in pairwise(run)), 0.0]
        found: list[str] = []
        begin, before, entered = 0, 0.0, _EDGE
        for at, (lift, after) in enumerate(pairwise(lifts), start=1):
            if lift < _LEAST_LIFT or lift * _FAR_STRONGER < before or lift * _FAR_STRONGER < after:
                # A character alone is a word where pairs that are known, and weak, set it apart.
                if at - begin > 1 or (entered and lift):
                    found.append(run[begin:at])
                begin, entered = at, lift
            before = lift
        if len(run) - begin > 1 or entered:
            found.append(run[begin:])
        return found
