"""What an adapter's tensors must be: their names and shapes, as its settings and its base have it, and nothing of them.

transformers and PEFT are asked, by building a classifier without memory and attaching the adapter to it: forty
milliseconds of Python, in which nobody else gets on. Adapters are of few kinds, so what they said of a kind is kept
beside the base. Each adapter's own settings are checked each time, before. Neighbours: ``deltas`` compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from transformers import AutoModelForSequenceClassification

from finetune30.modeling.adapter import attached, check_adapter_folder
from finetune30.modeling.base import BaseModel, classifier_config, quiet_transformers
from finetune30.modeling.task import Task

# Of one base; when there are more, the oldest is forgotten.
_MOST_KINDS = 64
# PEFT makes sets of these, and writes them in any order.
_SETS = ("target_modules", "exclude_modules")


@dataclass(frozen=True)
class Blueprint:
    """Of all adapters of a kind.

    Attributes:
        shapes: Of each tensor, by its name in the file.
        plain: Whether it adds thin products to layers and no more.
        scale: lora_alpha / r, or over the root of r.
        body: Prefix of the names of the base's own modules.
    """

    shapes: Mapping[str, torch.Size]
    plain: bool
    scale: float
    body: str


def blueprint(base: BaseModel, task: Task, folder: Path) -> Blueprint:
    """Of the adapter in a folder.

    Raises: ModelError if its settings are not those of a plain LoRA adapter on this base, or a file is damaged.
    """
    settings = check_adapter_folder(folder, base)
    kind = _kind(task, settings)
    found: Blueprint | None = base.kinds.get(kind)
    if found is None:
        found = _drawn(base, task, settings, folder)
        while len(base.kinds) >= _MOST_KINDS:
            base.kinds.pop(next(iter(base.kinds)), None)
        base.kinds[kind] = found
    return found


def _kind(task: Task, settings: Mapping[str, Any]) -> object:
    """Equal for adapters whose tensors have the same names and shapes: what labels are called makes no difference."""
    values = {
        key: sorted(value) if key in _SETS and isinstance(value, list) else value for key, value in settings.items()
    }
    return len(task.label_names), task.multi_label, json.dumps(values, sort_keys=True)


def _drawn(base: BaseModel, task: Task, settings: Mapping[str, Any], folder: Path) -> Blueprint:
    with torch.device("meta"), quiet_transformers():
        classifier = AutoModelForSequenceClassification.from_config(
            classifier_config(base, task), trust_remote_code=False
        )
        model = attached(classifier, settings, folder)
        expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    said = model.peft_config["default"]
    return Blueprint(
        shapes={name: tensor.shape for name, tensor in expected.items()},
        plain=not getattr(said, "use_dora", False) and said.bias == "none",
        scale=float(said.lora_alpha / (said.r**0.5 if said.use_rslora else said.r)),
        body=f"{classifier.base_model_prefix}.",
    )
