"""How an adapter's numbers lie in their row, and the views of them that the products take.

Neighbours: ``deltas`` lays them out, ``crowd`` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from finetune30.modeling.shared.adding import Own

Stacks = tuple[tuple[str, ...], ...]
"""By a product's number the names of the layers whose outputs stand side by side in it."""


@dataclass(frozen=True)
class Place:
    """Where the tensors of layers whose outputs stand side by side are in an adapter's row of numbers.

    Attributes:
        down: Shape of every ``lora_A``, one below the other: (ranks, in).
        ups: For each layer the rows of ``down`` and the columns of the outputs it has.
        whole: Whether these are all the columns there are, and equally many for each.
    """

    number: int
    names: tuple[str, ...]
    down: tuple[int, int]
    ups: tuple[tuple[slice, slice], ...]
    whole: bool

    @property
    def up_at(self) -> int:
        """Where the first ``lora_B`` begins: behind ``down``."""
        return self.down[0] * self.down[1]

    @property
    def size(self) -> int:
        """Numbers."""
        return self.up_at + sum(int((r.stop - r.start) * (c.stop - c.start)) for r, c in self.ups)


class Plan:
    """How an adapter's numbers lie. Those that lie alike share one: they can be computed in one product."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.sizes = [place.size for place in places]
        self._places = {place.names: place for place in places}
        self._by_number: dict[Stacks, list[list[int]]] = {}

    def place(self, layers: tuple[str, ...]) -> Place | None:
        """Of these layers; None where nothing is added to them."""
        return self._places.get(layers)

    def places(self, stacks: Stacks) -> list[list[int]]:
        """Of each of these, as ``adding.Group`` takes them."""
        found = self._by_number.get(stacks)
        if found is None:
            found = self._by_number[stacks] = [self._flat(names) for names in stacks]
        return found

    def _flat(self, names: tuple[str, ...]) -> list[int]:
        place = self._places.get(names)
        if place is None:
            return []
        start = sum(self.sizes[: place.number])
        ups = [(ranks.start, ranks.stop, columns.start, columns.stop) for ranks, columns in place.ups]
        return [start, start + place.size, place.down[0], *(number for up in ups for number in up)]


@dataclass(frozen=True)
class Delta:
    """What an adapter adds to layers whose outputs stand side by side.

    Attributes:
        down: See ``Place``.
        ups: For each layer the rows of ``down`` and the columns of the outputs it has, and its ``lora_B``,
            transposed and scaled: shape (rank, out).
        equal: All of ``ups``, shape (layers, rank, out), where they are equally large and no column is left out.
    """

    down: Tensor
    ups: tuple[tuple[slice, slice, Tensor], ...]
    equal: Tensor | None

    @property
    def tensors(self) -> list[Tensor]:
        """As ``adding.Own`` takes them."""
        return [up for _, _, up in self.ups] if self.equal is None else [self.equal]

    @property
    def places(self) -> list[int]:
        """As ``adding.Own`` takes them."""
        if self.equal is not None:
            return []
        return [n for r, c, _ in self.ups for n in (r.start, r.stop, c.start, c.stop)]


class Tensors:
    """An adapter's numbers in one number format.

    Args:
        numbers: In a row.
    """

    def __init__(self, plan: Plan, numbers: Tensor) -> None:
        self.plan = plan
        self.numbers = numbers
        self._pieces: Sequence[Tensor] = torch.split(numbers, plan.sizes) if plan.sizes else ()
        self._deltas: dict[tuple[str, ...], Delta] = {}
        self._owns: dict[Stacks, Own] = {}

    def of(self, layers: tuple[str, ...]) -> Delta | None:
        """What it adds to these layers; None for nothing."""
        found = self._deltas.get(layers)
        if found is None and (place := self.plan.place(layers)) is not None:
            found = self._deltas[layers] = _delta(place, self._pieces[place.number])
        return found

    def own(self, stacks: Stacks) -> Own:
        """What it adds to each of these."""
        found = self._owns.get(stacks)
        if found is None:
            deltas = [self.of(names) for names in stacks]
            found = self._owns[stacks] = Own(
                [None if one is None else one.down for one in deltas],
                [[] if one is None else one.tensors for one in deltas],
                [[] if one is None else one.places for one in deltas],
            )
        return found


def _delta(place: Place, piece: Tensor) -> Delta:
    ups, at = [], place.up_at
    for ranks, columns in place.ups:
        shape = ranks.stop - ranks.start, columns.stop - columns.start
        ups.append((ranks, columns, piece[at : at + shape[0] * shape[1]].view(shape)))
        at += shape[0] * shape[1]
    equal = piece[place.up_at :].view(len(ups), *ups[0][2].shape) if place.whole else None
    return Delta(piece[: place.up_at].view(place.down), tuple(ups), equal)
