"""One layer of a post-norm encoder, its backward pass by hand.

Written out, because what the general machinery adds (casts, copies for heads, zero-filled
gradients of slices, gradients nobody reads) cost more than the matrix products. The last
layer computes only the first token: every head of the field's encoders reads nothing else.
Neighbours: ``linear`` multiplies, ``attention`` attends, ``encoder`` strings layers together.
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3; Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from finetune30.modeling.engine.attention import Heads, Remembered, attend
from finetune30.modeling.engine.linear import Gradients, Stack, Thin

aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """An activation function and its gradient: ``(gradient, inputs) -> gradient of inputs``."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "gelu": Activation(lambda z: aten.gelu(z), lambda g, z: aten.gelu_backward(g, z)),
    "gelu_new": Activation(
        lambda z: aten.gelu(z, approximate="tanh"), lambda g, z: aten.gelu_backward(g, z, approximate="tanh")
    ),
    "relu": Activation(lambda z: aten.relu(z), lambda g, z: aten.threshold_backward(g, z, 0)),
}
ACTIVATIONS["gelu_pytorch_tanh"] = ACTIVATIONS["gelu_new"]


@dataclass(frozen=True)
class Norm:
    """A frozen layer norm."""

    weight: Tensor
    bias: Tensor
    eps: float

    def forward(self, inputs: Tensor) -> tuple[Tensor, NormedInputs]:
        """Normalised rows, and what ``backward`` needs."""
        outputs, mean, rstd = torch.native_layer_norm(inputs, inputs.shape[-1:], self.weight, self.bias, self.eps)
        return outputs, NormedInputs(inputs, mean, rstd)

    def backward(self, gradient: Tensor, kept: NormedInputs) -> Tensor:
        """Gradient of the inputs."""
        of_inputs: Tensor = aten.native_layer_norm_backward(
            gradient,
            kept.inputs,
            kept.inputs.shape[-1:],
            kept.mean,
            kept.rstd,
            self.weight,
            self.bias,
            [True, False, False],
        )[0]
        return of_inputs


@dataclass(frozen=True)
class NormedInputs:
    """What a layer norm's backward pass needs."""

    inputs: Tensor
    mean: Tensor
    rstd: Tensor


@dataclass(frozen=True)
class Kept:
    """What a layer's backward pass needs of its forward pass."""

    shape: torch.Size
    thin_attention: tuple[Thin | None, ...]
    remembered: Remembered
    thin_out: Thin | None
    attention_norm: NormedInputs
    thin_up: Thin | None
    wide: Tensor
    thin_down: Thin | None
    output_norm: NormedInputs


# Of the stacks of a layer that have adapters.
Adapted = list[tuple[Stack, Gradients]]


@dataclass(frozen=True)
class Layer:
    """The frozen parts of one encoder layer and the adapters on them.

    Attributes:
        attention: One stack of query, key and value; or two, query and then key and value: such a layer
            computes the outputs of the first token alone.
        heads: How many; each reads size / heads numbers.
    """

    attention: tuple[Stack, ...]
    out: Stack
    attention_norm: Norm
    up: Stack
    down: Stack
    output_norm: Norm
    activation: Activation
    heads: int

    @property
    def first_only(self) -> bool:
        """Whether only the first token's outputs are computed."""
        return len(self.attention) > 1

    def stacks(self) -> tuple[Stack, ...]:
        """All of them."""
        return (*self.attention, self.out, self.up, self.down)

    def forward(self, hidden: Tensor, mask: Tensor | None, *, learns: bool) -> tuple[Tensor, Kept]:
        """The layer's outputs, and what ``backward`` needs.

        Args:
            hidden: Shape (rows, tokens, size), in the number format of the products, contiguous.
            mask: See ``attend``.
            learns: Whether the backward pass will come.
        Returns: Outputs of shape (rows, tokens or 1, size).
        """
        rows, _, size = hidden.shape
        asked = hidden[:, 0] if self.first_only else hidden.view(-1, size)
        (query, key, value), thin_attention = self._heads(hidden, learns=learns)
        context, remembered = attend(query, key, value, mask, learns=learns)
        context = context.transpose(1, 2).reshape(-1, size)
        attended, thin_out = self.out.forward(context, learns=learns)
        middle, attention_norm = self.attention_norm.forward(attended.add_(asked))
        wide, thin_up = self.up.forward(middle, learns=learns)
        narrow, thin_down = self.down.forward(self.activation.forward(wide), learns=learns)
        outputs, output_norm = self.output_norm.forward(narrow.add_(middle))
        kept = Kept(
            hidden.shape, thin_attention, remembered, thin_out, attention_norm, thin_up, wide, thin_down, output_norm
        )
        return outputs.view(rows, -1, size), kept

    def backward(self, gradient: Tensor, kept: Kept, *, wanted: bool) -> tuple[Tensor | None, Adapted]:
        """Gradients of the hidden states, if ``wanted``, and of the adapters.

        Args:
            gradient: Of the outputs, shape (rows, tokens or 1, size).
        """
        size = kept.shape[-1]
        of_narrow = self.output_norm.backward(gradient.reshape(-1, size), kept.output_norm)
        of_values, of_down = self.down.adapters_backward(of_narrow, kept.thin_down)
        of_active = self.down.inputs_backward(of_narrow, kept.thin_down, of_values)
        of_wide = self.activation.backward(of_active, kept.wide)
        of_values, of_up = self.up.adapters_backward(of_wide, kept.thin_up)
        found = _found((self.down, of_down), (self.up, of_up))
        in_attention = any(stack.adapted for stack in self.attention)
        if not (wanted or in_attention or self.out.adapted):
            return None, found
        of_middle = self.up.inputs_backward(of_wide, kept.thin_up, of_values, onto=of_narrow)
        of_attended = self.attention_norm.backward(of_middle, kept.attention_norm)
        of_values, of_out = self.out.adapters_backward(of_attended, kept.thin_out)
        found += _found((self.out, of_out))
        if not (wanted or in_attention):
            return None, found
        of_context = self.out.inputs_backward(of_attended, kept.thin_out, of_values)
        of_context = of_context.view(kept.shape[0], -1, self.heads, size // self.heads).transpose(1, 2).contiguous()
        of_heads = kept.remembered.backward(of_context)
        backward = self._first_heads_backward if self.first_only else self._heads_backward
        of_hidden, of_attention = backward(of_heads, of_attended, kept, wanted=wanted)
        return of_hidden, found + of_attention

    def _heads(self, hidden: Tensor, *, learns: bool) -> tuple[Heads, tuple[Thin | None, ...]]:
        rows, every = hidden.shape[0], hidden.view(-1, hidden.shape[-1])
        if not self.first_only:
            outputs, thin = self.attention[0].forward(every, learns=learns)
            query, key, value = self._split(outputs, rows, 3)
            return (query, key, value), (thin,)
        of_query, of_both = self.attention
        asked, thin_query = of_query.forward(hidden[:, 0].contiguous(), learns=learns)
        outputs, thin_both = of_both.forward(every, learns=learns)
        (query,) = self._split(asked, rows, 1)
        key, value = self._split(outputs, rows, 2)
        return (query, key, value), (thin_query, thin_both)

    def _heads_backward(
        self, of_heads: Heads, of_asked: Tensor, kept: Kept, *, wanted: bool
    ) -> tuple[Tensor | None, Adapted]:
        """Args: of_asked: what reaches the hidden states past the attention."""
        (stack,), (thin,) = self.attention, kept.thin_attention
        gradient = _join(of_heads)
        of_values, gradients = stack.adapters_backward(gradient, thin)
        found = _found((stack, gradients))
        if not wanted:
            return None, found
        return stack.inputs_backward(gradient, thin, of_values, onto=of_asked).view(kept.shape), found

    def _first_heads_backward(
        self, of_heads: Heads, of_asked: Tensor, kept: Kept, *, wanted: bool
    ) -> tuple[Tensor | None, Adapted]:
        """As ``_heads_backward`` where only the first token asked."""
        (query, both), (thin_query, thin_both) = self.attention, kept.thin_attention
        of_query, of_both = _join(of_heads[:1]), _join(of_heads[1:])
        of_query_values, query_gradients = query.adapters_backward(of_query, thin_query)
        of_both_values, both_gradients = both.adapters_backward(of_both, thin_both)
        found = _found((query, query_gradients), (both, both_gradients))
        if not wanted:
            return None, found
        of_hidden = both.inputs_backward(of_both, thin_both, of_both_values).view(kept.shape)
        of_hidden[:, 0] += query.inputs_backward(of_query, thin_query, of_query_values, onto=of_asked)
        return of_hidden, found

    def _split(self, outputs: Tensor, rows: int, layers: int) -> tuple[Tensor, ...]:
        """The outputs of stacked layers as heads, each of shape (rows, heads, tokens, size of a head)."""
        heads = outputs.view(rows, -1, layers, self.heads, outputs.shape[1] // layers // self.heads)
        return heads.permute(2, 0, 3, 1, 4).contiguous().unbind(0)


def _join(heads: Sequence[Tensor]) -> Tensor:
    """The reverse of ``_split``: shape (rows * tokens, layers * size)."""
    rows, count, tokens, size = heads[0].shape
    joined = heads[0].new_empty(rows, tokens, len(heads), count, size)
    for place, head in enumerate(heads):
        joined[:, :, place].copy_(head.transpose(1, 2))
    return joined.view(rows * tokens, -1)


def _found(*gradients: tuple[Stack, Gradients | None]) -> Adapted:
    return [(stack, found) for stack, found in gradients if found is not None]
