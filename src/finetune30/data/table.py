"""The text and label cells of one split, as found.

Nothing is dropped or changed yet: a row's place in the table is its place in the source, which is
how every later room names it. Neighbours: files and hub fill a table, prepare makes rows of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetune30.errors import DataError

_TEXT_NAMES = (
    "text", "sentence", "review", "content", "comment", "tweet", "message", "body", "document",
    "utterance", "query", "question", "title",
)  # fmt: skip
_LABEL_NAMES = (
    "label", "labels", "target", "category", "class", "sentiment", "intent", "topic",
)  # fmt: skip
_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Columns:
    """Which column holds the text and which the label; None: to be found by name."""

    text: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Table:
    """One split of a source: ``texts[i]`` and ``labels[i]`` are its row ``i``, counted from 0.

    ``labels[i]`` is None where the source has none. ``lines[i]`` is the line of the file, counted
    from 1, where row ``i`` begins. ``label_order`` is set where the source itself orders its labels.
    """

    where: str
    columns: Columns
    texts: list[str]
    labels: list[str | None]
    lines: Sequence[int] | None = None
    label_order: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """How a person finds a row again: ``line 5 (row 3)``."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]} (row {row})"

    def places(self, rows: Sequence[int]) -> str:
        """The first few of many rows, and how many more there are."""
        return shortened([self.place(row) for row in rows[:_NAMED_AT_MOST]], total=len(rows))


def shortened(names: Iterable[str], total: int | None = None) -> str:
    """At most five names joined by commas, then ``and N more``."""
    listed = list(names)
    total = len(listed) if total is None else total
    more = f" and {total - _NAMED_AT_MOST} more" if total > _NAMED_AT_MOST else ""
    return ", ".join(listed[:_NAMED_AT_MOST]) + more


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """``did you mean 'text'?``, or nothing when no name is near."""
    by_folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wrong.casefold(), by_folded, n=1)
    return f"did you mean {by_folded[near[0]]!r}?" if near else ""


def choose_columns(found: Sequence[str], wanted: Columns, where: str) -> tuple[Columns, tuple[str, ...]]:
    """The two columns to read, and a note when they were found by their names.

    Raises: DataError when a column is missing, double, or the same one for both.
    """
    text = _named(found, wanted.text, "data.text_column", where)
    label = _named(found, wanted.label, "data.label_column", where)
    text = text or _detected(found, _TEXT_NAMES, "data.text_column", where, taken=label)
    label = label or _detected(found, _LABEL_NAMES, "data.label_column", where, taken=text)
    if text == label:
        raise DataError(
            f"text and label are both column {text!r}, expected two columns",
            where=where,
            hint="set data.text_column and data.label_column",
        )
    for name in (text, label):
        if found.count(name) > 1:
            raise DataError(f"two columns are called {name!r}", where=where, hint="rename one of them")
    told = wanted.text is not None and wanted.label is not None
    note = f"columns found by name: text {text!r}, label {label!r}"
    return Columns(text, label), () if told else (note,)


def _named(found: Sequence[str], name: str | None, key: str, where: str) -> str | None:
    if name is None or name in found:
        return name
    near = did_you_mean(name, found)
    raise DataError(
        f"no column {name!r}; the columns are {_listed(found)}",
        where=where,
        hint=f"{near} {key} names the column".strip(),
    )


def _detected(found: Sequence[str], usual: Sequence[str], key: str, where: str, *, taken: str | None) -> str:
    by_folded = {name.casefold(): name for name in reversed(found) if name != taken}
    for name in usual:
        if name in by_folded:
            return by_folded[name]
    what = key.removeprefix("data.").removesuffix("_column")
    likely = next((name for part in usual for name in found if part in name.casefold() and name != taken), "NAME")
    raise DataError(
        f"no {what} column found; the columns are {_listed(found)}",
        where=where,
        hint=f"name it, such as {key}: {likely}",
    )


def _listed(found: Sequence[str]) -> str:
    shown = [repr(name) for name in found[:30]]
    more = f" and {len(found) - 30} more" if len(found) > 30 else ""
    return (", ".join(shown) + more) or "none"
