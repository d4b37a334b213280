"""``finetune30 predict``: classify texts with a finished run."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune30.errors import BadInput

_SHOWN = 200


def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts to classify; read from standard input, one a line, if left out."),
    ] = None,
    exp: Annotated[
        str | None,
        typer.Option("--exp", metavar="ID", help="The run; the newest successful one if left out."),
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
    experiment, adapter, probabilities = pipeline.predict(exp, given, get_settings(), device)
    cut = adapter.truncated(given)
    latency_ms = (time.perf_counter() - began) * 1000
    answers = [
        {
            "text": text,
            "label": int(row.argmax()),
            "label_name": adapter.label_names[int(row.argmax())],
            "probability": round(float(row.max()), 6),
            "truncated": position in cut,
        }
        for position, (text, row) in enumerate(zip(given, probabilities, strict=True))
    ]
    if as_json:
        result = {
            "experiment": experiment.id,
            "base_model": experiment.base_model,
            "label_names": list(adapter.label_names),
            "predictions": answers,
            "latency_ms": round(latency_ms, 1),
        }
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    if exp is None:
        typer.echo(f"# {experiment.id}", err=True)
    for answer in answers:
        shown = " ".join(str(answer["text"]).split())  # one line an answer, three columns
        shown = f"{shown[:_SHOWN]}..." if len(shown) > _SHOWN else shown
        note = f"\t(read up to {adapter.max_length} tokens)" if answer["truncated"] else ""
        typer.echo(f"{answer['label_name']}\t{answer['probability']:.4f}\t{shown}{note}")
