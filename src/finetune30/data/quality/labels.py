"""What is wrong with labels: variants of one name, rare ones, imbalance, splits that disagree.

Labels are looked at as found, before a run takes white space off them. Neighbours: inspect asks.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from finetune30.data.labels import each, ordered
from finetune30.data.quality.report import Check, Verdict, check, quoted
from finetune30.data.quality.rows import Dataset
from finetune30.data.roles import Role
from finetune30.data.table import Labels, shortened

BALANCED_UP_TO = 3.0
_DECIMALS = re.compile(r"(?<=\d)\.0+\Z")
_NO_NAMES = frozenset({"nan", "null", "n/a", "#n/a", "<na>", "nat"})
_SEPARATOR = re.compile(r"(?<=[^\W_])(?:[_-]+|\s+[_-]+\s+)(?=[^\W_])")


def check_labels(data: Dataset, declared: Collection[str] = ()) -> list[Check]:
    """The checks ``label_variant``, ``rare_class``, ``imbalance`` and ``label_set``.

    Args:
        declared: Labels that are known though train may show none of their rows.
    """
    counts = {role: count_names(data.tables[role].labels) for role in data.roles}
    return [_variants(data), _rare(data, counts["train"]), _imbalance(counts["train"]), _sets(data, counts, declared)]


def count_names(labels: Labels) -> Counter[str]:
    """Rows of each label, white space around it taken off."""
    rows = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.cells))
    counted: Counter[str] = Counter()
    for cell, count in zip(labels.cells, rows.tolist(), strict=True):
        for name in each(cell):
            if name.strip() and count:
                counted[name.strip()] += count
    return counted


def ratio_of(counts: Counter[str]) -> float:
    """Rows of the most frequent label over those of the rarest."""
    return round(max(counts.values()) / min(counts.values()), 2) if counts else 1.0


def spelling_of(data: Dataset) -> dict[str, str]:
    """For each label as found the spelling to use: the most frequent of those that differ in case and spaces."""
    counts: Counter[str] = Counter()
    for role in data.roles:
        counts.update(count_names(data.tables[role].labels))
    best: dict[str, str] = {}
    for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        best.setdefault(_folded(name), name)
    found = {name for role in data.roles for cell in data.tables[role].labels.cells for name in each(cell)}
    return {name: best[_folded(name)] for name in found if _folded(name) in best}


def _folded(name: str) -> str:
    """Case, spaces, width and separators between words do not make another label; a sign, as of ``-1``, does.

    Nor do the decimals that a whole number gets where a column was a number: ``1.0``.
    """
    folded = " ".join(_SEPARATOR.sub(" ", unicodedata.normalize("NFKC", name).casefold()).split())
    return _DECIMALS.sub("", folded)


def _variants(data: Dataset) -> Check:
    spelling = spelling_of(data)
    wrong = {name: right for name, right in spelling.items() if name != right}
    rows = _rows_with(data, wrong)
    only_spaces = all(name.strip() == right for name, right in wrong.items())
    listed = shortened(f"{quoted(name)} for {quoted(right)}" for name, right in sorted(wrong.items()))
    return check(
        "label_variant",
        rows,
        f"{len(rows):,} rows spell their label in another way: {listed}",
        "a run takes the white space off"
        if only_spaces
        else "these would be labels of their own; --fix makes one of them",
        fail=not only_spaces,
        variants=wrong,
    )


def _rows_with(data: Dataset, names: Collection[str]) -> NDArray[np.int64]:
    """Rows that carry one of these labels."""
    found = [np.zeros(0, np.int64)]
    wanted = frozenset(names)
    for role, start in zip(data.roles, data.starts, strict=False):
        labels = data.tables[role].labels
        codes = [code for code, cell in enumerate(labels.cells) if not wanted.isdisjoint(each(cell))]
        found.append(np.flatnonzero(np.isin(labels.codes, codes)) + start)
    return np.concatenate(found)


def _rare(data: Dataset, counts: Counter[str]) -> Check:
    least = data.config.data.validation_rules.min_rows_per_label
    rare = {name: count for name, count in counts.items() if count < least}
    labels = data.tables["train"].labels
    rows = _rows_in(labels, rare)
    listed = shortened(f"{quoted(name)} {count}" for name, count in sorted(rare.items(), key=lambda item: item[1]))
    return check(
        "rare_class",
        rows,
        f"labels with fewer than {least} train rows: {listed}",
        "too few to learn from: find more rows, or merge the label with another",
        labels=rare,
    )


def _imbalance(counts: Counter[str]) -> Check:
    ratio = ratio_of(counts)
    if ratio <= BALANCED_UP_TO:
        return Check("imbalance", Verdict.PASS, details={"ratio": ratio})
    (name, most), *_ = counts.most_common(1)
    small = [one for one, count in counts.items() if count * BALANCED_UP_TO < most]
    listed = shortened(f"{quoted(one)} {counts[one]:,}" for one in sorted(small, key=counts.__getitem__))
    return Check(
        "imbalance",
        Verdict.WARN,
        len(small),
        found=f"{ratio:g} to 1 in train: {quoted(name)} has {most:,} rows, {listed}",
        hint="judge by f1_macro, not accuracy; training.class_weights: balanced helps",
        details={"ratio": ratio, "labels": small},
    )


def _sets(data: Dataset, counts: dict[Role, Counter[str]], declared: Collection[str]) -> Check:
    known = set(counts["train"]).union(declared)
    rows = [np.zeros(0, np.int64)]
    told: list[str] = []
    absent: dict[str, list[str]] = {}
    for role, start in zip(data.roles, data.starts, strict=False):
        table = data.tidy[role]
        if role == "test" and data.silent:
            continue
        missing = np.flatnonzero(table.labels.codes < 0)
        strange = set(counts[role]) - known
        of_strange = _rows_in(table.labels, strange)
        rows += [missing + start, of_strange + start]
        if len(missing):
            told.append(f"{len(missing):,} {role} rows have no label")
        if strange:
            told.append(f"{role} has labels that train lacks: {shortened(map(quoted, ordered(strange)))}")
        if lacking := ordered(known - set(counts[role])):
            absent[role] = list(lacking)
            told.append(f"{role} has no row of {shortened(map(quoted, lacking))}")
    refused = np.concatenate(rows)
    no_names = _rows_with(data, {name for name in known if name.casefold() in _NO_NAMES})
    if len(no_names):
        told.append(f"{len(no_names):,} rows have a label that looks like none")
    hint = "a run refuses these rows: fill, rename or remove them" if len(refused) else ""
    if len(known) < 2:
        told.append(f"train has one label only: {shortened(map(quoted, known))}" if known else "train has no label")
        hint = "is it the right column? a classifier needs two labels or more"
    involved = np.union1d(refused, no_names)
    return check(
        "label_set",
        involved,
        "; ".join(told),
        hint,
        fail=bool(len(refused)) or len(known) < 2,
        count=len(involved) or sum(map(len, absent.values())) or int(len(known) < 2),
        absent=absent,
    )


def _rows_in(labels: Labels, names: Collection[str]) -> NDArray[np.int64]:
    """Rows that carry one of these labels, white space around it taken off."""
    codes = [code for code, cell in enumerate(labels.cells) if any(name.strip() in names for name in each(cell))]
    return np.flatnonzero(np.isin(labels.codes, codes))
