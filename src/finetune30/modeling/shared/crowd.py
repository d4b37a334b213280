"""Whose rows are in a batch, as the pass through the layers takes it.

The frozen product is computed once for all rows; the thin products of each adapter are added to its rows. Few
adapters are added span by span, many in batched products of those that have the same shapes. Nothing is switched,
and nothing is remembered: this is made for a batch, so a batch cannot meet another's adapters, in whatever thread.
Neighbours: ``deltas`` holds the tensors, ``steps`` computes, ``forward`` calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from finetune30.modeling.engine.linear import Stack
from finetune30.modeling.shared.adding import Adapters, Group, Span
from finetune30.modeling.shared.plans import Stacks, Tensors
from finetune30.modeling.shared.rows import Segment

# Up to so many spans a product each; from here on gathering their tensors costs less than the calls.
_FEW = 4


def crowd(whose: Sequence[Tensors], segments: Sequence[Segment], stacks: Stacks) -> Adapters:
    """The adapters of a batch.

    Args:
        whose: Of each row its adapter's tensors.
        segments: How the rows lie.
    """
    spans = list(_spans(whose, segments, stacks))
    if len(spans) <= _FEW:
        return Adapters(spans, [])
    return Adapters([], list(_groups(whose, segments, stacks)))


def _spans(whose: Sequence[Tensors], segments: Sequence[Segment], stacks: Stacks) -> Iterator[Span]:
    start = stop = 0
    of: Tensors | None = None
    for segment in segments:
        for row in range(segment.first, segment.last):
            if whose[row] is not of:
                if of is not None:
                    yield Span(start, stop, of.own(stacks))
                start, of = stop, whose[row]
            stop += segment.tokens
    if of is not None:
        yield Span(start, stop, of.own(stacks))


def _groups(whose: Sequence[Tensors], segments: Sequence[Segment], stacks: Stacks) -> Iterator[Group]:
    for segment in segments:
        first = segment.first
        for row in range(segment.first + 1, segment.last + 1):
            if row == segment.last or whose[row].plan is not whose[first].plan:
                start = segment.start + (first - segment.first) * segment.tokens
                numbers = [one.numbers for one in whose[first:row]]
                yield Group(start, start + (row - first) * segment.tokens, numbers, whose[first].plan.places(stacks))
                first = row


class SharedStack(Stack):
    """Linear layers without adapters of their own: those of the crowd's rows are added.

    Args:
        names: Full names of ``layers`` in the classifier.
    """

    def __init__(self, layers: Sequence[nn.Module], names: tuple[str, ...], dtype: torch.dtype) -> None:
        super().__init__(layers, dtype, trains=False)
        self.names = names
