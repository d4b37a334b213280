"""From the tables of a source to the splits of an experiment, told once from top to bottom.

tidy labels → rules → labels known and present → cut a missing validation split → sample → number
the labels. Neighbours: sources brings the tables, each step lives in a room of its own. The issue
of data quality will look at the tables between rules and cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune30.data import labels, rules, splits
from finetune30.data.roles import Role
from finetune30.data.splits import Split, Splits
from finetune30.data.table import Table, shortened
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig


@dataclass(frozen=True)
class Found:
    """What a source holds: a table for each split there is, ``train`` always among them."""

    source: str
    tables: dict[Role, Table]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """Rows of one split on their way: what is still in, and the counts so far."""

    rows: list[int]
    texts: list[str]
    names: list[str]
    counts: dict[str, Any] = field(default_factory=dict)

    def take(self, positions: Sequence[int], **counts: Any) -> _Part:
        return _Part(
            [self.rows[at] for at in positions],
            [self.texts[at] for at in positions],
            [self.names[at] for at in positions],
            self.counts | counts,
        )


def prepare(found: Found, config: ExperimentConfig) -> Splits:
    """The splits of an experiment.

    Raises: DataError when rows, labels or their number do not allow training.
    """
    data = config.data
    tables = {role: labels.tidied(table) for role, table in found.tables.items()}
    notes = [*found.notes, *(note for table in tables.values() for note in table.notes)]
    parts: dict[Role, _Part] = {"train": _usable(tables["train"], "train", config, notes)}
    names = labels.names_of(tables["train"])
    labels.check_count(names, config.model.num_labels, tables["train"].where)
    known = labels.ordered({label for label in tables["train"].labels if label is not None})
    for role, table in tables.items():
        if role == "test" and labels.unlabelled(table, known):
            notes.append(f"test split left out: none of its {len(table.texts)} rows has a label")
        elif role != "train":
            parts[role] = _usable(table, role, config, notes)
            labels.check_known(table, parts[role].rows, known)
    if "validation" not in parts:
        parts["train"], parts["validation"] = _cut(parts["train"], config, tables["train"].where, notes)
    wanted: dict[Role, int | None] = {"train": data.train_samples, "validation": data.eval_samples}
    for role, count in wanted.items():
        shown = known if role == "train" else parts[role].names
        parts[role] = _sampled(parts[role], role, count, config.seed, notes)
        _note_vanished(role, shown, parts[role], notes)
    _check_classes(parts["train"], tables["train"].where)
    numbered = {role: _numbered(part, names) for role, part in parts.items()}
    return Splits(
        train=numbered["train"],
        validation=numbered["validation"],
        test=numbered.get("test"),
        label_names=names,
        source=found.source,
        notes=tuple(dict.fromkeys(notes)),
        counts={role: _counted(part, numbered[role], names) for role, part in parts.items()},
    )


def _usable(table: Table, role: Role, config: ExperimentConfig, notes: list[str]) -> _Part:
    kept = rules.keep(table, config.data.validation_rules)
    labels.check_present(table, kept.rows)
    dropped = ", ".join(f"{count} {rule.replace('_', ' ')}" for rule, count in kept.dropped.items() if count)
    if dropped:
        notes.append(f"{role}: rows dropped: {dropped}")
    if kept.stripped:
        notes.append(f"{role}: HTML stripped from {kept.stripped} rows")
    counts = {"read": len(table.texts), "dropped": kept.dropped, "stripped": kept.stripped, "cut": 0}
    names = [table.labels[row] or "" for row in kept.rows]  # none is missing: just checked
    return _Part(kept.rows, kept.texts, names, counts)


def _cut(train: _Part, config: ExperimentConfig, where: str, notes: list[str]) -> tuple[_Part, _Part]:
    staying, leaving = splits.cut(train.names, config.data.validation_size, config.seed)
    if not leaving:
        raise DataError(
            "there is no validation split and none can be cut: every label has one row",
            where=where,
            hint="give more rows for each label, or a validation file beside the train file",
        )
    notes.append(
        f"validation: {len(leaving)} of {len(train.rows)} train rows, cut in equal shares of each label"
        f" with seed {config.seed}"
    )
    nothing = dict.fromkeys(train.counts["dropped"], 0)
    rows_read = {"read": len(leaving), "dropped": nothing, "stripped": 0}
    return train.take(staying, cut=len(leaving)), train.take(leaving, **rows_read)


def _sampled(part: _Part, role: Role, wanted: int | None, seed: int, notes: list[str]) -> _Part:
    kept = len(part.rows)
    part = replace(part, counts=part.counts | {"kept": kept})
    if wanted is None:
        return part
    if wanted >= kept:
        if wanted > kept:
            notes.append(f"{role}: {wanted} samples asked for, there are {kept}: all are used")
        return part
    taken = part.take(splits.sample(kept, wanted, seed, f"{role} sample"))
    notes.append(f"{role}: {wanted} of {kept} rows sampled with seed {seed}")
    return taken


def _note_vanished(role: Role, shown: Sequence[str], part: _Part, notes: list[str]) -> None:
    vanished = labels.ordered(set(shown) - set(part.names))
    if vanished:
        notes.append(f"{role}: no row in use has label {shortened(map(repr, vanished))}")


def _check_classes(train: _Part, where: str) -> None:
    left = set(train.names)
    if len(left) < 2:
        raise DataError(
            f"one label only is left to train on ({next(iter(left))!r}), expected two or more",
            where=where,
            hint="raise data.train_samples, or loosen data.validation_rules",
        )


def _numbered(part: _Part, names: Sequence[str]) -> Split:
    number = {name: at for at, name in enumerate(names)}
    return Split(part.texts, np.array([number[name] for name in part.names]), np.array(part.rows))


def _counted(part: _Part, split: Split, names: Sequence[str]) -> dict[str, Any]:
    kept = part.counts.get("kept", len(split))
    rest = {"kept": kept, "sampled": len(split), "labels": splits.by_name(split.labels.tolist(), names)}
    return part.counts | rest
