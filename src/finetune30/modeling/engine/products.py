"""Products with frozen weights: forward, and backward to the inputs.

Frozen weights can be laid out once the way the processor's kernels read them. On a CPU that
is oneDNN's packed layout, forward and transposed: it adds the bias or the other branch's gradient
inside the product, is a tenth faster in bfloat16, and in float32 uses vector units that MKL
leaves idle on some processors. Neighbours: ``linear`` adds the adapters.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Product(Protocol):
    """Multiplies by a frozen weight of shape (out, in)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape (rows, in) -> (rows, out), bias added."""
        ...

    def onto(self, inputs: Tensor, other: Tensor) -> Tensor:
        """As ``forward``, and ``other``, shape (rows, out), is added."""
        ...

    def backward(self, gradient: Tensor, onto: Tensor | None) -> Tensor:
        """Shape (rows, out) -> (rows, in); ``onto`` is added if there is one."""
        ...


def product(weight: Tensor, bias: Tensor | None, *, trains: bool) -> Product:
    """The fastest product this device and this torch have.

    Args:
        weight: Shape (out, in); not needed any more afterwards.
        trains: Whether ``backward`` will be called; for answers alone it is not prepared.
    """
    if weight.device.type == "cpu" and packs():
        return Packed(weight, bias, trains=trains)
    return Plain(weight, bias)


def packs() -> bool:
    """Whether this torch packs weights for a CPU; its operators for that are not promised for ever."""
    operators = ("_reorder_linear_weight", "_linear_pointwise")
    built: bool = torch._C._has_mkldnn
    return built and all(hasattr(torch.ops.mkldnn, name) for name in operators)


class Packed:
    """In oneDNN's layout, on a CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, trains: bool) -> None:
        pack = torch.ops.mkldnn._reorder_linear_weight
        self.weight = pack(weight.contiguous(), None)
        self.transposed = pack(weight.t().contiguous(), None) if trains else None
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        """See ``Product``."""
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")
        return outputs

    def onto(self, inputs: Tensor, other: Tensor) -> Tensor:
        """See ``Product``."""
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise.binary(inputs, other, self.weight, self.bias, "add")
        return outputs

    def backward(self, gradient: Tensor, onto: Tensor | None) -> Tensor:
        """See ``Product``."""
        if onto is None:
            of_inputs: Tensor = torch.ops.mkldnn._linear_pointwise(gradient, self.transposed, None, "none", [], "")
        else:
            of_inputs = torch.ops.mkldnn._linear_pointwise.binary(gradient, onto, self.transposed, None, "add")
        return of_inputs


class Plain:
    """With torch's own products, on any device."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight = weight
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        """See ``Product``."""
        return functional.linear(inputs, self.weight, self.bias)

    def onto(self, inputs: Tensor, other: Tensor) -> Tensor:
        """See ``Product``."""
        return functional.linear(inputs, self.weight, self.bias).add_(other)

    def backward(self, gradient: Tensor, onto: Tensor | None) -> Tensor:
        """See ``Product``."""
        return gradient @ self.weight if onto is None else torch.addmm(onto, gradient, self.weight)


def thin_product(inputs: Tensor, weight: Tensor) -> Tensor:
    """``inputs @ weight.t()`` for a weight of few rows that changes at every step.

    Args:
        inputs: Shape (rows, in).
        weight: Shape (ranks, in).
    """
    if inputs.device.type == "cpu" and packs():
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, None, "none", [], "")
        return outputs
    return inputs @ weight.t()
