"""The same text twice: duplicates in a split, leaks between splits, one text with two labels.

The same means equal after folding case and white space. Neighbours: keys finds equal rows, near
looks for those that are nearly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.data.fold import folded_whole, key_of, whole
from finetune30.data.quality.keys import KeyFile
from finetune30.data.quality.rows import Dataset

_AT_ONCE = 1_024


@dataclass(frozen=True)
class Copies:
    """What is the same.

    Args:
        later: Shape (rows,): whether an earlier row of the same split holds the same text.
        exact: Rows of ``later`` whose text is the same to the letter.
        leaked: Shape (rows,): a validation or test row whose text is in train.
        leaking: Rows involved in a leak, those of train included.
        torn: Rows whose text has different labels somewhere.
        torn_texts: How many texts have different labels, in all.
        torn_in: How many have within each split, by split; ``across`` counts those whose labels differ
            only between splits.
    """

    later: NDArray[np.bool_]
    exact: int
    leaked: NDArray[np.bool_]
    leaking: NDArray[np.int64]
    torn: NDArray[np.int64]
    torn_texts: int
    torn_in: dict[str, int]


def find_copies(data: Dataset, there: NDArray[np.bool_]) -> Copies:
    """All copies among the rows that are there (not empty)."""
    folded_keys, exact_keys = KeyFile(), KeyFile()
    _write_keys(data, folded_keys, exact_keys)
    later, leaked = np.zeros(len(data), bool), np.zeros(len(data), bool)
    leaking, torn = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    torn_texts, torn_in = 0, dict.fromkeys([*data.roles, "across"], 0)
    for groups in folded_keys.groups(there):
        rows, group, split = groups.rows, groups.group_of, data.split_of(groups.rows)
        later[rows[1:][(group[1:] == group[:-1]) & (split[1:] == split[:-1])]] = True
        in_train, beyond = _any(split == 0, groups.starts), _any(split > 0, groups.starts)
        leak = (in_train & beyond)[group] & (data.roles[0] == "train")
        leaked[rows[leak & (split > 0)]] = True
        leaking.append(rows[leak])
        labels = data.labels[rows]
        two = _differ(labels, groups.starts)
        torn.append(rows[two[group] & (labels >= 0)])
        within = np.zeros_like(two)
        for at, role in enumerate(data.roles):
            differing = _differ(np.where(split == at, labels, -1), groups.starts)
            torn_in[role] += int(differing.sum())
            within |= differing
        torn_texts += int(two.sum())
        torn_in["across"] += int((two & ~within).sum())
    exact = np.zeros(len(data), bool)
    for groups in exact_keys.groups(there):
        split = data.split_of(groups.rows)
        same = (groups.group_of[1:] == groups.group_of[:-1]) & (split[1:] == split[:-1])
        exact[groups.rows[1:][same]] = True
    folded_keys.close()
    exact_keys.close()
    return Copies(
        later,
        exact=int((exact & later).sum()),
        leaked=leaked,
        leaking=np.sort(np.concatenate(leaking)),
        torn=np.sort(np.concatenate(torn)),
        torn_texts=torn_texts,
        torn_in=torn_in,
    )


def _write_keys(data: Dataset, folded_keys: KeyFile, exact_keys: KeyFile) -> None:
    rows = data.texts_and_pairs()
    while portion := list(islice(rows, _AT_ONCE)):
        folded_keys.append(np.array([key_of(folded_whole(*row)) for row in portion], np.uint64))
        exact_keys.append(np.array([key_of(whole(*row)) for row in portion], np.uint64))


def _any(flags: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.logical_or.reduceat(flags, starts)
    return found


def _differ(labels: NDArray[np.signedinteger[Any]], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a group's labels differ; -1 is no label."""
    highest = np.maximum.reduceat(labels, starts)
    lowest = np.minimum.reduceat(np.where(labels < 0, np.iinfo(labels.dtype).max, labels), starts)
    differ: NDArray[np.bool_] = lowest < highest
    return differ
