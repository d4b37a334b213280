"""``finetune30 predict``: classify texts, pairs of texts, or the rows of a file with a finished run.

Neighbours: the registry knows which run a model is, the pipeline finds it, ``serving.offline`` answers as the
service does; ``predictions`` does files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune30.errors import BadInput, StateError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from finetune30.config import ExperimentConfig
    from finetune30.experiments import Experiment
    from finetune30.modeling import Task
    from finetune30.registry import Resolved
    from finetune30.serving.catalog import Found
    from finetune30.serving.offline import Oracle
    from finetune30.settings import Settings

_SHOWN = 200


def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts to classify; read from standard input, one a line, if left out."),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            "--pair",
            metavar="TEXT",
            help="Second text, once for each text, where the run was trained on pairs; from standard input both "
            "stand on a line, with a tab between.",
        ),
    ] = None,
    exp: Annotated[
        str | None,
        typer.Option(
            "--exp",
            metavar="ID|MODEL",
            help="The run, or a model: name@alias or name/3; the newest successful run if left out.",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE", help="Classify each row of a .csv, .tsv, .jsonl or .parquet file."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Where the rows of --file go, by the name's end; - is stdout."),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of --file; found as for training if left out.")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of --file, where the run was trained on pairs.")
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="So many labels of each, the best first.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON object.")] = False,
) -> None:
    """Classify texts with a finished run: label, probability, text."""
    import sys

    if file is not None:
        if texts or pair:
            raise UsageError(
                "--file brings the texts itself", where="finetune30 predict", hint="leave TEXT and --pair out"
            )
        from finetune30.cli.predictions import Wanted, predict_file

        _, _, experiment, config, found = _run(exp)
        predict_file(
            Wanted(file, out or "-", text_column, pair_column, top_k, device, as_json), experiment, config, found
        )
        return
    if out or text_column or pair_column:
        raise UsageError("--out, --text-column and --pair-column go with --file", where="finetune30 predict")
    given = texts or ([] if sys.stdin.isatty() else [line.strip() for line in sys.stdin if line.strip()])
    if not given or not all(text.strip() for text in given):
        raise BadInput("there is no text", where="TEXT", hint='finetune30 predict "This movie was great!"')

    import json
    import time

    began = time.perf_counter()
    _, model, experiment, _, found = _run(exp)
    from finetune30.serving.offline import oracle

    seconds: list[str] | None = pair or None
    with oracle(found, device) as adapter:
        task = adapter.live.task
        if task.text_pair and not texts and seconds is None:
            given, seconds = _cut_at_tabs(given)
        answers = _answers(adapter, given, seconds, top_k)
    latency_ms = (time.perf_counter() - began) * 1000
    if as_json:
        result = {
            "experiment": experiment.id,
            "base_model": experiment.base_model,
            "label_names": list(task.label_names),
            "predictions": answers,
            "latency_ms": round(latency_ms, 1),
            "model": model and {key: getattr(model, key) for key in ("model", "version", "alias", "sha256")},
        }
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    if exp is None or model:
        typer.echo(f"# {f'{model.model}/{model.version}: ' if model else ''}{experiment.id}", err=True)
    for answer in answers:
        columns = [*_said(answer), _one_line(answer["text"]), *([_one_line(answer["pair"])] if seconds else [])]
        if answer["truncated"]:
            columns.append(f"(read up to {found.max_length} tokens)")
        typer.echo("\t".join(columns))


def _run(exp: str | None) -> tuple[Settings, Resolved | None, Experiment, ExperimentConfig, Found]:
    """What answers: the model that was named, if one was, its run, and where the adapter is.

    Raises: BadInput, NotFound, StateError.
    """
    from finetune30 import pipeline
    from finetune30.serving.catalog import Found
    from finetune30.settings import get_settings

    settings = get_settings()
    model = _registered(exp, settings)
    experiment, config, folder = pipeline.finished(model.experiment_id if model else exp, settings)
    base, longest = config.model, config.data.max_length
    found = Found(exp or "newest", experiment.id, folder, base.name, base.revision, longest, experiment.owner)
    return settings, model, experiment, config, found


def _registered(exp: str | None, settings: Settings) -> Resolved | None:
    """What a model's address means; None where a run is named, or nothing.

    Raises: BadInput, NotFound; StateError if its files are not those that were registered.
    """
    from finetune30.registry import is_of_model, open_models

    if exp is None or not is_of_model(exp):
        return None
    found = open_models(settings).resolve(exp)
    if fault := found.fault():
        raise StateError(
            f"{found.model}/{found.version} is not what was registered: {fault}",
            where=str(found.folder),
            hint="restore its files from a backup, or roll back to another version",
        )
    return found


def _cut_at_tabs(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """First and second texts of lines that hold both.

    Raises: BadInput naming the first line that does not.
    """
    cut = [line.split("\t") for line in lines]
    for number, parts in enumerate(cut, 1):
        if len(parts) != 2:
            raise BadInput(
                f"text {number} has {len(parts) - 1} tabs, expected one: the run was trained on pairs of texts",
                where=f"standard input: {_one_line(lines[number - 1])}",
                hint="write one pair a line: text<TAB>second text; or give the texts as arguments, each with a --pair",
            )
    return [first.strip() for first, _ in cut], [second.strip() for _, second in cut]


def _answers(
    adapter: Oracle, texts: Sequence[str], seconds: Sequence[str] | None, top_k: int | None
) -> list[dict[str, Any]]:
    """What the adapter says of each text, as JSON tells it."""
    found, task = adapter.answers(texts, seconds), adapter.live.task
    return [
        {
            "text": text,
            **({} if seconds is None else {"pair": seconds[position]}),
            "label": int(row.argmax()),
            "label_name": task.label_names[int(row.argmax())],
            "probability": round(float(row.max()), 6),
            **(_several(task, row) if task.multi_label else {}),
            **({} if top_k is None else {"top_k": best(task, row, top_k)}),
            "truncated": found.truncated[position],
        }
        for position, (text, row) in enumerate(zip(texts, found.probabilities, strict=True))
    ]


def _several(task: Task, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """The labels that are given, and how probable each label is, given or not."""
    labels = [label for label, given in enumerate(task.given(probabilities)) if given]
    return {
        "labels": labels,
        "label_names": [task.label_names[label] for label in labels],
        "probabilities": {
            name: round(float(one), 6) for name, one in zip(task.label_names, probabilities, strict=True)
        },
    }


def best(task: Task, probabilities: NDArray[np.float64], top_k: int) -> list[dict[str, Any]]:
    """The most probable labels, given or not."""
    order = [int(label) for label in (-probabilities).argsort(kind="stable")[:top_k]]
    return [
        {"label": label, "label_name": task.label_names[label], "probability": round(float(probabilities[label]), 6)}
        for label in order
    ]


def _said(answer: dict[str, Any]) -> tuple[str, str]:
    """Label and probability; of several labels all, with commas between, and ``-`` where there is none."""
    if "top_k" in answer:
        told = answer["top_k"]
        return ",".join(one["label_name"] for one in told), ",".join(f"{one['probability']:.4f}" for one in told)
    if "labels" not in answer:
        return answer["label_name"], f"{answer['probability']:.4f}"
    names = answer["label_names"]
    return ",".join(names) or "-", ",".join(f"{answer['probabilities'][name]:.4f}" for name in names) or "-"


def _one_line(text: str) -> str:
    shown = " ".join(text.split())  # one line an answer, a column a text
    return f"{shown[:_SHOWN]}..." if len(shown) > _SHOWN else shown
