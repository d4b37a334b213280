"""From the tables of a source to the splits of an experiment, told once from top to bottom.

tidy labels → rules → labels known and present → cut a missing validation split → sample → number
the labels. Neighbours: sources brings the tables, quality looks at the same tables, each step
lives in a room of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finetune30.data import labels, rules, splits
from finetune30.data.fold import keys_of
from finetune30.data.roles import Role
from finetune30.data.splits import Split, Splits
from finetune30.data.table import Table, shortened
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig


@dataclass(frozen=True)
class Found:
    """What a source holds: a table for each split there is, ``train`` always among them.

    Args:
        as_used: These are the rows of an earlier run: HTML is gone already, and a label of
            ``label_order`` may have lost its train rows.
    """

    source: str
    tables: dict[Role, Table]
    notes: tuple[str, ...] = ()
    as_used: bool = False

    @property
    def declared(self) -> frozenset[str]:
        """Labels that are known though train may show none of their rows."""
        train = self.tables["train"]
        return frozenset((train.label_order or ()) if self.as_used else train.columns.flags)


@dataclass(frozen=True)
class _Part:
    """Rows of one split on their way: which are still in, and the counts so far."""

    table: Table
    rows: NDArray[np.int64]
    counts: dict[str, Any] = field(default_factory=dict)

    def take(self, positions: NDArray[np.int64], **counts: Any) -> _Part:
        return _Part(self.table, self.rows[positions], self.counts | counts)

    @property
    def codes(self) -> NDArray[np.int32]:
        return self.table.labels.codes[self.rows]

    def names(self) -> set[str]:
        """The labels that these rows tell."""
        return {name for code in set(self.codes.tolist()) for name in labels.each(self.table.labels.cells[code])}


def prepare(found: Found, config: ExperimentConfig) -> Splits:
    """The splits of an experiment.

    Raises: DataError when rows, labels or their number do not allow training.
    """
    if found.as_used:  # entities within entities would be stripped once more, and the rows be others
        config = _without_html_rule(config)
    data = config.data
    tables = tidied(found.tables)
    notes = [*found.notes, *(note for table in tables.values() for note in table.notes)]
    parts: dict[Role, _Part] = {"train": _usable(tables["train"], "train", config, notes)}
    names = labels.names_of(tables["train"])
    labels.check_count(names, config.model.num_labels, tables["train"].where)
    known = labels.names_in(tables["train"].labels) | found.declared
    for role, table in tables.items():
        if role == "test" and labels.unlabelled(table, known):
            notes.append(f"test split left out: none of its {len(table.texts)} rows has a label")
        elif role != "train":
            parts[role] = _usable(table, role, config, notes)
            labels.check_known(table, parts[role].rows, labels.ordered(known))
    if "validation" not in parts:
        parts["train"], parts["validation"] = _cut(parts["train"], config, tables["train"].where, notes)
    wanted: dict[Role, int | None] = {"train": data.train_samples, "validation": data.eval_samples}
    for role, count in wanted.items():
        shown = known if role == "train" else parts[role].names()
        parts[role] = _sampled(parts[role], role, count, config.seed, notes)
        _note_vanished(role, shown, parts[role], notes)
    _check_classes(parts["train"], tables["train"].where)
    several = tables["train"].columns.several or tables["train"].labels.several
    numbered = {role: _numbered(part, names, config, several=several) for role, part in parts.items()}
    return Splits(
        train=numbered["train"],
        validation=numbered["validation"],
        test=numbered.get("test"),
        label_names=names,
        source=found.source,
        notes=tuple(dict.fromkeys(notes)),
        counts={role: _counted(part, numbered[role], names) for role, part in parts.items()},
        multi_label=several,
    )


def tidied(tables: dict[Role, Table]) -> dict[Role, Table]:
    """The tables with tidy labels; where train tells several labels a row, every split does."""
    several = any(table.columns.several or table.labels.several for table in tables.values())
    return {role: labels.tidied(table, several=several) for role, table in tables.items()}


def _without_html_rule(config: ExperimentConfig) -> ExperimentConfig:
    rules = config.data.validation_rules.model_copy(update={"remove_html": False})
    return config.model_copy(update={"data": config.data.model_copy(update={"validation_rules": rules})})


def _usable(table: Table, role: Role, config: ExperimentConfig, notes: list[str]) -> _Part:
    kept = rules.keep(table, config.data.validation_rules)
    labels.check_present(table, kept.rows)
    dropped = ", ".join(f"{count} {rule.replace('_', ' ')}" for rule, count in kept.dropped.items() if count)
    if dropped:
        notes.append(f"{role}: rows dropped: {dropped}")
    if kept.stripped:
        notes.append(f"{role}: HTML stripped from {kept.stripped} rows")
    counts = {"read": len(table.texts), "dropped": kept.dropped, "stripped": kept.stripped, "cut": 0}
    return _Part(table, kept.rows, counts)


def _cut(train: _Part, config: ExperimentConfig, where: str, notes: list[str]) -> tuple[_Part, _Part]:
    texts = keys_of(train.table, train.rows)
    staying, leaving = splits.cut(train.codes, config.data.validation_size, config.seed, texts)
    if not len(leaving):
        raise DataError(
            "there is no validation split and none can be cut: every label has one row, or one text",
            where=where,
            hint="give more rows for each label, or a validation file beside the train file",
        )
    notes.append(
        f"validation: {len(leaving)} of {len(train.rows)} train rows, cut in equal shares of each label"
        f" with seed {config.seed}; no text is on both sides"
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


def _note_vanished(role: Role, shown: Collection[str], part: _Part, notes: list[str]) -> None:
    vanished = labels.ordered(set(shown) - part.names())
    if vanished:
        notes.append(f"{role}: no row in use has label {shortened(map(repr, vanished))}")


def _check_classes(train: _Part, where: str) -> None:
    left = train.names()
    if len(left) < 2:
        raise DataError(
            f"one label only is left to train on ({next(iter(left), 'none')!r}), expected two or more",
            where=where,
            hint="raise data.train_samples, or loosen data.validation_rules",
        )


def _numbered(part: _Part, names: tuple[str, ...], config: ExperimentConfig, *, several: bool) -> Split:
    texts = part.table.texts.take(part.rows)
    pairs = None if part.table.pairs is None else part.table.pairs.take(part.rows)
    if config.data.validation_rules.remove_html:
        texts = texts.changed(rules.without_html)
        pairs = pairs and pairs.changed(rules.without_html)
    return Split(texts, labels.numbered(part.table.labels, part.rows, names, several=several), part.rows, pairs)


def _counted(part: _Part, split: Split, names: tuple[str, ...]) -> dict[str, Any]:
    kept = part.counts.get("kept", len(split))
    rest = {"kept": kept, "sampled": len(split), "labels": splits.by_name(split.labels, names)}
    return part.counts | rest
