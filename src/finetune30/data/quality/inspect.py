"""Every check, told once from top to bottom: what is wrong with a dataset, row by row.

The tables are looked at as found; ``validation_rules`` of the configuration say what a run would
drop. Memory stays bounded however many rows there are. Neighbours: each check lives in a file of its
own; the pipeline stops on FAIL, the command line prints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune30.data.prepare import Found
from finetune30.data.quality.copies import Copies, find_copies
from finetune30.data.quality.labels import BALANCED_UP_TO, check_labels, count_names, ratio_of
from finetune30.data.quality.language import check_language
from finetune30.data.quality.near import NearCopies, find_near_copies
from finetune30.data.quality.report import Check, QualityReport, Rows, Verdict, check
from finetune30.data.quality.rows import Dataset
from finetune30.data.quality.shortcuts import check_shortcuts
from finetune30.data.quality.texts import check_personal, check_texts

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

CHECKS = (
    "empty", "too_short", "too_long", "html", "control_chars", "duplicate", "near_duplicate", "contradictory_label",
    "label_variant", "rare_class", "imbalance", "label_set", "split_leak", "truncation", "language", "personal_data",
    "shortcut",
)  # fmt: skip
"""Every check, in the order of the report."""

LEAKED_AT_MOST = 0.01
TORN_AT_MOST = 0.05
Longer = Callable[[Sequence[str], Sequence[str] | None], NDArray[np.bool_]]
"""Which texts (or pairs) are longer than ``data.max_length`` tokens; None where no tokenizer is at hand."""


def inspect(
    found: Found,
    config: ExperimentConfig,
    *,
    longer: Longer | None = None,
    spoken: Collection[str] | None = None,
) -> QualityReport:
    """Look at all rows of a source.

    Args:
        spoken: Languages of the base model, as ISO 639-1 codes; None where they are not known.
    """
    data = Dataset(found.tables, config)
    checks = check_texts(data)
    there = np.ones(len(data), bool)
    there[checks[0].rows] = False
    copies = find_copies(data, there)
    near = find_near_copies(data, there & ~copies.later, copies.leaked)
    checks += [*_copies(data, copies, near), *check_labels(data, found.declared), _truncation(data, longer)]
    checks += [check_language(data, spoken), check_personal(data), check_shortcuts(data)]
    counts: Counter[str] = Counter()
    for role, table in data.tables.items():
        if role != "test" or not data.silent:
            counts.update(count_names(table.labels))
    ratio = ratio_of(counts)
    return QualityReport(
        data,
        found.source,
        sorted(checks, key=lambda one: CHECKS.index(one.name)),
        dict(sorted(counts.items())),
        ratio,
        ratio <= BALANCED_UP_TO,
        notes=(*found.notes, *dict.fromkeys(note for table in data.tables.values() for note in table.notes)),
    )


def _copies(data: Dataset, copies: Copies, near: NearCopies) -> list[Check]:
    later, nearly = np.flatnonzero(copies.later), np.flatnonzero(near.later)
    leaked = int(copies.leaked.sum())
    held_out = len(data) - int(data.starts[1])
    by_split = {role: len(rows) for role, rows in data.by_split(np.flatnonzero(copies.leaked)).items()}
    listed = " and ".join(f"{count:,} {role} rows" for role, count in by_split.items())
    too_many = leaked > LEAKED_AT_MOST * held_out
    near_leaked = int(near.leaked.sum())
    nearly_told = f"; {near_leaked:,} more are nearly in train" if near_leaked else ""
    within = ", ".join(f"{count:,} {where}" for where, count in copies.torn_in.items() if count)
    leak = check(
        "split_leak",
        copies.leaking,
        f"{listed or 'no held-out row'} have a text that is in train, too{nearly_told}",
        "scores on these rows are remembered, not learned; --fix removes their copies from train",
        fail=too_many,
        count=leaked,
        splits=by_split,
        near=Rows(near_leaked, near.leaking),
    )
    if not leaked and near_leaked:
        leak = Check("split_leak", Verdict.WARN, 0, found=leak.found or _near_told(near_leaked), details=leak.details)
    return [
        check(
            "duplicate",
            later,
            f"{len(later):,} rows repeat the text of an earlier row of their split ({copies.exact:,} to the letter)",
            "--fix keeps the first of those that agree on the label",
            exact=copies.exact,
        ),
        check(
            "near_duplicate",
            nearly,
            f"{len(nearly):,} rows are nearly the text of an earlier row of their split and label",
            "look at a few; many copies of one text weigh like many opinions",
        ),
        check(
            "contradictory_label",
            copies.torn,
            f"{copies.torn_texts:,} texts carry more than one label ({within})",
            "decide which label is right; a model cannot learn both",
            fail=len(copies.torn) > TORN_AT_MOST * len(data),
            texts=copies.torn_texts,
            texts_by_split=copies.torn_in,
        ),
        leak,
    ]


def _near_told(count: int) -> str:
    return f"{count:,} held-out rows have nearly the text of a train row"


def _truncation(data: Dataset, longer: Longer | None) -> Check:
    if longer is None:
        return Check("truncation", Verdict.PASS, found="not looked at: no tokenizer")
    rows = [np.zeros(0, np.int64)]
    for role, start in zip(data.roles, data.starts, strict=False):
        table = data.tables[role]
        for first, texts in table.texts.chunks():
            portion = texts.to_pylist()
            pairs = None if table.pairs is None else table.pairs[first : first + len(portion)]
            rows.append(np.flatnonzero(longer(portion, pairs)) + first + start)
    cut = np.concatenate(rows)
    longest, share = data.config.data.max_length, len(cut) / max(1, len(data))
    return check(
        "truncation",
        cut,
        f"{len(cut):,} texts ({share:.1%}) are longer than data.max_length ({longest} tokens) and will be cut",
        "raise data.max_length if what decides stands at the end",
        share=round(share, 6),
        max_length=longest,
    )
