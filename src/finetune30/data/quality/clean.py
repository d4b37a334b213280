"""The safe fixes: what can be repaired without knowing what a text means.

Empty texts and what the rules drop go; HTML and control characters are taken out; labels get one
spelling; of copies that agree on the label the first stays; of a text on both sides of a split the
train copy goes, so that scores stay comparable. Rows with contradictory labels or none, near copies
and personal data are left to people. Neighbours: inspect finds, export writes the outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune30.data.fold import texts_and_pairs
from finetune30.data.prepare import Found
from finetune30.data.quality.copies import find_copies
from finetune30.data.quality.labels import spelling_of
from finetune30.data.quality.marks import has_control, without_control
from finetune30.data.quality.rows import Dataset
from finetune30.data.roles import Role
from finetune30.data.rules import fault_of, without_html
from finetune30.data.table import Cell, Labels, Table, TableWriter
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

_PASSES = 8


@dataclass(frozen=True)
class Cleaned:
    """Tables that were fixed, and how many rows each fix touched.

    Args:
        fixes: By what was wrong: ``empty``, ``html``, ``duplicate`` and so on; only those that did something.
    """

    tables: dict[Role, Table]
    fixes: dict[str, int]


def clean(found: Found, config: ExperimentConfig) -> Cleaned:
    """A copy of the tables with every safe fix made.

    Raises: DataError when no row of a split would be left.
    """
    fixes: Counter[str] = Counter()
    data = Dataset(found.tables, config)
    spelling = spelling_of(data)
    tables = {role: _texts_fixed(data.tables[role], config, spelling, fixes) for role in data.roles}
    fixed = Dataset(tables, config)
    there = np.fromiter((bool(text.strip()) for text in fixed.texts()), bool, len(fixed))
    there &= ~fixed.unlabelled
    copies = find_copies(fixed, there)
    leaking = np.zeros(len(fixed), bool)
    leaking[copies.leaking[copies.leaking < fixed.starts[1]]] = True
    if leaking.any():  # their labels contradict nothing any more
        copies = find_copies(fixed, there & ~leaking)
    torn = np.zeros(len(fixed), bool)
    torn[copies.torn] = True
    # Copies that disagree are for people to decide; removing one would choose a label at random.
    double = copies.later & ~torn
    fixes |= Counter(duplicate=int(double.sum()), split_leak=int(leaking.sum()))
    staying = ~(double | leaking)
    kept = {
        role: _rows_of(tables[role], np.flatnonzero(staying[fixed.starts[at] : fixed.starts[at + 1]]))
        for at, role in enumerate(fixed.roles)
    }
    for role, table in kept.items():
        if not len(table.texts):
            raise DataError(
                f"no {role} row would be left",
                where=found.source,
                hint="every row is empty or a copy; finetune30 data validate names them",
            )
    return Cleaned(kept, {name: count for name, count in fixes.items() if count})


def _texts_fixed(table: Table, config: ExperimentConfig, spelling: Mapping[str, str], fixes: Counter[str]) -> Table:
    writer = TableWriter(table.where, table.columns, has_lines=False)
    for (text, pair), label in zip(texts_and_pairs(table), table.labels, strict=True):
        fixed, done = _fixed(text)
        fixed_pair, done_to_pair = (None, set[str]()) if pair is None else _fixed(pair)
        fault = fault_of(fixed + (fixed_pair or ""), config.data.validation_rules)
        if fault:
            fixes[fault] += 1
            continue
        right = _spelt(label, spelling)
        fixes.update(done | done_to_pair | ({"label_variant"} if right != label else set()))
        writer.add(fixed, right, pair=fixed_pair)
    order = table.label_order and tuple(dict.fromkeys(spelling.get(name, name) for name in table.label_order))
    return writer.finish(label_order=order)


def _fixed(text: str) -> tuple[str, set[str]]:
    """The text without HTML and control characters, and which of the two it held."""
    done: set[str] = set()
    # Again, because each may hide the other, or itself: "&lt;br&gt;".
    for _ in range(_PASSES):
        plain = without_html(text)
        clear = without_control(plain) if has_control(plain) else plain
        done |= {name for name, changed in (("html", plain != text), ("control_chars", clear != plain)) if changed}
        if clear == text:
            break
        text = clear
    return text, done


def _spelt(label: Cell, spelling: Mapping[str, str]) -> Cell:
    if isinstance(label, tuple):
        return tuple(sorted({spelling.get(name, name) for name in label}))
    return None if label is None else spelling.get(label, label)


def _rows_of(table: Table, rows: NDArray[np.int64]) -> Table:
    return replace(
        table,
        texts=table.texts.take(rows),
        pairs=None if table.pairs is None else table.pairs.take(rows),
        labels=Labels(table.labels.codes[rows], table.labels.cells),
    )
