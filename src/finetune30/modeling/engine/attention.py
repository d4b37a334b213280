"""Attention with its backward pass by hand, for batches of short texts.

Two ways, one meaning. ``Plain`` is two batched products with a softmax in float32 between
them: on a CPU several times faster than the fused kernels of torch, whose backward pass is
poor at small heads. ``Fused`` leaves it to ``scaled_dot_product_attention``, which picks
FlashAttention or its kin on CUDA and MPS. Neighbours: ``layer`` brings heads and takes them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

Heads = tuple[Tensor, Tensor, Tensor]
# Attention weights of one piece of a batch, in numbers: 64 MiB in float32. More is computed piece by
# piece, and computed again in the backward pass instead of kept.
_PIECE = 16 << 20


class Remembered(Protocol):
    """What the forward pass leaves for the backward pass."""

    def backward(self, gradient: Tensor) -> Heads:
        """Gradients of query, key and value, from that of the context; shapes as in ``attend``."""
        ...


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, learns: bool
) -> tuple[Tensor, Remembered]:
    """What each query reads from the values.

    Args:
        query: Shape ``(batch, heads, queries, size)``, contiguous.
        key, value: Shape ``(batch, heads, tokens, size)``, contiguous.
        mask: Added to the scores, shape ``(batch, 1, 1, tokens)``, float32; None where nothing is padded.
        learns: Whether ``backward`` will be called.
    Returns: The context, shape ``(batch, heads, queries, size)``, and what its backward pass needs.
    """
    way = Plain if query.device.type == "cpu" else Fused
    return way.attend(query, key, value, mask, learns=learns)


@dataclass(frozen=True)
class Plain:
    """Softmax between two batched products."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    weights: Tensor | None

    @classmethod
    def attend(
        cls, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, learns: bool
    ) -> tuple[Tensor, Plain]:
        """See ``attend``."""
        whole = query.shape[0] * query.shape[1] * query.shape[2] * key.shape[2] <= _PIECE
        if whole:
            weights = _weights(query, key, mask)
            context = (weights @ value.flatten(0, 1)).view_as(query)
            return context, cls(query, key, value, mask, weights if learns else None)
        context = torch.empty_like(query)
        for piece in _pieces(query, key):
            part = _weights(query[piece], key[piece], None if mask is None else mask[piece])
            torch.bmm(part, value[piece].flatten(0, 1), out=context[piece].flatten(0, 1))
        return context, cls(query, key, value, mask, None)

    def backward(self, gradient: Tensor) -> Heads:
        """See ``Remembered``."""
        if self.weights is not None:
            return self._backward(slice(None), self.weights, gradient)
        parts = [self._backward(piece, None, gradient[piece]) for piece in _pieces(self.query, self.key)]
        query, key, value = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
        return query, key, value

    def _backward(self, piece: slice, weights: Tensor | None, gradient: Tensor) -> Heads:
        query, key, value = self.query[piece], self.key[piece], self.value[piece]
        if weights is None:
            weights = _weights(query, key, None if self.mask is None else self.mask[piece])
        flat = gradient.flatten(0, 1)
        of_value = weights.transpose(1, 2) @ flat
        of_weights = (flat @ value.flatten(0, 1).transpose(1, 2)).float()
        of_scores = torch._softmax_backward_data(of_weights, weights.float(), -1, torch.float32)
        of_scores = of_scores.mul_(_scale(query)).to(query.dtype)
        of_query = of_scores @ key.flatten(0, 1)
        of_key = of_scores.transpose(1, 2) @ query.flatten(0, 1)
        return of_query.view_as(query), of_key.view_as(key), of_value.view_as(value)


@dataclass(frozen=True)
class Fused:
    """torch's own kernel, and torch's own backward pass of it."""

    heads: Heads
    context: Tensor

    @classmethod
    def attend(
        cls, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, learns: bool
    ) -> tuple[Tensor, Fused]:
        """See ``attend``."""
        with torch.set_grad_enabled(learns):
            query, key, value = (head.detach().requires_grad_(learns) for head in (query, key, value))
            added = None if mask is None else mask.to(query.dtype)
            context = scaled_dot_product_attention(query, key, value, attn_mask=added)
        return context.detach(), cls((query, key, value), context)

    def backward(self, gradient: Tensor) -> Heads:
        """See ``Remembered``."""
        query, key, value = torch.autograd.grad(self.context, self.heads, gradient)
        return query, key, value


def _scale(query: Tensor) -> float:
    return float(query.shape[-1] ** -0.5)


def _weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """Shape ``(batch * heads, queries, tokens)``; rows sum to 1.

    The softmax is in float32 also for bfloat16: that is more exact, and five times faster on a CPU.
    """
    scores = (query.flatten(0, 1) @ key.flatten(0, 1).transpose(1, 2)).float().mul_(_scale(query))
    if mask is not None:
        scores.view(*query.shape[:3], key.shape[2]).add_(mask)
    return torch.softmax(scores, -1).to(query.dtype)


def _pieces(query: Tensor, key: Tensor) -> Iterator[slice]:
    rows = max(1, _PIECE // (query.shape[1] * query.shape[2] * key.shape[2]))
    return (slice(start, start + rows) for start in range(0, query.shape[0], rows))
