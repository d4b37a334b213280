"""The model card of an adapter: what it is, how good it is, how to use it.

Written into ``final_model/README.md`` in the hub's format (YAML head, Markdown body), with
code that runs as it stands. Values in, text out; no files here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelCard:
    """Everything a card says.

    Attributes:
        base_model: Name under which the base loads anywhere (hub id or folder).
        scores: Split -> figures, as in ``metrics.json``.
        threshold: A label is given from this probability on, where a row may have several; None: one a row.
        text_pair: A row is two texts.
        lora: The adapter's settings, PEFT's names.
        training: The training settings, transformers' names.
    """

    experiment_id: str
    base_model: str
    revision: str | None
    dataset: str
    dataset_hash: str
    label_names: tuple[str, ...]
    threshold: float | None
    text_pair: bool
    max_length: int
    scores: dict[str, dict[str, Any]]
    lora: dict[str, Any]
    training: dict[str, Any]
    versions: dict[str, str]


def render(card: ModelCard) -> str:
    """The card as Markdown with a YAML head."""
    sections = [_head(card), _what(card), _figures(card), _usage(card), _settings(card)]
    return "\n\n".join(sections) + "\n"


def _head(card: ModelCard) -> str:
    results = [
        {
            "task": {"type": "text-classification"},
            "dataset": {"name": f"{card.dataset} ({split})", "type": card.dataset},
            "metrics": [
                {"type": "accuracy", "value": round(figures["accuracy"], 4)},
                {"type": "f1", "name": "f1_macro", "value": round(figures["f1_macro"], 4)},
            ],
        }
        for split, figures in card.scores.items()
    ]
    head = {
        "library_name": "peft",
        "base_model": card.base_model,
        "pipeline_tag": "text-classification",
        "tags": ["lora", "peft", "text-classification", "finetune30"],
        "metrics": ["accuracy", "f1"],
        "model-index": [{"name": card.experiment_id, "results": results}],
    }
    import yaml

    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def _what(card: ModelCard) -> str:
    shown = ", ".join(f"`{_plain(name)}`" for name in card.label_names[:20])
    more = f" and {len(card.label_names) - 20} more" if len(card.label_names) > 20 else ""
    read = "pairs of texts" if card.text_pair else "texts"
    several = (
        "" if card.threshold is None else f"; a row has each whose probability is at least {card.threshold:g}, or none"
    )
    return (
        f"# {card.experiment_id}\n\n"
        f"A LoRA adapter that classifies {read} on `{card.base_model}`, trained by finetune30.\n\n"
        f"- Labels: {shown}{more}{several}\n"
        f"- Data: `{_plain(card.dataset)}`, rows of sha256 `{card.dataset_hash[:16]}`\n"
        f"- {'Pairs' if card.text_pair else 'Texts'} are cut at {card.max_length} tokens"
    )


def _figures(card: ModelCard) -> str:
    columns = {"accuracy": "accuracy", "F1 (macro)": "f1_macro", "loss": "loss"}
    if card.threshold is not None:
        columns = {
            "accuracy (all labels of a row)": "accuracy",
            "accuracy (each label)": "hamming_accuracy",
            "F1 (micro)": "f1_micro",
            **{title: key for title, key in columns.items() if key != "accuracy"},
        }
    lines = ["## Results", "", _line(["split", "rows", *columns]), _line(["---"] * (2 + len(columns)))]
    lines += [
        _line([split, figures["rows"], *(f"{figures[key]:.4f}" for key in columns.values())])
        for split, figures in card.scores.items()
    ]
    return "\n".join(lines)


def _line(cells: list[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _usage(card: ModelCard) -> str:
    revision = f", revision={card.revision!r}" if card.revision else ""
    asked = '{"text": "Is it good?", "text_pair": "It is great!"}' if card.text_pair else '"This movie was great!"'
    limits = f"truncation=True, max_length={card.max_length}"
    answer = f"print(classify({asked}, {limits}))"
    if card.threshold is not None:
        # Said, though the configuration says it too: older pipelines know several labels only as a softmax.
        answer = (
            f'found = classify({asked}, {limits}, top_k=None, function_to_apply="sigmoid")\n'
            f'print([label for label in found if label["score"] >= {card.threshold:g}])'
        )
    return f"""## Use

While the base loads, transformers says that the classification head is newly initialised; the next line then loads
the trained head from this folder.

```python
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

folder = "."  # this folder
config = AutoConfig.from_pretrained(folder)
base = AutoModelForSequenceClassification.from_pretrained({card.base_model!r}{revision}, config=config)
model = PeftModel.from_pretrained(base, folder).merge_and_unload()
classify = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder))
{answer}
```"""


def _settings(card: ModelCard) -> str:
    rows = [f"| lora.{key} | {value} |" for key, value in card.lora.items() if value is not None]
    rows += [f"| training.{key} | {value} |" for key, value in card.training.items() if value is not None]
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return "\n".join(["## Settings", "", "| key | value |", "| --- | --- |", *rows, "", f"Versions: {versions}."])


def _plain(text: str) -> str:
    """A user's string on one line, unable to end the code span it stands in."""
    return " ".join(text.split()).replace("`", "'")[:200]
