"""The engine in a model's place: same names, same parameters, same answers, less work.

``install`` replaces one method, the body's ``forward``. Parameters, state dict, heads and
PEFT stay what they are, so saving, loading and resuming know nothing of it. All layers are one
step of autograd. Neighbours: ``architectures`` takes the model apart, ``layer`` computes;
``training`` and ``opened`` install it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from finetune30.modeling.engine.architectures import Parts, take_apart
from finetune30.modeling.engine.layer import Adapted, Kept, Layer
from finetune30.modeling.process import tune


def install(model: nn.Module, dtype: torch.dtype, *, trains: bool = True) -> Encoder:
    """Let the engine compute a classifier's body from here on.

    Args:
        model: A PEFT model around a classifier of transformers, on its device.
        dtype: Number format of the products; a copy of the frozen layers is held in it.
        trains: Whether there will be backward passes; for answers alone less is prepared.
    Raises: NotKnown, and the model is as it was.
    """
    tune()
    encoder = Encoder(take_apart(model, dtype, trains=trains), dtype)
    encoder.parts.body.forward = encoder.forward
    return encoder


class Encoder:
    """Stands in for the body of a classifier.

    Attributes:
        below: Layers left out at the bottom: with them ``forward`` takes their outputs as ``inputs_embeds``.
    """

    def __init__(self, parts: Parts, dtype: torch.dtype) -> None:
        self.parts = parts
        self.dtype = dtype
        self.below = 0
        stacks = list(dict.fromkeys(stack for layer in parts.layers for stack in layer.stacks()))
        self._held = [view for stack in stacks for view in stack.views()]
        self._read = [parameter.detach() for stack in stacks for parameter in stack.parameters]
        self.parameters = list(dict.fromkeys(parameter for stack in stacks for parameter in stack.parameters))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPooling:
        """What the body of transformers answers, but for the first token alone.

        Args:
            input_ids: Shape (rows, tokens), padded on the right.
            attention_mask: Shape (rows, tokens), 1 where there is a token; None if nothing is padded.
            inputs_embeds: In place of ``input_ids``: what ``hidden`` gave for ``below`` layers.
        Returns: ``last_hidden_state`` of shape (rows, 1, size), in float32.
        """
        if inputs_embeds is None:
            inputs_embeds = self.embed(input_ids, token_type_ids)
        hidden = self._through(self.parts.layers[self.below :], inputs_embeds, _added(attention_mask)).float()
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=self._pooled(hidden))

    def embed(self, input_ids: Tensor | None, token_type_ids: Tensor | None = None) -> Tensor:
        """What the first layer reads, shape (rows, tokens, size)."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        body: Any = self.parts.body
        hidden: Tensor = body.embeddings(input_ids=input_ids, **types)
        if self.parts.between is not None:
            hidden = self.parts.between(hidden)
        return hidden.to(self.dtype).contiguous()

    @torch.no_grad()
    def hidden(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        layers: int,
    ) -> Tensor:
        """What layer number ``layers`` reads, shape (rows, tokens, size)."""
        return self._through(self.parts.layers[:layers], self.embed(input_ids, token_type_ids), _added(attention_mask))

    @property
    def size(self) -> int:
        """Numbers of one token between two layers."""
        return int(self.parts.layers[0].output_norm.weight.shape[0])

    def learns_before_layers(self) -> bool:
        """Whether anything that the first layer reads changes in training."""
        body: Any = self.parts.body
        modules = [body.embeddings, *([] if self.parts.between is None else [self.parts.between])]
        return any(parameter.requires_grad for module in modules for parameter in module.parameters())

    def _through(self, layers: Sequence[Layer], hidden: Tensor, mask: Tensor | None) -> Tensor:
        if self._held:  # the adapter may lie outside the layers alone
            with torch.no_grad():
                torch._foreach_copy_(self._held, self._read)  # the optimizer has changed them
        if torch.is_grad_enabled():
            outputs: Tensor = _Through.apply(hidden, mask, self, layers, *self.parameters)  # type: ignore[no-untyped-call]
            return outputs
        for layer in layers:
            hidden, _ = layer.forward(hidden, mask, learns=False)
        return hidden

    def _pooled(self, hidden: Tensor) -> Tensor | None:
        body: Any = self.parts.body
        pooler = getattr(body, "pooler", None)
        if pooler is None:
            return None
        activation = getattr(body, "pooler_activation", None)  # ALBERT keeps the two apart
        pooled: Tensor = pooler(hidden) if activation is None else activation(pooler(hidden[:, 0]))
        return pooled


class _Through(torch.autograd.Function):
    """All layers as one step of autograd."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, mask: Tensor | None, encoder: Encoder, layers: Sequence[Layer], *_: Tensor
    ) -> Tensor:
        ctx.encoder, ctx.layers, ctx.kept = encoder, layers, []
        for layer in layers:
            hidden, kept = layer.forward(hidden, mask, learns=True)
            ctx.kept.append(kept)
        return hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        kept: list[Kept] = ctx.kept
        trained = [any(stack.adapted for stack in layer.stacks()) for layer in ctx.layers]
        of_hidden: Tensor | None = gradients[0]
        found: Adapted = []
        for number in reversed(range(len(ctx.layers))):
            below = ctx.needs_input_grad[0] or any(trained[:number])
            if of_hidden is None:
                break
            of_hidden, of_adapters = ctx.layers[number].backward(of_hidden, kept.pop(), wanted=below)
            found += of_adapters
        totals = _by_parameter(found)
        return of_hidden, None, None, None, *(totals.get(parameter) for parameter in ctx.encoder.parameters)


def _by_parameter(found: Adapted) -> dict[nn.Parameter, Tensor]:
    """Gradients in float32 and with the adapters' scale; those of shared layers add up."""
    if not found:
        return {}
    parameters = [parameter for stack, _ in found for parameter in stack.parameters]
    gradients = [torch.empty_like(parameter) for parameter in parameters]
    # One call for all: a call for each of a hundred small tensors costs as much as a layer.
    torch._foreach_copy_(gradients, [view for stack, of_stack in found for view in stack.views(of_stack)])
    torch._foreach_mul_(gradients, [stack.scale for stack, _ in found for _ in stack.parameters])
    totals: dict[nn.Parameter, Tensor] = {}
    for parameter, gradient in zip(parameters, gradients, strict=True):
        totals[parameter] = totals[parameter].add_(gradient) if parameter in totals else gradient
    return totals


def _added(attention_mask: Tensor | None) -> Tensor | None:
    """See ``attend``: 0 where there is a token, the smallest number where there is none."""
    if attention_mask is None:
        return None
    smallest = torch.finfo(torch.float32).min
    return (1.0 - attention_mask[:, None, None, :].float()) * smallest
