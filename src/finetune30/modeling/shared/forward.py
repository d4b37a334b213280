"""An encoder's forward pass for answers: training's layers, with as few calls as there can be.

For one short text the calls cost as much as the sums, so nothing is kept for a backward pass, the residual
is added inside the product, and attention takes the fewest steps for the number of rows.
Neighbours: ``engine.layer`` is the same for training, ``crowd`` adds the adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from finetune30.modeling.engine.architectures import Parts
from finetune30.modeling.engine.attention import Plain
from finetune30.modeling.engine.layer import Layer, Norm
from finetune30.modeling.shared.crowd import Crowd, SharedStack
from finetune30.modeling.shared.rows import Batch, Segment, rounded

# On a CPU torch's fused attention is the faster one for so few rows; from there on it is the slower one.
_FUSED_ROWS = 2
# Beyond those, heads have a multiple of so many tokens.
_TOKENS = 4


class Forward:
    """Computes batches; safe in many threads."""

    def __init__(self, parts: Parts, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._parts = parts

    def __call__(self, batch: Batch, crowd: Crowd, firsts: Crowd) -> Tensor:
        """Hidden states of each row's first token, shape (rows, 1, size), in float32.

        Args:
            crowd: The adapters of the rows as they lie.
            firsts: The same for one token a row.
        """
        hidden = self._embedded(batch)
        for layer in self._parts.layers:
            hidden = _through(layer, hidden, batch, crowd, firsts)
        return hidden[: len(batch.rows)].float().unsqueeze(1)

    def _embedded(self, batch: Batch) -> Tensor:
        """Segment after segment, then tokens of nobody: shape (rounded tokens, size)."""
        body: Any = self._parts.body
        hidden: Tensor = body.embeddings(**{key: batch.read[key] for key in batch.read if key != "attention_mask"})
        if self._parts.between is not None:
            hidden = self._parts.between(hidden)
        laid = hidden.new_zeros(rounded(batch.tokens), hidden.shape[-1], dtype=self.dtype)
        for one in batch.segments:
            there = hidden[one.first : one.last, : one.tokens]
            laid[one.start : one.stop].view(one.rows, one.tokens, -1)[:, : there.shape[1]] = there
        return laid


def _through(layer: Layer, hidden: Tensor, batch: Batch, crowd: Crowd, firsts: Crowd) -> Tensor:
    stacks = cast(Sequence[SharedStack], layer.attention)
    if layer.first_only:
        asked = _firsts(hidden, batch)
        queries, others = stacks[0].answer(asked, firsts), stacks[1].answer(hidden, crowd)
        crowd = firsts
    else:
        asked, queries, others = hidden, None, stacks[0].answer(hidden, crowd)
    context = torch.zeros_like(asked)
    for one in batch.segments:
        _attend(layer, one, queries, others, context)
    middle = _normed(layer.attention_norm, _of(layer.out).answer(context, crowd, asked))
    wide = layer.activation.forward(_of(layer.up).answer(middle, crowd))
    return _normed(layer.output_norm, _of(layer.down).answer(wide, crowd, middle))


def _firsts(hidden: Tensor, batch: Batch) -> Tensor:
    """The first token of each row, then rows of nobody."""
    firsts = hidden.new_zeros(rounded(len(batch.rows)), hidden.shape[1])
    for one in batch.segments:
        firsts[one.first : one.last] = hidden[one.start : one.stop : one.tokens]
    return firsts


def _attend(layer: Layer, segment: Segment, queries: Tensor | None, others: Tensor, context: Tensor) -> None:
    """Write what the tokens of a segment read into their place in ``context``.

    Args:
        queries: Shape (rows, size): the first tokens'; None where they stand before the keys in ``others``.
        context: Shape (tokens, size), of the first tokens alone (rows, size).
    """
    rows, tokens, count = segment.rows, segment.tokens, 3 if queries is None else 2
    some = others[segment.start : segment.stop]
    width = some.shape[1] // count // layer.heads
    heads = some.view(rows, tokens, count, layer.heads, width).permute(2, 0, 3, 1, 4)
    mask = segment.mask
    if rows <= _FUSED_ROWS or some.device.type != "cpu":
        *first, key, value = heads.unbind(0)
        query = first[0] if queries is None else queries[segment.first : segment.last].view(rows, layer.heads, 1, -1)
        found = scaled_dot_product_attention(query, key, value, attn_mask=None if mask is None else mask.to(some.dtype))
    else:
        # For the kernels' sake as many rows and tokens as there often are; those of nobody are masked, or not read.
        more, longer = rounded(rows), -(-tokens // _TOKENS) * _TOKENS
        whole = some.new_zeros(count, more, layer.heads, longer, width)
        whole[:, :rows, :, :tokens] = heads
        *first, key, value = whole.unbind(0)
        if queries is None:
            query = first[0]
        else:
            query = some.new_zeros(more, layer.heads, 1, width)
            query[:rows] = queries[segment.first : segment.last].view(rows, layer.heads, 1, width)
        found, _ = Plain.attend(query, key, value, _wider(mask, rows, tokens, more, longer), learns=False)
        found = found[:rows, :, :tokens]
    at = slice(segment.start, segment.stop) if queries is None else slice(segment.first, segment.last)
    context[at].view(rows, -1, layer.heads, width).copy_(found.transpose(1, 2))


def _wider(mask: Tensor | None, rows: int, tokens: int, more: int, longer: int) -> Tensor | None:
    """The mask of a segment for more rows of more tokens."""
    if mask is None and tokens == longer:
        return None
    found = torch.zeros(more, 1, 1, longer)
    found[..., tokens:] = torch.finfo(torch.float32).min
    if mask is not None:
        found[:rows, ..., :tokens] = mask
    return found


def _normed(norm: Norm, inputs: Tensor) -> Tensor:
    return torch.layer_norm(inputs, norm.weight.shape, norm.weight, norm.bias, norm.eps)


def _of(stack: Any) -> SharedStack:
    return cast(SharedStack, stack)
