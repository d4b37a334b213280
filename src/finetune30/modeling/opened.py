"""A saved adapter, opened for answering texts.

Neighbours: ``lora`` verifies and loads it, ``predict`` computes; serving will hold many.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finetune30.errors import ModelError
from finetune30.modeling import base as base_model
from finetune30.modeling import engine
from finetune30.modeling.adapter import load_adapter
from finetune30.modeling.predict import logits_of, softmax
from finetune30.modeling.safety import read_json
from finetune30.modeling.tokens import encode


@dataclass(frozen=True)
class OpenAdapter:
    """A classifier ready to answer.

    Attributes:
        label_names: Their order is the order of the probabilities.
    """

    model: nn.Module
    tokenizer: Any
    label_names: tuple[str, ...]
    max_length: int
    device: str = "cpu"

    def truncated(self, texts: Sequence[str]) -> frozenset[int]:
        """Positions of the texts that are read only up to ``max_length`` tokens."""
        return frozenset(encode(self.tokenizer, texts, self.max_length).cut.tolist())

    def probabilities(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float64]:
        """Shape ``(len(texts), len(label_names))``, rows sum to 1, in the order given."""
        tokens = encode(self.tokenizer, texts, self.max_length)
        return softmax(logits_of(self.model, tokens, batch_size=batch_size, device=self.device))


def open_adapter(folder: Path, name: str, revision: str | None, *, max_length: int, device: str = "cpu") -> OpenAdapter:
    """Load a run's ``final_model`` on its base model.

    Args:
        name: The base model as the run's configuration names it.
    Raises: ModelError if base or adapter are missing, damaged or do not belong together.
    """
    labels = read_json(folder / "config.json").get("id2label")
    if not isinstance(labels, dict) or sorted(labels) != sorted(str(i) for i in range(len(labels))):
        raise ModelError("config.json has no id2label", where=str(folder / "config.json"))
    names = tuple(str(labels[str(i)]) for i in range(len(labels)))
    base = base_model.inspect(name, revision)
    model = load_adapter(base_model.load(base, names, seed=0), base, folder)
    model = model.to(device)
    with suppress(engine.NotKnown):  # then transformers' own code answers: the same, in more time
        engine.install(model, torch.float32, trains=False)
    return OpenAdapter(model, base.tokenizer, names, max_length, device)


def save_description(base: base_model.BaseModel, label_names: Sequence[str], folder: Path) -> None:
    """Put the base's ``config.json`` (with label names) and the tokenizer beside an adapter.

    The adapter alone knows no label names; with these the folder is complete for anyone.
    """
    base_model.classifier_config(base, label_names).save_pretrained(folder)
    with base_model.quiet_transformers():
        base.tokenizer.save_pretrained(folder)
