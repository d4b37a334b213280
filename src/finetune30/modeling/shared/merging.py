"""One adapter merged into a copy of the base's layers: for the one that nearly everybody asks.

Its batches need no thin products. The sums are made in float32 and then rounded, as the base's weights were; what
that does to its answers is measured before the copy answers anybody (``serving.hot``). The copy belongs to one
adapter in memory, the very object: rows of any other, also of the same run loaded again, never meet it.
Neighbours: ``body`` decides batch by batch, ``forward`` computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from finetune30.modeling.engine.architectures import of_norm
from finetune30.modeling.engine.products import product
from finetune30.modeling.shared.forward import Forward
from finetune30.modeling.shared.heads import Head
from finetune30.modeling.shared.plans import Delta, Stacks, Tensors
from finetune30.modeling.shared.rounding import Rounding
from finetune30.modeling.shared.rows import Batch


@dataclass(frozen=True, eq=False)
class Merged:
    """A copy of the base's layers with an adapter in them.

    Attributes:
        adapter: Whose it is.
        compute: Hidden states of its rows.
        head: Of its rows.
        rounding: What the copy's number format does to its answers.
        nbytes: Memory of its weights.
    """

    adapter: Any
    compute: Callable[[Batch], Tensor]
    head: Head
    rounding: Rounding
    nbytes: int


def merged(exact: Forward, tensors: Tensors, dtype: torch.dtype) -> tuple[Forward, int]:
    """The pass through layers that have the adapter in them, and the memory of these.

    Args:
        exact: The base's pass in float32; it is only read.
        tensors: The adapter's, in float32.
    """
    made: dict[int, tuple[Tensor, Tensor | None]] = {}
    nbytes = 0

    def change(block: Any, stacks: Stacks) -> Any:
        nonlocal nbytes
        weights, biases = [], []
        for names, weight, bias in zip(stacks, block.weights, block.biases, strict=True):
            key = id(weight)  # layers that are shared are merged once
            if key not in made:
                made[key] = _product(
                    _sum(weight, tensors.of(names)).to(dtype), None if bias is None else bias.to(dtype)
                )
                nbytes += weight.numel() * dtype.itemsize
            weights.append(made[key][0])
            biases.append(made[key][1])
        norms = [of_norm(one, dtype) for one in block.norms]
        return block._replace(weights=weights, biases=biases, norms=norms)

    return exact.with_blocks(change, dtype), nbytes


def _sum(weight: Tensor, delta: Delta | None) -> Tensor:
    """A stack's weight and what the adapter adds to it, shape (out, in)."""
    total = weight.to_dense() if weight.is_mkldnn else weight.clone()
    if delta is not None:
        for ranks, columns, up in delta.ups:
            total[columns].addmm_(up.t(), delta.down[ranks])
    return total


def _product(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    laid: Any = product(weight, bias, trains=False)
    return laid.weight, laid.bias


__all__ = ["Merged", "merged"]
