"""Class probabilities of texts: tokenise, batch by length, forward.

The one place where logits are computed outside the training step, so evaluation, the parity
check and ``predict`` cannot drift apart. Neighbours: ``training`` scores with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finetune30.modeling.memory import is_out_of_memory

Encoded = dict[str, list[int]]


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids ready for padding, and the positions of texts that were cut at ``max_length``."""

    rows: tuple[Encoded, ...]
    cut: frozenset[int]

    @property
    def truncated(self) -> int:
        """How many texts were cut."""
        return len(self.cut)

    def __len__(self) -> int:
        return len(self.rows)


def encode(tokenizer: Any, texts: Sequence[str], max_length: int) -> EncodedTexts:
    """Token ids of each text, at most ``max_length`` tokens including special ones, unpadded."""
    if not texts:
        return EncodedTexts((), frozenset())
    cut = tokenizer(list(texts), truncation=True, max_length=max_length, return_overflowing_tokens=False)
    keys = list(cut.keys())
    rows = tuple({key: cut[key][i] for key in keys} for i in range(len(texts)))
    full = [i for i, row in enumerate(rows) if len(row["input_ids"]) >= max_length]
    # Only a text that fills max_length can have been cut; count those that are longer uncut.
    longer = tokenizer([texts[i] for i in full], truncation=False, verbose=False)["input_ids"] if full else []
    return EncodedTexts(rows, frozenset(i for i, ids in zip(full, longer, strict=True) if len(ids) > max_length))


@torch.inference_mode()
def logits_of(
    model: nn.Module, tokenizer: Any, encoded: Sequence[Encoded], *, batch_size: int, device: str
) -> NDArray[np.float32]:
    """Raw scores, in the order given; a batch that does not fit into memory is halved.

    Returns: Shape ``(len(encoded), num_labels)``, float32.
    Raises: What the device says when not even one text fits.
    """
    was_training = model.training
    model.eval()
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"]))
    pieces: list[torch.Tensor] = []
    start = 0
    while start < len(order):
        rows = [encoded[i] for i in order[start : start + batch_size]]
        try:
            pieces.append(_forward(model, tokenizer, rows, device))
        except (RuntimeError, MemoryError) as fault:
            if batch_size == 1 or not is_out_of_memory(fault):
                raise
            batch_size //= 2
            continue
        start += len(rows)
    model.train(was_training)
    if not pieces:
        return np.zeros((0, 0), dtype=np.float32)
    result = torch.empty_like(torch.cat(pieces))
    result[torch.tensor(order)] = torch.cat(pieces)
    return result.numpy()


def _forward(model: nn.Module, tokenizer: Any, rows: list[Encoded], device: str) -> torch.Tensor:
    batch = tokenizer.pad(rows, return_tensors="pt", padding=True)
    output = model(**{key: value.to(device) for key, value in batch.items()})
    logits: torch.Tensor = output.logits
    return logits.float().cpu()


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities along the last axis; rows sum to 1."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares
