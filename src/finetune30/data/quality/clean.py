"""The safe fixes: what can be repaired without knowing what a text means.

Empty texts and what the rules drop go; HTML and control characters are taken out; labels get one
spelling; of copies that agree on the label the first stays; of a text on both sides of a split the
train copy goes, so that scores stay comparable. Rows with contradictory labels or none, near copies
and personal data are left to people. Neighbours: inspect finds, export writes the outcome.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Mapping
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

FIXES = ("empty", "too_short", "too_long", "html", "control_chars", "duplicate", "label_variant", "split_leak")
"""What can be fixed, by the names of the checks."""


@dataclass(frozen=True)
class Cleaned:
    """Tables that were fixed, and how many rows each fix touched.

    Args:
        rows: For each row of a table its position in the split it came from.
        fixes: By what was wrong: ``empty``, ``html``, ``duplicate`` and so on; only those that did something.
    """

    tables: dict[Role, Table]
    rows: dict[Role, NDArray[np.int64]]
    fixes: dict[str, int]


def clean(found: Found, config: ExperimentConfig, skip: Collection[str] = ()) -> Cleaned:
    """A copy of the tables with every safe fix made.

    Args:
        skip: Names of ``FIXES`` to leave out.
    Raises: DataError when no row of a split would be left.
    """
    fixes: Counter[str] = Counter()
    data = Dataset(found.tables, config)
    spelling = {} if "label_variant" in skip else spelling_of(data)
    mended = {role: _texts_fixed(data.tables[role], config, spelling, fixes, skip) for role in data.roles}
    tables = {role: table for role, (table, _) in mended.items()}
    fixed = Dataset(tables, config)
    there = np.fromiter((bool(text.strip()) for text in fixed.texts()), bool, len(fixed))
    there &= ~fixed.unlabelled
    copies = find_copies(fixed, there)
    leaking = np.zeros(len(fixed), bool)
    if "split_leak" not in skip:
        leaking[copies.leaking[copies.leaking < fixed.starts[1]]] = True
    if leaking.any():  # their labels contradict nothing any more
        copies = find_copies(fixed, there & ~leaking)
    torn = np.zeros(len(fixed), bool)
    torn[copies.torn] = True
    # Copies that disagree are for people to decide; removing one would choose a label at random.
    double = copies.later & ~torn & ("duplicate" not in skip)
    fixes |= Counter(duplicate=int(double.sum()), split_leak=int(leaking.sum()))
    staying = ~(double | leaking)
    parts = {
        role: np.flatnonzero(staying[fixed.starts[at] : fixed.starts[at + 1]]) for at, role in enumerate(fixed.roles)
    }
    kept = {role: _rows_of(tables[role], part) for role, part in parts.items()}
    for role, table in kept.items():
        if not len(table.texts):
            raise DataError(
                f"no {role} row would be left",
                where=found.source,
                hint="every row is empty or a copy; finetune30 data validate names them",
            )
    rows = {role: mended[role][1][part] for role, part in parts.items()}
    return Cleaned(kept, rows, {name: fixes[name] for name in FIXES if fixes[name]})


def _texts_fixed(
    table: Table, config: ExperimentConfig, spelling: Mapping[str, str], fixes: Counter[str], skip: Collection[str]
) -> tuple[Table, NDArray[np.int64]]:
    """The table with its texts and labels mended, and where each of its rows stood before."""
    writer, rows = TableWriter(table.where, table.columns, has_lines=False), array("q")
    for row, ((text, pair), label) in enumerate(zip(texts_and_pairs(table), table.labels, strict=True)):
        fixed, done = _fixed(text, skip)
        fixed_pair, done_to_pair = (None, set[str]()) if pair is None else _fixed(pair, skip)
        fault = fault_of(fixed + (fixed_pair or ""), config.data.validation_rules)
        if fault and fault not in skip:
            fixes[fault] += 1
            continue
        right = _spelt(label, spelling)
        fixes.update(done | done_to_pair | ({"label_variant"} if right != label else set()))
        writer.add(fixed, right, pair=fixed_pair)
        rows.append(row)
    order = table.label_order and tuple(dict.fromkeys(spelling.get(name, name) for name in table.label_order))
    return writer.finish(label_order=order), np.array(rows, np.int64)


def _fixed(text: str, skip: Collection[str]) -> tuple[str, set[str]]:
    """The text without HTML and control characters, and which of the two was taken out."""
    # Control characters may hide a tag, and an entity may hide a control character.
    clear = _cleared(text, skip)
    plain = without_html(clear) if "html" not in skip else clear
    if without_html(plain) != plain:  # "&lt;b&gt;" speaks about HTML; taking it out twice would take the word
        plain = clear
    done = _cleared(plain, skip)
    changes = (("control_chars", clear != text or done != plain), ("html", plain != clear))
    return done, {name for name, changed in changes if changed}


def _cleared(text: str, skip: Collection[str]) -> str:
    return without_control(text) if "control_chars" not in skip and has_control(text) else text


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
