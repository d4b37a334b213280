"""Two texts as one row of tokens, cut as the tokenizer cuts them, the longer first.

The tokenizer itself keeps every combination of what it cut off, so two texts of half a million characters would
take all memory there is. Here each is read alone, and the two are joined.
Neighbours: ``reading`` reads the texts. Source: tokenizers, ``utils/truncation.rs`` (longest first).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Read:
    """One text, or pair of texts, as the model takes it."""

    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None
    truncated: bool


@dataclass(frozen=True)
class _Piece:
    """Special tokens in a row."""

    ids: list[int]
    types: list[int]


@dataclass(frozen=True)
class Pairing:
    """What a tokenizer puts before, between and after two texts.

    Attributes:
        types: Of the tokens of the first text and of the second.
    """

    before: _Piece
    between: _Piece
    after: _Piece
    types: tuple[int, int]

    @classmethod
    def of(cls, example: Any) -> Pairing | None:
        """As an example shows it; None for one in which the texts do not follow each other."""
        places = [[at for at, text in enumerate(example.sequence_ids) if text == number] for number in (0, 1)]
        if not all(place and place[-1] - place[0] + 1 == len(place) for place in places):
            return None
        (first, second), ids, types = places, example.ids, example.type_ids
        if first[-1] >= second[0]:
            return None

        def piece(start: int, end: int | None) -> _Piece:
            return _Piece(ids[start:end], types[start:end])

        kinds = types[first[0]], types[second[0]]
        return cls(piece(0, first[0]), piece(first[-1] + 1, second[0]), piece(second[-1] + 1, None), kinds)

    def read(self, first: Any, second: Any, max_length: int, *, types: bool) -> Read:
        """Two texts, read alone and without special tokens."""
        room = max_length - len(self.before.ids) - len(self.between.ids) - len(self.after.ids)
        one, two = _kept(len(first), len(second), room)
        parts = (self.before.ids, first.ids[:one], self.between.ids, second.ids[:two], self.after.ids)
        kinds = (self.before.types, [self.types[0]] * one, self.between.types, [self.types[1]] * two, self.after.types)
        return Read(
            np.concatenate([np.asarray(part, np.int32) for part in parts]),
            np.concatenate([np.asarray(part, np.int8) for part in kinds]) if types else None,
            one < len(first) or two < len(second),
        )


def _kept(first: int, second: int, room: int) -> tuple[int, int]:
    """So many tokens of each, as the tokenizer decides it."""
    if first + second <= room:
        return first, second
    short, long = min(first, second), max(first, second)
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (long, short) if first > second else (short, long)
