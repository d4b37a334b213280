"""An encoder's forward pass for answers: embeddings by transformers, layers by ``steps``.

For one short text the calls cost as much as the sums, so nothing is kept for a backward pass, the residual
is added inside the product, and attention takes the fewest steps for the number of rows.
Neighbours: ``engine.layer`` is the same for training, ``crowd`` says whose rows there are.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from finetune30.modeling.engine.architectures import Parts
from finetune30.modeling.engine.layer import ACTIVATIONS, Layer
from finetune30.modeling.engine.products import Packed
from finetune30.modeling.shared import steps
from finetune30.modeling.shared.adding import Adapters, rounded
from finetune30.modeling.shared.crowd import SharedStack, crowd
from finetune30.modeling.shared.plans import Stacks, Tensors
from finetune30.modeling.shared.rows import Batch
from finetune30.modeling.shared.steps import Block, Piece
from finetune30.modeling.shared.words import Words

_LOG = logging.getLogger("finetune30.serving")
_ACTIVATIONS = {
    id(ACTIVATIONS["gelu"]): steps.GELU,
    id(ACTIVATIONS["gelu_new"]): steps.GELU_TANH,
    id(ACTIVATIONS["relu"]): steps.RELU,
}
Through = Callable[..., Tensor]
_NOBODY = Adapters([], [])


class Forward:
    """Computes batches; safe in many threads."""

    def __init__(self, parts: Parts, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.parts = parts
        stacks = [cast(SharedStack, stack) for layer in parts.layers for stack in layer.stacks()]
        self._stacks: Stacks = tuple(dict.fromkeys(stack.names for stack in stacks))
        numbers = {names: number for number, names in enumerate(self._stacks)}
        self._blocks = [_block(layer, numbers) for layer in parts.layers]
        self._through = compiled()
        body: Any = parts.body
        self._words = Words.of(body) if body.device.type == "cpu" else None

    def with_blocks(self, change: Callable[[Block, Stacks], Block], dtype: torch.dtype) -> Forward:
        """The same pass through other layers.

        Args:
            change: Makes a layer of one of these, whose products are these stacks.
        """
        other = copy(self)
        other.dtype = dtype
        other._blocks = [change(block, tuple(self._stacks[at] for at in block.stacks)) for block in self._blocks]
        return other

    def __call__(self, batch: Batch, whose: Sequence[Tensors]) -> Tensor:
        """Hidden states of each row's first token, shape (rows, 1, size), in float32.

        Args:
            whose: Of each row its adapter's tensors; none at all where nothing is added to any.
        """
        pieces = [Piece(one.first, one.last, one.tokens, one.start, one.mask) for one in batch.segments]
        crowded = firsts = _NOBODY
        if whose:
            crowded, firsts = (crowd(whose, segments, self._stacks) for segments in (batch.segments, batch.firsts))
        hidden = self._through(self._embedded(batch), self._blocks, pieces, len(batch.rows), crowded, firsts)
        return hidden[: len(batch.rows)].float().unsqueeze(1)

    def _embedded(self, batch: Batch) -> Tensor:
        """Segment after segment, then tokens of nobody: shape (rounded tokens, size)."""
        count = rounded(batch.tokens)
        if self._words is not None and self.parts.between is None:
            return self._words.laid(batch.read, batch.segments, count).to(self.dtype)
        body: Any = self.parts.body
        hidden: Tensor = body.embeddings(**{key: batch.read[key] for key in batch.read if key != "attention_mask"})
        if self.parts.between is not None:
            hidden = self.parts.between(hidden)
        laid = hidden.new_zeros(count, hidden.shape[-1], dtype=self.dtype)
        for one in batch.segments:
            there = hidden[one.first : one.last, : one.tokens]
            laid[one.start : one.stop].view(one.rows, one.tokens, -1)[:, : there.shape[1]] = there
        return laid


@cache
def compiled() -> Through:
    """``steps.through`` without Python in it, or as it is where this torch cannot compile it."""
    try:
        with warnings.catch_warnings():
            # It is to be replaced by compilers that need a C++ compiler on the user's machine.
            warnings.simplefilter("ignore", DeprecationWarning)
            function: Through = torch.jit.script(steps.through)
            optimized: Any = torch.jit.optimized_execution  # type: ignore[attr-defined]
    except Exception as cause:  # noqa: BLE001 - whatever it is, the same source runs as it is
        _LOG.info("the forward pass runs in Python: %s", type(cause).__name__)
        return steps.through

    def through(*values: Any) -> Tensor:
        # Its optimizer looks at shapes in the first calls and at each new one; there is nothing here to fuse.
        with optimized(False):
            return function(*values)

    return through


def _block(layer: Layer, numbers: dict[tuple[str, ...], int]) -> Block:
    stacks = [cast(SharedStack, stack) for stack in (*layer.attention, layer.out, layer.up, layer.down)]
    products: list[Any] = [stack.product for stack in stacks]
    norms = layer.attention_norm, layer.output_norm
    return Block(
        [numbers[stack.names] for stack in stacks],
        [one.weight for one in products],
        [one.bias for one in products],
        [tensor for norm in norms for tensor in (norm.weight, norm.bias)],
        [norm.eps for norm in norms],
        layer.heads,
        _ACTIVATIONS[id(layer.activation)],
        isinstance(products[0], Packed),
    )
