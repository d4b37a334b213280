"""``finetune30 predict``: classify texts, or pairs of texts, with a finished run.

Neighbours: the registry knows which run a model is, the pipeline opens it, ``modeling`` answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune30.errors import BadInput, StateError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from finetune30.modeling import OpenAdapter, Task
    from finetune30.registry import Resolved
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
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON object.")] = False,
) -> None:
    """Classify texts with a finished run: label, probability, text."""
    import sys

    given = texts or ([] if sys.stdin.isatty() else [line.strip() for line in sys.stdin if line.strip()])
    if not given or not all(text.strip() for text in given):
        raise BadInput("there is no text", where="TEXT", hint='finetune30 predict "This movie was great!"')

    import json
    import time

    from finetune30 import pipeline
    from finetune30.settings import get_settings

    began = time.perf_counter()
    settings = get_settings()
    model = _registered(exp, settings)
    experiment, adapter = pipeline.open_run(model.experiment_id if model else exp, settings, device)
    seconds: list[str] | None = pair or None
    if adapter.task.text_pair and not texts and seconds is None:
        given, seconds = _cut_at_tabs(given)
    answers = _answers(adapter, given, seconds)
    latency_ms = (time.perf_counter() - began) * 1000
    if as_json:
        result = {
            "experiment": experiment.id,
            "base_model": experiment.base_model,
            "label_names": list(adapter.label_names),
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
            columns.append(f"(read up to {adapter.max_length} tokens)")
        typer.echo("\t".join(columns))


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


def _answers(adapter: OpenAdapter, texts: Sequence[str], seconds: Sequence[str] | None) -> list[dict[str, Any]]:
    """What the adapter says of each text, as JSON tells it."""
    probabilities = adapter.probabilities(texts, seconds)
    cut = adapter.truncated(texts, seconds)
    return [
        {
            "text": text,
            **({} if seconds is None else {"pair": seconds[position]}),
            "label": int(row.argmax()),
            "label_name": adapter.label_names[int(row.argmax())],
            "probability": round(float(row.max()), 6),
            **(_several(adapter.task, row) if adapter.task.multi_label else {}),
            "truncated": position in cut,
        }
        for position, (text, row) in enumerate(zip(texts, probabilities, strict=True))
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


def _said(answer: dict[str, Any]) -> tuple[str, str]:
    """Label and probability; of several labels all, with commas between, and ``-`` where there is none."""
    if "labels" not in answer:
        return answer["label_name"], f"{answer['probability']:.4f}"
    names = answer["label_names"]
    return ",".join(names) or "-", ",".join(f"{answer['probabilities'][name]:.4f}" for name in names) or "-"


def _one_line(text: str) -> str:
    shown = " ".join(text.split())  # one line an answer, a column a text
    return f"{shown[:_SHOWN]}..." if len(shown) > _SHOWN else shown
