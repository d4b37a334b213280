"""One batch, many adapters: each row gets what its own adapter adds to a layer's outputs.

The frozen product is computed once for all rows; ``Crowd`` adds the thin products. Rows of one adapter
lie together. Few adapters are added span by span, many in batched products of those that have the same
shape. Nothing is switched: a row carries its adapter, so a batch cannot meet another's.
Neighbours: ``deltas`` holds the tensors, ``body`` sets the crowd and computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from finetune30.modeling.engine.linear import Stack, Thin
from finetune30.modeling.shared.deltas import Delta, Deltas

# Up to so many adapters a product each; from here on gathering their tensors costs less than the calls.
_FEW = 4


@dataclass(frozen=True)
class Span:
    """Rows from ``start`` up to ``stop`` of a batch, all of one adapter."""

    start: int
    stop: int
    deltas: Deltas


class Crowd:
    """Whose rows are in the batch that is computed now. Touched by one thread."""

    def __init__(self) -> None:
        self.rows = 0
        self.spans: Sequence[Span] = ()

    def enter(self, whose: Sequence[Deltas]) -> None:
        """A new batch; rows of one adapter stand together."""
        starts = [at for at in range(len(whose)) if at == 0 or whose[at] is not whose[at - 1]]
        stops = [*starts[1:], len(whose)]
        self.rows = len(whose)
        self.spans = [Span(start, stop, whose[start]) for start, stop in zip(starts, stops, strict=True)]

    def add(self, layers: tuple[str, ...], inputs: Tensor, outputs: Tensor) -> None:
        """Add to ``outputs`` what the adapters make of ``inputs``.

        Args:
            layers: Names of the layers whose outputs stand side by side.
            inputs: Shape (rows * tokens, in), row after row.
            outputs: Shape (rows * tokens, out); changed.
        """
        found = [(span, delta) for span in self.spans if (delta := span.deltas.of(layers)) is not None]
        if len(found) <= _FEW:
            for span, delta in found:
                self._add_span(span, delta, inputs, outputs)
            return
        alike: dict[object, list[tuple[Span, Delta]]] = {}
        for span, delta in found:
            alike.setdefault(delta.shape, []).append((span, delta))
        for some in alike.values():
            self._add_alike(some, inputs, outputs)

    def _add_span(self, span: Span, delta: Delta, inputs: Tensor, outputs: Tensor) -> None:
        tokens = inputs.shape[0] // self.rows
        some = slice(span.start * tokens, span.stop * tokens)
        values = inputs[some] @ delta.down.to(inputs.dtype).t()
        for ranks, columns, up in delta.ups:
            outputs[some, columns].addmm_(values[:, ranks], up.to(inputs.dtype))

    def _add_alike(self, some: Sequence[tuple[Span, Delta]], inputs: Tensor, outputs: Tensor) -> None:
        if len(some) == 1:
            self._add_span(*some[0], inputs, outputs)
            return
        each = [delta for span, delta in some for _ in range(span.stop - span.start)]
        every = len(each) == self.rows
        at = None if every else [row for span, _ in some for row in range(span.start, span.stop)]
        rows_in = inputs.view(self.rows, -1, inputs.shape[-1])
        rows_out = outputs.view(self.rows, -1, outputs.shape[-1])
        chosen = rows_in if at is None else rows_in[at]
        down = torch.stack([delta.down for delta in each]).to(inputs.dtype)
        values = torch.bmm(chosen, down.transpose(1, 2))
        for number, (ranks, columns, _) in enumerate(each[0].ups):
            up = torch.stack([delta.ups[number][2] for delta in each]).to(inputs.dtype)
            added = torch.bmm(values[..., ranks], up)
            if at is None:
                rows_out[..., columns] += added
            else:
                rows_out[at, :, columns] += added


class SharedStack(Stack):
    """Linear layers without adapters of their own: those of the crowd's rows are added.

    Args:
        names: Full names of ``layers`` in the classifier.
    """

    def __init__(self, layers: Sequence[nn.Module], names: tuple[str, ...], dtype: torch.dtype, crowd: Crowd) -> None:
        super().__init__(layers, dtype, trains=False)
        self.names = names
        self._crowd = crowd

    def forward(self, inputs: Tensor, *, learns: bool) -> tuple[Tensor, Thin | None]:  # noqa: ARG002
        """See ``Stack``; never learns."""
        outputs = self.product.forward(inputs)
        self._crowd.add(self.names, inputs, outputs)
        return outputs, None
