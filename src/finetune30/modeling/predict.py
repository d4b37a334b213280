"""Class probabilities of texts: batch by length, forward.

The one place where logits are computed outside the training step, so evaluation, the parity
check and ``predict`` cannot drift apart. Neighbours: ``training`` scores with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finetune30.modeling.memory import is_out_of_memory


class Inputs(Protocol):
    """Texts in a form a model takes: ``Tokens``, or what stands for them."""

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        ...

    def batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """What the model takes for these texts, in this order."""
        ...


@torch.inference_mode()
def logits_of(model: nn.Module, inputs: Inputs, *, batch_size: int, device: str) -> NDArray[np.float32]:
    """Raw scores, in the order given; a batch that does not fit into memory is halved.

    Returns: Shape ``(texts, num_labels)``, float32.
    Raises: What the device says when not even one text fits.
    """
    was_training = model.training
    model.eval()
    order = np.argsort(inputs.lengths(), kind="stable").tolist()
    pieces: list[torch.Tensor] = []
    start = 0
    while start < len(order):
        rows = order[start : start + batch_size]
        try:
            pieces.append(_forward(model, inputs.batch(rows), device))
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


def _forward(model: nn.Module, batch: dict[str, torch.Tensor], device: str) -> torch.Tensor:
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


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of each number by itself."""
    # 1 / (1 + exp(-x)) would overflow far below 0.
    single: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
    return single


def probabilities_of(logits: NDArray[np.float32], *, multi_label: bool) -> NDArray[np.float64]:
    """Of labels that exclude each other, or (multi-label) of each label by itself; shape of ``logits``."""
    return sigmoid(logits) if multi_label else softmax(logits)
