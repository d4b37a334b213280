"""An adapter that is more than plain LoRA, with a model of its own: right, if dear.

Neighbours: ``body`` says which cannot be shared; serving asks it like the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from finetune30.modeling.lora import WEIGHTS
from finetune30.modeling.opened import OpenAdapter
from finetune30.modeling.shared.rows import Row, padded
from finetune30.modeling.source import sha256_of
from finetune30.modeling.task import Task
from finetune30.modeling.tokens import Padder


@dataclass(frozen=True, eq=False)
class AloneAdapter:
    """An opened adapter that computes its rows itself.

    Attributes:
        mixes: Its batches hold its own rows only.
    """

    opened: OpenAdapter
    sha256: str
    nbytes: int
    padder: Padder
    mixes: bool = False

    @classmethod
    def of(cls, opened: OpenAdapter, folder: Path) -> AloneAdapter:
        """The adapter of a folder, opened."""
        tensors = [*opened.model.parameters(), *opened.model.buffers()]
        for tensor in tensors:  # the files may change below a map of them; what is in memory may not
            tensor.data = tensor.data.clone()
        nbytes = sum(tensor.nbytes for tensor in tensors)
        return cls(opened, sha256_of(folder / WEIGHTS), nbytes, Padder.of(opened.tokenizer))

    @property
    def task(self) -> Task:
        """What it is asked."""
        return self.opened.task

    @torch.inference_mode()
    def logits(self, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Of each row."""
        batch = {key: value.to(self.opened.device) for key, value in padded(rows, self.padder).items()}
        return list(self.opened.model(**batch).logits.float().cpu().numpy())
