"""How a comparison of runs looks in a terminal: what differs, what came out, which rows flipped.

Runs stand in columns named A, B, C, …; a legend says which is which, so that narrow windows do.
Neighbours: ``runs`` asks, ``reports.compare`` answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from finetune30.cli import shown
from finetune30.reports.shapes import Comparison, Counts, FlippedRow, Name

# Of everything that is kept, what people compare by; --json has all.
_FIGURES = (
    "eval.accuracy",
    "eval.f1_macro",
    "eval.loss",
    "eval.roc_auc",
    "test.accuracy",
    "test.f1_macro",
    "train.runtime_s",
    "train.tokens_per_s",
    "train.steps",
    "train.trainable_parameters",
    "system.memory_bytes_peak",
    "system.gpu_memory_bytes_peak",
)
_LONGEST_TEXT = 100


def show(found: Comparison, screen: Console, zone: ZoneInfo) -> None:
    """Print all of it."""
    letters = [chr(ord("A") + at) for at in range(len(found.runs))]
    for letter, run in zip(letters, found.runs, strict=True):
        what = f"{run.status}  {run.base_model}  {run.dataset}  {shown.moment(run.created_at, zone)}"
        screen.print(Text(f"{letter}  {run.id}  {what}"))
    differences = [(one.key, [_value(value) for value in one.values]) for one in found.configuration]
    _section(screen, f"configuration ({found.same_keys} keys are the same)", letters, differences)
    kept = [one for one in found.figures if one.figure in _FIGURES]
    kept.sort(key=lambda one: _FIGURES.index(one.figure))
    _section(screen, "figures", letters, [(one.figure, [_figure(value) for value in one.values]) for one in kept])
    classes = [one for one in found.per_class if one.figure == "f1" and one.split == "eval"]
    lines = [(one.label, [_figure(value) for value in one.values]) for one in classes]
    _section(screen, "f1 of each label", letters, lines)
    screen.print()
    for line in _rows(found, dict(zip((run.id for run in found.runs), letters, strict=True))):
        screen.print(Text(line))


def _section(screen: Console, title: str, letters: Sequence[str], lines: Sequence[tuple[str, list[str]]]) -> None:
    if not lines:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, overflow="fold")
    for letter in letters:
        table.add_column(letter, justify="right", overflow="fold")
    for name, values in lines:
        table.add_row(Text(name), *map(Text, values))
    screen.print()
    screen.print(table)


def _rows(found: Comparison, letters: dict[str, str]) -> Iterator[str]:
    evaluated = found.evaluated
    if evaluated.match == "unknown":
        yield f"rows: cannot be compared: {evaluated.why}"
        return
    of = ", ".join("-" if count is None else str(count) for count in evaluated.of)
    same = "the same data" if evaluated.match == "same" else f"different data ({of} rows)"
    yield f"rows: {evaluated.rows} evaluated by all, {same}"
    for one in found.flips:
        yield f"{letters[one.since]} → {letters[one.to]}: {_counted(one)}"
    for row in found.flipped:
        yield ""
        yield from _flipped(row, letters)
    more = found.flipped_rows - len(found.flipped)
    if found.flipped and more > 0:
        yield f"\nand {more} more; --rows N shows more, --flips gained|lost|changed only some"


def _counted(one: Counts) -> str:
    told = f"{one.gained} gained, {one.lost} lost, {one.changed} wrong in another way"
    return f"{told}; {one.both_right} right in both (p = {one.p_value:.3g})"


def _flipped(row: FlippedRow, letters: dict[str, str]) -> Iterator[str]:
    text = "(text is not kept)" if row.text is None else " / ".join(filter(None, (row.text, row.pair)))
    short = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    # A text may hold what steers a terminal.
    yield f"row {row.row}  {_named(row.label)}  {''.join(c if c.isprintable() else ' ' for c in short)}"
    said = (f"{letters[one.id]} {_named(one.predicted)} {'right' if one.right else 'wrong'}" for one in row.answers)
    yield f"  {'   '.join(said)}"


def _named(name: Name) -> str:
    return name if isinstance(name, str) else " + ".join(name) or "(none)"


def _value(value: Any) -> str:
    return "-" if value is None else str(value)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
