"""The model card of an adapter: what it is, how good it is, how to use it.

Written into ``final_model/README.md`` in the hub's format (YAML head, Markdown body), with
code that runs as it stands. Values in, text out; no files here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class ModelCard:
    """Everything a card says.

    Attributes:
        base_model: Name under which the base loads anywhere (hub id or folder).
        scores: Split -> figures, as in ``metrics.json``.
        lora: The adapter's settings, PEFT's names.
        training: The training settings, transformers' names.
    """

    experiment_id: str
    base_model: str
    revision: str | None
    dataset: str
    dataset_hash: str
    label_names: tuple[str, ...]
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
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def _what(card: ModelCard) -> str:
    shown = ", ".join(f"`{_plain(name)}`" for name in card.label_names[:20])
    more = f" and {len(card.label_names) - 20} more" if len(card.label_names) > 20 else ""
    return (
        f"# {card.experiment_id}\n\n"
        f"A LoRA adapter that classifies texts on `{card.base_model}`, trained by finetune30.\n\n"
        f"- Labels: {shown}{more}\n"
        f"- Data: `{_plain(card.dataset)}`, rows of sha256 `{card.dataset_hash[:16]}`\n"
        f"- Texts are cut at {card.max_length} tokens"
    )


def _figures(card: ModelCard) -> str:
    lines = [
        "## Results",
        "",
        "| split | rows | accuracy | F1 (macro) | loss |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {split} | {f['rows']} | {f['accuracy']:.4f} | {f['f1_macro']:.4f} | {f['loss']:.4f} |"
        for split, f in card.scores.items()
    ]
    return "\n".join(lines)


def _usage(card: ModelCard) -> str:
    revision = f", revision={card.revision!r}" if card.revision else ""
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
print(classify("This movie was great!", truncation=True, max_length={card.max_length}))
```"""


def _settings(card: ModelCard) -> str:
    rows = [f"| lora.{key} | {value} |" for key, value in card.lora.items() if value is not None]
    rows += [f"| training.{key} | {value} |" for key, value in card.training.items() if value is not None]
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return "\n".join(["## Settings", "", "| key | value |", "| --- | --- |", *rows, "", f"Versions: {versions}."])


def _plain(text: str) -> str:
    """A user's string on one line, unable to end the code span it stands in."""
    return " ".join(text.split()).replace("`", "'")[:200]
