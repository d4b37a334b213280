"""What is wrong with single texts: empty, too short or long, HTML, control characters, personal data.

Columns are searched by pyarrow's regular expressions; only what they point at is looked at by Python.
Neighbours: marks says what each fault looks like, inspect makes checks of the rows found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.data.quality import marks
from finetune30.data.quality.personal import MIGHT_BE_PERSONAL, kinds_of
from finetune30.data.quality.report import Check, Verdict, check
from finetune30.data.quality.rows import Dataset
from finetune30.data.rules import without_html

_LONG = 5_000
_TIMES_THE_USUAL = 10


def check_texts(data: Dataset) -> list[Check]:
    """The checks ``empty``, ``too_short``, ``too_long``, ``html``, ``control_chars``."""
    rules = data.config.data.validation_rules
    lengths, filled = _sizes(data)
    if rules.remove_html:
        _strip_html(data, lengths, filled)
    there = filled > 0
    usual = float(np.median(lengths[there])) if there.any() else 0.0
    longest = rules.max_text_length or max(_LONG, _TIMES_THE_USUAL * usual)
    short = np.flatnonzero(there & (lengths < rules.min_text_length))
    wordless = _wordless(data, there)
    long = np.flatnonzero(there & (lengths > longest))
    html = _found(data, marks.MIGHT_BE_HTML, lambda text: without_html(text) != text)
    control = _found(data, marks.MIGHT_BE_CONTROL, marks.has_control)
    dropped = "a run drops them (data.validation_rules)"
    stripped = "data.validation_rules.remove_html: true strips it in a run" if not rules.remove_html else ""
    return [
        _check_empty(data, filled, "" if rules.allow_empty else dropped),
        check(
            "too_short",
            np.union1d(short, wordless),
            _short_told(len(short), len(np.setdiff1d(wordless, short)), rules.min_text_length),
            f"the former: {dropped}" if len(short) else "",
        ),
        check(
            "too_long",
            long,
            f"{len(long):,} texts are longer than {longest:,.0f} characters",
            dropped if rules.max_text_length else f"half of all texts have {usual:,.0f} or fewer; is a quote missing?",
        ),
        check("html", html, f"{len(html):,} texts hold HTML tags or entities", stripped),
        check(
            "control_chars",
            control,
            f"{len(control):,} texts hold control, invisible or broken characters",
            "finetune30 data validate --fix takes them out",
        ),
    ]


def _check_empty(data: Dataset, filled: NDArray[np.int8], hint: str) -> Check:
    """Empty texts; a split without any other text is unfit."""
    empty = np.flatnonzero(filled == 0)
    dead = [role for role, start, end in zip(data.roles, data.starts, data.starts[1:], strict=False)
            if not filled[start:end].any()]  # fmt: skip
    if dead:
        return Check("empty", Verdict.FAIL, len(empty), empty, f"{' and '.join(dead)} has no text at all",
                     "is it the right file, and the right column?")  # fmt: skip
    return check("empty", empty, f"{len(empty):,} texts are empty", hint)


def _wordless(data: Dataset, there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows whose text says little; of a pair both texts do."""
    saying = np.array([1 if data.tables[role].pairs is None else 2 for role in data.roles], np.int8)
    left = np.repeat(saying, np.diff(data.starts))
    for row, text in _candidates(data, marks.MIGHT_SAY_LITTLE):
        left[row] -= marks.says_little(text)
    return np.flatnonzero(there & (left == 0))


def _short_told(short: int, wordless: int, least: int) -> str:
    told = [f"{short:,} texts are shorter than {least} characters"] if short else []
    return ", ".join([*told, *([f"{wordless:,} texts hold no word"] if wordless else [])])


def check_personal(data: Dataset) -> Check:
    """The check ``personal_data``."""
    rows: dict[str, list[int]] = {}
    for row, text in _candidates(data, MIGHT_BE_PERSONAL):
        for kind in kinds_of(text):
            rows.setdefault(kind, []).append(row)
    # Both texts of a pair may hold the same kind.
    kinds = {kind: len(set(rows[kind])) for kind in sorted(rows)}
    listed = ", ".join(f"{kind} in {count:,}" for kind, count in kinds.items())
    return check(
        "personal_data",
        np.unique(np.array([row for of_kind in rows.values() for row in of_kind], np.int64)),
        f"texts that look like they name people: {listed}",
        "a model can give away what it was trained on; mask them, or be sure you may use them",
        kinds=kinds,
    )


def _columns(data: Dataset) -> Iterator[tuple[int, Any]]:
    """Number of the first row and a pyarrow array of texts, for every text and every second text of a pair."""
    for role, start in zip(data.roles, data.starts, strict=False):
        for column in (data.tables[role].texts, data.tables[role].pairs):
            if column is not None:
                for first, texts in column.chunks():
                    yield int(start) + first, texts


def _sizes(data: Dataset) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Characters of each row's text (of both texts of a pair), and how many of its texts are not blank."""
    import pyarrow.compute as pc

    lengths, filled = np.zeros(len(data), np.int32), np.zeros(len(data), np.int8)
    for start, texts in _columns(data):
        lengths[start : start + len(texts)] += pc.utf8_length(texts).to_numpy().astype(np.int32)
        filled[start : start + len(texts)] += pc.utf8_length(pc.utf8_trim_whitespace(texts)).to_numpy() > 0
    return lengths, filled


def _strip_html(data: Dataset, lengths: NDArray[np.int32], filled: NDArray[np.int8]) -> None:
    """Make of these sizes what they are once a run has taken the HTML out."""
    for row, text in _candidates(data, marks.MIGHT_BE_HTML):
        plain = without_html(text)
        lengths[row] += len(plain) - len(text)
        filled[row] -= bool(text.strip()) and not plain.strip()


def _candidates(data: Dataset, pattern: str) -> Iterator[tuple[int, str]]:
    """Rows, and the text, where a pattern of RE2 is found."""
    import pyarrow.compute as pc

    for start, texts in _columns(data):
        places = np.flatnonzero(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False))
        for place, text in zip(places, texts.take(places).to_pylist(), strict=True):
            yield start + int(place), text


def _found(data: Dataset, pattern: str, is_fault: Callable[[str], bool]) -> NDArray[np.int64]:
    rows = [row for row, text in _candidates(data, pattern) if is_fault(text)]
    return np.unique(np.array(rows, np.int64))
