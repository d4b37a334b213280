"""The rows of a batch as the models read them: padded, and laid out in segments of similar length.

Products run over the tokens of all segments; only within a segment rows are padded to its longest. So a long row
among short ones costs little. Behind the last are tokens of nobody, so that few numbers of tokens occur: the
processor's kernels are made for each shape, half a millisecond and 600 KiB a piece.
Neighbours: ``body`` computes, ``crowd`` adds the adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune30.modeling.tokens import Padder

# A segment must save so many tokens of padding to be worth its own calls; more where each has adapters of its own.
_WORTH, _WORTH_MANY = 16, 64
_MANY = 4
_STEP = 4
# Added to a score: nothing is read there.
NOT_READ = torch.finfo(torch.float32).min


@dataclass(frozen=True, eq=False)
class Row:
    """One text as token ids, and the adapter that is to read it."""

    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None
    adapter: Any


@dataclass(frozen=True)
class Segment:
    """Rows that lie together, each of the same number of tokens.

    Attributes:
        first, last: Rows of the batch, ``last`` no longer.
        start, stop: The same in tokens of the batch.
        mask: Added to the scores of its rows, shape (rows, 1, 1, tokens), float32; None where nothing is padded.
    """

    first: int
    last: int
    tokens: int
    start: int
    mask: Tensor | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return self.last - self.first

    @property
    def stop(self) -> int:
        """See the class."""
        return self.start + self.rows * self.tokens


@dataclass(frozen=True)
class Batch:
    """Rows in the order in which they are computed.

    Attributes:
        order: The place of each in what was asked.
        read: What a model of transformers takes: all padded to the longest.
    """

    order: Sequence[int]
    rows: Sequence[Row]
    read: dict[str, Tensor]
    segments: tuple[Segment, ...]

    @property
    def alike(self) -> tuple[Segment, ...]:
        """The same rows as one segment of rows as in ``read``."""
        rows, tokens = self.read["input_ids"].shape
        return (Segment(0, rows, tokens, 0),)

    @property
    def firsts(self) -> tuple[Segment, ...]:
        """The same rows, of each the first token."""
        return (Segment(0, len(self.rows), 1, 0),)

    @property
    def tokens(self) -> int:
        """Of all segments."""
        return self.segments[-1].stop

    def on(self, device: str) -> Batch:
        """The same in the memory of a device."""
        if self.read["input_ids"].device == torch.device(device):
            return self
        read = {key: value.to(device) for key, value in self.read.items()}
        segments = tuple(one if one.mask is None else replace(one, mask=one.mask.to(device)) for one in self.segments)
        return replace(self, read=read, segments=segments)


def batch_of(rows: Sequence[Row], padder: Padder, device: str, *, cuts: bool) -> Batch:
    """A batch of the rows.

    Args:
        cuts: Whether it may be cut into segments; the tokens of a row then stand at its beginning.
    """
    if len(rows) == 1:
        return Batch((0,), rows, _unpadded(rows[0], device), (Segment(0, 1, len(rows[0].ids), 0),))
    lengths = np.array([len(row.ids) for row in rows])
    order = lengths.argsort(kind="stable")
    adapters = {id(row.adapter) for row in rows}
    cost = _WORTH if len(adapters) <= _MANY else _WORTH_MANY
    stops = _cut(lengths[order], cost) if cuts else [len(rows)]
    places: list[int] = []
    for first, last in zip([0, *stops[:-1]], stops, strict=True):
        some = order[first:last].tolist()
        # Adapters that can be computed in one product lie together, and of each its rows.
        places += some if len(adapters) == 1 else sorted(some, key=lambda at: rows[at].adapter.kin)
    chosen = [rows[at] for at in places]
    # Products of many adapters are of rows by tokens: there also the numbers of tokens are few.
    step = _STEP if cuts and len(adapters) > _MANY else 1
    read = {key: value.to(device) for key, value in padded(chosen, padder).items()}
    return Batch(places, chosen, read, _segments(stops, lengths[places], read.get("attention_mask"), step))


def _cut(lengths: NDArray[np.int64], cost: int) -> list[int]:
    """Where segments end, for lengths in ascending order: each cut saves more tokens than it costs."""
    saved = (lengths[-1] - lengths) * np.arange(1, len(lengths) + 1)
    at = int(saved.argmax())
    if saved[at] <= cost:
        return [len(lengths)]
    return [*_cut(lengths[: at + 1], cost), *(at + 1 + stop for stop in _cut(lengths[at + 1 :], cost))]


def _segments(
    stops: Sequence[int], lengths: NDArray[np.int64], attention: Tensor | None, step: int
) -> tuple[Segment, ...]:
    found: list[Segment] = []
    first = start = 0
    for last in stops:
        some = lengths[first:last]
        longest = int(some.max())
        tokens = -(-longest // step) * step  # maybe beyond what the model has positions for: nothing is there
        mask = None
        if attention is not None and int(some.min()) < longest:
            mask = (1.0 - attention[first:last, None, None, :longest].float()) * NOT_READ
        if longest < tokens:
            more = torch.full((last - first, 1, 1, tokens - longest), NOT_READ)
            mask = torch.cat([more.new_zeros(last - first, 1, 1, longest) if mask is None else mask, more], -1)
        found.append(Segment(first, last, tokens, start, mask))
        first, start = last, found[-1].stop
    return tuple(found)


def _unpadded(row: Row, device: str) -> dict[str, Tensor]:
    """A single row; see ``padded``."""
    read: dict[str, NDArray[Any]] = {"input_ids": row.ids}
    if row.types is not None:
        read["token_type_ids"] = row.types
    return {key: torch.from_numpy(values.astype(np.int64)[None]).to(device) for key, values in read.items()}


def padded(rows: Sequence[Row], padder: Padder) -> dict[str, Tensor]:
    """A batch of the rows; see ``Tokens.batch``."""
    longest = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), longest), padder.token, dtype=np.int64)
    typed = any(row.types is not None for row in rows)
    types = np.full_like(ids, padder.token_type if typed else 0)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for at, row in enumerate(rows):
        there = slice(longest - len(row.ids), longest) if padder.left else slice(0, len(row.ids))
        ids[at, there] = row.ids
        mask[at, there] = 1
        if typed:
            types[at, there] = 0 if row.types is None else row.types
    batch = {"input_ids": torch.from_numpy(ids)}
    if typed:
        batch["token_type_ids"] = torch.from_numpy(types)
    if not mask.all():
        batch["attention_mask"] = torch.from_numpy(mask)
    return batch
