"""What adapters add to the outputs of a product: the thin products of each row's own.

Part of the pass that TorchScript compiles, so its annotations are evaluated, and numbers stand in the functions: see
``steps``. Neighbours: ``crowd`` says whose rows there are, ``steps`` calls.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Own(NamedTuple):
    """What an adapter adds to the outputs of each product, by the product's number.

    Attributes:
        downs: Shape (ranks, in); None where nothing is added.
        ups: Of its layers, shape (rank, out); or of all at once, shape (layers, rank, out), without ``places``.
        places: For each of ``ups`` first and last of its ranks, first and last of its columns.
    """

    downs: list[Tensor | None]
    ups: list[list[Tensor]]
    places: list[list[int]]


class Span(NamedTuple):
    """Tokens that have one adapter."""

    start: int
    stop: int
    own: Own


class Group(NamedTuple):
    """Rows of a segment, each with an adapter, whose numbers lie alike.

    Attributes:
        numbers: All of each row's adapter, in a row.
        places: By the product's number: where its numbers begin and end, the ranks, and as in ``Own``; empty for none.
    """

    start: int
    stop: int
    numbers: list[Tensor]
    places: list[list[int]]


class Adapters(NamedTuple):
    """Of a batch: spans where they are few, else groups."""

    spans: list[Span]
    groups: list[Group]


def rounded(count: int) -> int:
    """The number of rows or tokens that so many are computed as: one of few."""
    if count <= 4:
        return 4 if count == 3 else count
    step = 8
    if count > 64:
        step = 32 if count <= 768 else 128
    return (count + step - 1) // step * step


def add(adapters: Adapters, number: int, inputs: Tensor, outputs: Tensor, packed: bool) -> None:
    """Add to ``outputs`` what the adapters make of ``inputs``.

    Args:
        number: Of the product.
        inputs: Shape (tokens, in), segment after segment.
        outputs: Shape (tokens, out); changed.
    """
    alone = len(adapters.spans) == 1
    for span in adapters.spans:
        down = span.own.downs[number]
        if down is not None:
            start, stop = 0, inputs.shape[0]
            if alone:
                values = _thin(inputs, down, packed)
            else:
                # As many tokens around the span as there often are; what is not its own adds nothing.
                size = min(rounded(span.stop - span.start), stop)
                start = min(span.start, stop - size)
                stop = start + size
                values = _thin(inputs[start:stop], down, packed)
                if start < span.start:
                    values[: span.start - start] = 0.0
                if span.stop < stop:
                    values[span.stop - start :] = 0.0
            _up(values, span.own.ups[number], span.own.places[number], outputs[start:stop])
    for group in adapters.groups:
        place = group.places[number]
        if len(place) > 0:
            _add_group(group, place, inputs, outputs)


def _thin(inputs: Tensor, down: Tensor, packed: bool) -> Tensor:
    if packed:
        values: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, down, None, "none", [], "")
        return values
    return inputs @ down.t()


def _up(values: Tensor, ups: list[Tensor], places: list[int], outputs: Tensor) -> None:
    if len(places) == 0:
        up = ups[0]
        if up.shape[0] == 1:
            outputs.addmm_(values, up[0])
        else:
            layered = outputs.view(outputs.shape[0], up.shape[0], -1).transpose(0, 1)
            layered.baddbmm_(values.view(values.shape[0], up.shape[0], -1).transpose(0, 1), up)
        return
    for at, up in enumerate(ups):
        ranks, to, column, stop = places[4 * at], places[4 * at + 1], places[4 * at + 2], places[4 * at + 3]
        outputs[:, column:stop].addmm_(values[:, ranks:to], up)


def _add_group(group: Group, place: list[int], inputs: Tensor, outputs: Tensor) -> None:
    # As many rows as there often are: those around it in the batch, to which nothing is added.
    rows = len(group.numbers)
    tokens = (group.stop - group.start) // rows
    more, before = rounded(rows), 0
    over = group.start + more * tokens - inputs.shape[0]
    if over > 0:
        before = (over + tokens - 1) // tokens
    if before * tokens > group.start:
        more, before = rows, 0
    first, end, ranks = place[0], place[1], place[2]
    some = [group.numbers[0][first:end]] * before
    some.extend([numbers[first:end] for numbers in group.numbers])
    some.extend([some[0]] * (more - rows - before))
    gathered = torch.stack(some)
    start = group.start - before * tokens
    stop = start + more * tokens
    rows_in = inputs[start:stop].view(more, tokens, -1)
    rows_out = outputs[start:stop].view(more, tokens, -1)
    at = ranks * rows_in.shape[2]
    values = torch.bmm(rows_in, gathered[:, :at].view(more, ranks, -1).transpose(1, 2))
    if more > rows:
        values[:before] = 0.0
        values[before + rows :] = 0.0
    for number in range(3, len(place), 4):
        rank, to, column, last = place[number], place[number + 1], place[number + 2], place[number + 3]
        size = (to - rank) * (last - column)
        up = gathered[:, at : at + size].view(more, to - rank, last - column)
        rows_out[:, :, column:last].baddbmm_(values[:, :, rank:to], up)
        at += size
