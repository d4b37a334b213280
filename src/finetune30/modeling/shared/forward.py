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
from finetune30.modeling.shared.rows import Batch, Segment

# On a CPU torch's fused attention is the faster one for so few rows; from there on it is the slower one.
_FUSED_ROWS = 2


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
        return hidden.float().unsqueeze(1)

    def _embedded(self, batch: Batch) -> Tensor:
        body: Any = self._parts.body
        hidden: Tensor = body.embeddings(**{key: batch.read[key] for key in batch.read if key != "attention_mask"})
        if self._parts.between is not None:
            hidden = self._parts.between(hidden)
        hidden = hidden.to(self.dtype)
        if len(batch.segments) == 1:
            return hidden.flatten(0, 1)
        return torch.cat([hidden[one.first : one.last, : one.tokens].flatten(0, 1) for one in batch.segments])


def _through(layer: Layer, hidden: Tensor, batch: Batch, crowd: Crowd, firsts: Crowd) -> Tensor:
    stacks = cast(Sequence[SharedStack], layer.attention)
    if layer.first_only:
        asked = torch.cat([hidden[one.start : one.stop : one.tokens] for one in batch.segments])
        queries, others = stacks[0].answer(asked, firsts), stacks[1].answer(hidden, crowd)
        crowd = firsts
    else:
        asked, queries, others = hidden, None, stacks[0].answer(hidden, crowd)
    parts = [_attended(layer, one, queries, others) for one in batch.segments]
    context = parts[0] if len(parts) == 1 else torch.cat(parts)
    middle = _normed(layer.attention_norm, _of(layer.out).answer(context, crowd, asked))
    wide = layer.activation.forward(_of(layer.up).answer(middle, crowd))
    return _normed(layer.output_norm, _of(layer.down).answer(wide, crowd, middle))


def _attended(layer: Layer, segment: Segment, queries: Tensor | None, others: Tensor) -> Tensor:
    """What the tokens of a segment read, shape (tokens, size).

    Args:
        queries: Shape (rows, size): the first tokens'; None where they stand before the keys in ``others``.
    """
    rows, count = segment.rows, 3 if queries is None else 2
    some = others if others.shape[0] == segment.stop - segment.start else others[segment.start : segment.stop]
    shape = rows, segment.tokens, count, layer.heads, some.shape[1] // count // layer.heads
    heads = some.view(shape).permute(2, 0, 3, 1, 4)
    fused = rows <= _FUSED_ROWS or some.device.type != "cpu"
    *first, key, value = (heads if fused else heads.contiguous()).unbind(0)
    query = first[0] if queries is None else queries[segment.first : segment.last].view(rows, layer.heads, 1, -1)
    if fused:
        mask = None if segment.mask is None else segment.mask.to(some.dtype)
        context = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    else:
        context, _ = Plain.attend(query.contiguous(), key, value, segment.mask, learns=False)
    return context.transpose(1, 2).reshape(-1, some.shape[1] // count)


def _normed(norm: Norm, inputs: Tensor) -> Tensor:
    return torch.layer_norm(inputs, norm.weight.shape, norm.weight, norm.bias, norm.eps)


def _of(stack: Any) -> SharedStack:
    return cast(SharedStack, stack)
