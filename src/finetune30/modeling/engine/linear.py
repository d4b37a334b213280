"""Frozen linear layers that read the same input, as one product, with the adapters on them.

Query, key and value become one matrix product, and their adapters one pair of thin products.
Neighbours: ``products`` multiplies by what is frozen, ``architectures`` finds the layers,
``layer`` calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from finetune30.modeling.engine.products import Product, product, thin_product

ADAPTER = "default"


@dataclass(frozen=True)
class Thin:
    """What the backward pass of a stack's adapters needs.

    Attributes:
        inputs: What the adapters read, shape (rows, in).
        values: ``inputs`` times every ``lora_A``, shape (rows, ranks).
        kept: The dropout mask over ``inputs``, already scaled; None without dropout.
    """

    inputs: Tensor
    values: Tensor
    kept: Tensor | None


@dataclass(frozen=True)
class Gradients:
    """Of the adapters of a stack: of ``down`` and of ``up``, still without the adapters' scale."""

    of_down: Tensor
    of_up: Tensor


class Stack:
    """Linear layers with one input.

    Args:
        layers: ``nn.Linear``, bare or under a LoRA layer of PEFT, in the order of the outputs; they are
            only read.
        dtype: Number format of the products.
        trains: Whether there will be backward passes.
    Attributes:
        parameters: ``lora_A``, ``lora_B`` of each adapter, in the order of the layers.
        down: Every ``lora_A``, one below the other, in ``dtype``: shape (ranks, in).
        up: Every ``lora_B``, transposed, where its outputs are: shape (ranks, out); zero elsewhere.
        scale: lora_alpha / r, or what else PEFT made of it.
    """

    def __init__(self, layers: Sequence[nn.Module], dtype: torch.dtype, *, trains: bool) -> None:
        bare: list[Any] = [_without_adapter(layer) for layer in layers]
        adapters: list[Any] = [layer for layer in layers if isinstance(layer, LoraLayer)]
        weight = torch.cat([layer.weight.detach() for layer in bare]).to(dtype)
        bias = None if bare[0].bias is None else torch.cat([layer.bias.detach() for layer in bare]).to(dtype)
        self.product: Product = product(weight, bias, trains=trains)
        self.adapted = bool(adapters)
        self.parameters: list[nn.Parameter] = []
        self.scale = float(adapters[0].scaling[ADAPTER]) if adapters else 1.0
        self.dropout = max((float(getattr(a.lora_dropout[ADAPTER], "p", 0.0)) for a in adapters), default=0.0)
        self._adapter: nn.Module = layers[0] if not adapters else adapters[0]
        ranks = sum(adapter.r[ADAPTER] for adapter in adapters)
        self.down = weight.new_zeros(ranks, weight.shape[1])
        self.up = weight.new_zeros(ranks, weight.shape[0])
        self._places: list[tuple[slice, slice]] = []
        rank = row = 0
        layer: Any
        for layer, linear in zip(layers, bare, strict=True):
            outputs = linear.weight.shape[0]
            if isinstance(layer, LoraLayer):
                self.parameters += [layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight]
                self._places.append((slice(rank, rank + layer.r[ADAPTER]), slice(row, row + outputs)))
                rank += layer.r[ADAPTER]
            row += outputs

    def views(self, gradients: Gradients | None = None) -> list[Tensor]:
        """What stands for each of ``parameters``, in its shape: in ``down`` and ``up``, or in their gradients."""
        down, up = (self.down, self.up) if gradients is None else (gradients.of_down, gradients.of_up)
        return [view for ranks, rows in self._places for view in (down[ranks], up[ranks, rows].t())]

    def forward(self, inputs: Tensor, *, learns: bool) -> tuple[Tensor, Thin | None]:
        """The layers' outputs side by side.

        Args:
            inputs: Shape (rows, in).
            learns: Whether the backward pass will come; dropout acts only then.
        Returns: Shape (rows, out), and what ``adapters_backward`` needs.
        """
        outputs = self.product.forward(inputs)
        if not self.adapted:
            return outputs, None
        kept = None
        if learns and self.dropout > 0.0 and self._adapter.training:
            kept = torch.empty_like(inputs).bernoulli_(1.0 - self.dropout).div_(1.0 - self.dropout)
            inputs = inputs * kept
        values = thin_product(inputs, self.down)
        outputs.addmm_(values, self.up, alpha=self.scale)
        return outputs, Thin(inputs, values, kept) if learns else None

    def adapters_backward(self, gradient: Tensor, thin: Thin | None) -> tuple[Tensor | None, Gradients | None]:
        """Gradients of the adapters.

        Args:
            gradient: Of the outputs, shape (rows, out).
        Returns: That of the thin values, for ``inputs_backward``, and those of ``down`` and ``up``.
        """
        if thin is None:
            return None, None
        of_values = thin_product(gradient, self.up)
        return of_values, Gradients(of_values.t() @ thin.inputs, thin.values.t() @ gradient)

    def inputs_backward(
        self, gradient: Tensor, thin: Thin | None, of_values: Tensor | None, *, onto: Tensor | None = None
    ) -> Tensor:
        """Gradient of the inputs, shape (rows, in).

        Args:
            onto: Added to it: what reaches the inputs on another way.
        """
        of_inputs = self.product.backward(gradient, onto)
        if thin is None or of_values is None:
            return of_inputs
        if thin.kept is None:
            return of_inputs.addmm_(of_values, self.down, alpha=self.scale)
        return of_inputs.addcmul_(of_values @ self.down, thin.kept, value=self.scale)


def _without_adapter(layer: Any) -> Any:
    return layer.get_base_layer() if isinstance(layer, LoraLayer) else layer
