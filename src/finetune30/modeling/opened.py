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

from finetune30.modeling import base as base_model
from finetune30.modeling import engine
from finetune30.modeling.adapter import load_adapter
from finetune30.modeling.predict import logits_of, probabilities_of
from finetune30.modeling.safety import read_json
from finetune30.modeling.task import Task
from finetune30.modeling.tokens import Tokens, encode


@dataclass(frozen=True)
class OpenAdapter:
    """A classifier ready to answer."""

    model: nn.Module
    tokenizer: Any
    task: Task
    max_length: int
    device: str = "cpu"

    @property
    def label_names(self) -> tuple[str, ...]:
        """Their order is the order of the probabilities."""
        return self.task.label_names

    def truncated(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> frozenset[int]:
        """Positions of the texts, or pairs of them, that are read only up to ``max_length`` tokens."""
        return frozenset(self._read(texts, pairs).cut.tolist())

    def probabilities(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, batch_size: int = 64
    ) -> NDArray[np.float64]:
        """Shape ``(len(texts), len(label_names))``, in the order given; rows sum to 1 unless the task is multi-label.

        Args:
            pairs: The second text of each row, where the adapter was trained on pairs.
        Raises: BadInput for pairs where there should be none, or none where there should be.
        """
        logits = logits_of(self.model, self._read(texts, pairs), batch_size=batch_size, device=self.device)
        return probabilities_of(logits, multi_label=self.task.multi_label)

    def _read(self, texts: Sequence[str], pairs: Sequence[str] | None) -> Tokens:
        self.task.check_texts(texts, pairs)
        return encode(self.tokenizer, texts, self.max_length, pairs=pairs)


def open_adapter(folder: Path, name: str, revision: str | None, *, max_length: int, device: str = "cpu") -> OpenAdapter:
    """Load a run's ``final_model`` on its base model.

    Args:
        name: The base model as the run's configuration names it.
    Raises: ModelError if base or adapter are missing, damaged or do not belong together.
    """
    task = Task.read(read_json(folder / "config.json"), str(folder / "config.json"))
    base = base_model.inspect(name, revision)
    model = load_adapter(base_model.load(base, task.label_names, seed=0), base, folder)
    model = model.to(device)
    with suppress(engine.NotKnown):  # then transformers' own code answers: the same, in more time
        engine.install(model, torch.float32, trains=False)
    return OpenAdapter(model, base.tokenizer, task, max_length, device)


def save_description(base: base_model.BaseModel, task: Task, folder: Path) -> None:
    """Put the base's ``config.json`` (with label names and kind of task) and the tokenizer beside an adapter.

    The adapter alone knows no label names; with these the folder is complete for anyone.
    """
    base_model.classifier_config(base, task).save_pretrained(folder)
    with base_model.quiet_transformers():
        base.tokenizer.save_pretrained(folder)
