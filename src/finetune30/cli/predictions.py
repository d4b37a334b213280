"""``finetune30 predict --file``: a file of rows in, the same rows with answers out, in bounded memory.

Whole or not at all: the file gets its name when its last row is written. A row without a text is answered with
nothing and counted. Neighbours: ``predict`` finds the run, ``data`` reads and writes, ``serving.offline`` answers.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from finetune30.errors import BadInput, DataError, Interrupted, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from finetune30.config import ExperimentConfig
    from finetune30.data.table import Table
    from finetune30.experiments import Experiment
    from finetune30.modeling import Task
    from finetune30.serving.catalog import Found
    from finetune30.serving.offline import Oracle

_DIGITS = 6


@dataclass(frozen=True)
class Wanted:
    """What was asked for, as the options say."""

    file: str
    out: str
    text_column: str | None
    pair_column: str | None
    top_k: int | None
    device: str
    as_json: bool


def predict_file(wanted: Wanted, experiment: Experiment, config: ExperimentConfig, found: Found) -> None:
    """Answer every row of a file and say how it went.

    Raises: BadInput before anything is written; Interrupted when a signal came, and then nothing is there.
    """
    from finetune30.data.answers import STANDARD_OUTPUT, check_free, writing

    to_screen = wanted.out == STANDARD_OUTPUT
    if to_screen and wanted.as_json:
        raise UsageError(
            "--json tells how it went on standard output, where the rows go", hint="name a file with --out"
        )
    ending = check_free(wanted.out)  # before seconds of loading
    began = time.perf_counter()
    table = _read(wanted, config)
    from finetune30.serving.offline import oracle

    with oracle(found, wanted.device) as adapter:
        task = adapter.live.task
        _check(task, table)
        kinds = _kinds(task, table, wanted.top_k)
        counts = {"rows": 0, "empty": 0, "truncated": 0}
        with _signals(wanted.out), writing(wanted.out, ending or _plain(wanted.file), kinds) as rows:
            for some in _progress(_answered(adapter, table, wanted.top_k), len(table.texts), 0 if to_screen else 2):
                rows.write(some)
                _count(counts, some)
    took_s = round(time.perf_counter() - began, 3)
    told = {"experiment": experiment.id, "out": wanted.out, **counts, "apostrophes": rows.apostrophes, "took_s": took_s}
    _tell(told, wanted.as_json)


def _read(wanted: Wanted, config: ExperimentConfig) -> Table:
    from finetune30.data import read_texts
    from finetune30.data.table import Columns

    names = config.data
    text, pair = wanted.text_column or names.text_column, wanted.pair_column or names.text_pair_column
    try:
        return read_texts(wanted.file, Columns(text, pair=pair))
    except DataError as fault:
        hint = (fault.hint or "").replace("data.text_column", "--text-column")
        hint = hint.replace("data.text_pair_column", "--pair-column")
        raise DataError(fault.message, where=fault.where, hint=hint or None) from fault


def _check(task: Task, table: Table) -> None:
    if task.text_pair and table.pairs is None:
        raise BadInput(
            "the run was trained on pairs of texts, and no column of second texts was named",
            where=table.where,
            hint="name it: --pair-column NAME",
        )
    if not task.text_pair and table.pairs is not None:
        raise BadInput("the run was not trained on pairs of texts", where=table.where, hint="leave --pair-column out")


def _kinds(task: Task, table: Table, top_k: int | None) -> dict[str, str]:
    """The columns that are written, and what is in each."""
    kinds = dict.fromkeys(_texts(table), "string")
    kinds |= {"row": "int", "label": "int", "label_name": "string", "probability": "float"}
    if task.multi_label:
        kinds |= {"labels": "ints", "label_names": "strings"}
    if top_k is not None:
        kinds |= {"top_names": "strings", "top_probabilities": "floats"}
    return {**kinds, "truncated": "bool"}


def _texts(table: Table) -> list[str]:
    """Names of the columns of texts; those of answers stay as they are."""
    taken = {"row", "label", "label_name", "probability", "labels", "label_names", "truncated"}
    columns = table.columns
    given = [columns.text or "text", *([columns.pair or "text_pair"] if table.pairs is not None else [])]
    return [f"source_{name}" if name in taken else name for name in given]


def _answered(adapter: Oracle, table: Table, top_k: int | None) -> Iterator[list[dict[str, Any]]]:
    """The rows that are written, some at a time."""
    from finetune30.serving.offline import AT_ONCE

    for start in range(0, len(table.texts), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        texts = table.texts[some]
        pairs = None if table.pairs is None else table.pairs[some]
        yield _rows(adapter, table, start, texts, pairs, top_k)


def _rows(
    adapter: Oracle, table: Table, start: int, texts: Sequence[str], pairs: Sequence[str] | None, top_k: int | None
) -> list[dict[str, Any]]:
    task, names = adapter.live.task, _texts(table)
    nothing = dict.fromkeys(_kinds(task, table, top_k))
    rows: list[dict[str, Any]] = []
    asked: list[int] = []
    for at, text in enumerate(texts):
        given = [text] if pairs is None else [text, pairs[at]]
        rows.append({**nothing, **dict(zip(names, given, strict=True)), "row": start + at})
        if all(one.strip() for one in given):
            asked.append(at)
    if not asked:
        return rows
    found = adapter.answers([texts[at] for at in asked], None if pairs is None else [pairs[at] for at in asked])
    for at, probabilities, truncated in zip(asked, found.probabilities, found.truncated, strict=True):
        rows[at] |= {**_answer(task, probabilities, top_k), "truncated": truncated}
    return rows


def _answer(task: Task, probabilities: NDArray[np.float64], top_k: int | None) -> dict[str, Any]:
    from finetune30.cli.predict import best

    first, *_ = best(task, probabilities, 1)
    told: dict[str, Any] = first
    if task.multi_label:
        labels = [label for label, given in enumerate(task.given(probabilities)) if given]
        told = {**told, "labels": labels, "label_names": [task.label_names[label] for label in labels]}
    if top_k is not None:
        top = best(task, probabilities, top_k)
        told = {**told, "top_names": [one["label_name"] for one in top]}
        told["top_probabilities"] = [one["probability"] for one in top]
    return told


def _count(counts: dict[str, int], rows: Sequence[Mapping[str, Any]]) -> None:
    counts["rows"] += len(rows)
    counts["empty"] += sum(row["probability"] is None for row in rows)
    counts["truncated"] += sum(bool(row["truncated"]) for row in rows)


def _plain(name: str) -> str:
    """The format of standard output: the file's own, if it is one that is read on a screen."""
    from finetune30.data.reading.opening import check_name

    ending = check_name(name, shown=name).ending
    return ending if ending != ".parquet" else ".jsonl"


def _progress(parts: Iterator[list[dict[str, Any]]], total: int, least: int) -> Iterator[list[dict[str, Any]]]:
    """The same parts, with a bar on a terminal, unless rows are shown there."""
    if not least or not sys.stderr.isatty():
        yield from parts
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True))
    with bar:
        task = bar.add_task("", total=total)
        for some in parts:
            yield some
            bar.advance(task, len(some))


@contextmanager
def _signals(out: str) -> Iterator[None]:
    """Ctrl+C and SIGTERM end it with nothing half written, and say so."""

    def end(number: int, _frame: object) -> NoReturn:
        fault = Interrupted(f"stopped; {out} was not written" if out != "-" else "stopped")
        fault.exit_code = 128 + number
        raise fault

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(told: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    notes = [f"{told['rows']:,} rows answered by {told['experiment']} in {told['took_s']:.1f} s"]
    if told["empty"]:
        notes.append(f"{told['empty']:,} have no text: their answers are empty")
    if told["truncated"]:
        notes.append(f"{told['truncated']:,} were too long and were cut")
    if told["apostrophes"]:
        notes.append(f"{told['apostrophes']:,} cells a spreadsheet would run got a leading apostrophe")
    typer.echo("; ".join(notes), err=True)
