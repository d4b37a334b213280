"""One batch, many adapters: each row gets what its own adapter adds to a layer's outputs.

The frozen product is computed once for all rows; ``Crowd`` adds the thin products. Few adapters are added span by
span, many in batched products of those that have the same shapes. Nothing is switched, and nothing is remembered:
a crowd is made for a batch, so a batch cannot meet another's adapters, in whatever thread.
Neighbours: ``deltas`` holds the tensors, ``forward`` computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from finetune30.modeling.engine.linear import Stack
from finetune30.modeling.engine.products import thin_product
from finetune30.modeling.shared.deltas import Tensors
from finetune30.modeling.shared.rows import Segment, rounded

# Up to so many spans a product each; from here on gathering their tensors costs less than the calls.
_FEW = 4


@dataclass(frozen=True)
class Span:
    """Tokens from ``start`` up to ``stop`` of a batch, all of one adapter."""

    start: int
    stop: int
    tensors: Tensors


@dataclass(frozen=True)
class Group:
    """Rows of one segment whose adapters have the same shapes, row by row."""

    start: int
    stop: int
    tensors: Sequence[Tensors]


class Crowd:
    """Whose rows are in a batch.

    Args:
        whose: Of each row its adapter's tensors.
        segments: How the rows lie.
    """

    def __init__(self, whose: Sequence[Tensors], segments: Sequence[Segment]) -> None:
        self.whose = whose
        self.spans = list(_spans(whose, segments))
        self.groups: list[Group] = []
        if len(self.spans) > _FEW:
            self.spans, self.groups = [], list(_groups(whose, segments))

    def add(self, layers: tuple[str, ...], inputs: Tensor, outputs: Tensor) -> None:
        """Add to ``outputs`` what the adapters make of ``inputs``.

        Args:
            layers: Names of the layers whose outputs stand side by side.
            inputs: Shape (tokens, in), segment after segment.
            outputs: Shape (tokens, out); changed.
        """
        for span in self.spans:
            delta = span.tensors.of(layers)
            if delta is None:
                continue
            values, part_out = self._thin(span, delta.down, inputs), outputs
            if len(self.spans) > 1:
                part_out = outputs[self._window(span, outputs.shape[0])]
            if delta.equal is None:
                for ranks, columns, up in delta.ups:
                    part_out[:, columns].addmm_(values[:, ranks], up)
            elif len(delta.ups) == 1:
                part_out.addmm_(values, delta.ups[0][2])
            else:
                count = len(delta.ups)
                layered = part_out.view(part_out.shape[0], count, -1).transpose(0, 1)
                layered.baddbmm_(values.view(values.shape[0], count, -1).transpose(0, 1), delta.equal)
        for group in self.groups:
            _add_group(group, layers, inputs, outputs)

    def _thin(self, span: Span, down: Tensor, inputs: Tensor) -> Tensor:
        """The span's inputs times ``down``; what else is in its window adds nothing."""
        if len(self.spans) == 1:
            return thin_product(inputs, down)
        window = self._window(span, inputs.shape[0])
        values = thin_product(inputs[window], down)
        if window.start < span.start:
            values[: span.start - window.start] = 0.0
        if span.stop < window.stop:
            values[span.stop - window.start :] = 0.0
        return values

    def _window(self, span: Span, count: int) -> slice:
        """Of ``count`` tokens as many around the span as there often are: see ``rounded``."""
        size = min(rounded(span.stop - span.start), count)
        start = min(span.start, count - size)
        return slice(start, start + size)


def _add_group(group: Group, layers: tuple[str, ...], inputs: Tensor, outputs: Tensor) -> None:
    place = group.tensors[0].plan.place(layers)
    if place is None:
        return
    rows, tokens = len(group.tensors), (group.stop - group.start) // len(group.tensors)
    more = rounded(rows)
    if group.start + more * tokens > inputs.shape[0]:
        more = rows
    stop = group.start + more * tokens
    rows_in = inputs[group.start : stop].view(more, tokens, -1)
    rows_out = outputs[group.start : stop].view(more, tokens, -1)
    pieces = [one.pieces[place.number] for one in group.tensors]
    gathered = torch.stack([*pieces, *pieces[:1] * (more - rows)])
    down = gathered[:, : place.up_at].view(more, *place.down)
    values = torch.bmm(rows_in, down.transpose(1, 2))
    values[rows:] = 0.0  # others' rows, to which nothing is added
    at = place.up_at
    for ranks, columns in place.ups:
        rank, width = ranks.stop - ranks.start, columns.stop - columns.start
        up = gathered[:, at : at + rank * width].view(more, rank, width)
        rows_out[..., columns].baddbmm_(values[..., ranks], up)
        at += rank * width


def _spans(whose: Sequence[Tensors], segments: Sequence[Segment]) -> Iterator[Span]:
    start = stop = 0
    of: Tensors | None = None
    for segment in segments:
        for row in range(segment.first, segment.last):
            if whose[row] is not of:
                if of is not None:
                    yield Span(start, stop, of)
                start, of = stop, whose[row]
            stop += segment.tokens
    if of is not None:
        yield Span(start, stop, of)


def _groups(whose: Sequence[Tensors], segments: Sequence[Segment]) -> Iterator[Group]:
    for segment in segments:
        first = segment.first
        for row in range(segment.first + 1, segment.last + 1):
            if row == segment.last or whose[row].plan is not whose[first].plan:
                start = segment.start + (first - segment.first) * segment.tokens
                yield Group(start, start + (row - first) * segment.tokens, whose[first:row])
                first = row


class SharedStack(Stack):
    """Linear layers without adapters of their own: those of the crowd's rows are added.

    Args:
        names: Full names of ``layers`` in the classifier.
    """

    def __init__(self, layers: Sequence[nn.Module], names: tuple[str, ...], dtype: torch.dtype) -> None:
        super().__init__(layers, dtype, trains=False)
        self.names = names

    def answer(self, inputs: Tensor, crowd: Crowd, onto: Tensor | None = None) -> Tensor:
        """The layers' outputs side by side, each token's adapter added.

        Args:
            inputs: Shape (tokens, in).
            onto: Added to them, shape (tokens, out).
        """
        outputs = self.product.forward(inputs) if onto is None else self.product.onto(inputs, onto)
        crowd.add(self.names, inputs, outputs)
        return outputs
