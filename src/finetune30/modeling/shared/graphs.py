"""Passes of shapes that come again are replayed on a GPU as one call, instead of launched kernel by kernel.

Of a short text's pass through the layers a GPU computes for a third of the time; for the rest it waits for the next
of two hundred launches. A CUDA graph is what was launched once, replayed on the same memory: so what differs from
batch to batch (ids, mask, the numbers of the adapters) is copied there first. Nothing of an adapter is in a graph, so
one serves all whose numbers lie alike, whatever is loaded, switched or let go. Rows and tokens are rounded up to few
shapes; the rest are rows and tokens of nobody. A shape is captured when it is asked for again, in the thread that
computes, and compared with the plain pass; where anything is wrong that shape is launched as before, for good.
Neighbours: ``passes`` asks for one, ``recording`` talks to CUDA, ``forward`` computes what is recorded.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from finetune30.modeling.shared.forward import Forward
from finetune30.modeling.shared.heads import Chain
from finetune30.modeling.shared.plans import Plan, Tensors
from finetune30.modeling.shared.recording import Recorder
from finetune30.modeling.shared.rows import NOT_READ, Batch, Segment

_LOG = logging.getLogger("finetune30.serving")
# Of one pass so many shapes are kept, and so many are known to have been asked for.
_MOST_GRAPHS, _MOST_SEEN = 64, 256
# More than this a GPU computes for longer than its launches take.
_MOST_ROWS, _MOST_TOKENS = 256, 16_384
# What the numbers of a batch's adapters may take beside the adapters themselves, and for how many there is room.
_MOST_NUMBERS_BYTES, _MOST_ADAPTERS = 96 << 20, 128
# From the third time on; a capture costs as much as four passes.
_WORTH = 2
# So many shapes that went wrong: then it is not the shapes.
_MOST_FAULTS = 4
_CLOSE = 1e-6


@dataclass(frozen=True)
class Shape:
    """Batches with this are replayed by one graph.

    Attributes:
        plan: How the numbers of the adapters lie; None where nothing is added.
        many: Each row has an adapter of its own; else all have one.
        typed: Rows have types of tokens.
    """

    plan: Plan | None
    many: bool
    typed: bool
    rows: int
    tokens: int


@dataclass(eq=False)
class _Numbers:
    """Where the numbers of adapters are copied to, shape (adapters, numbers)."""

    values: Tensor


@dataclass(eq=False)
class _Graph:
    """Attributes:
    inputs: Ids, mask and types, shape (3, rows, tokens).
    """

    shape: Shape
    inputs: Tensor
    hidden: Tensor
    numbers: _Numbers | None
    replay: Callable[[], None] = field(default=lambda: None)


class _Differs(Exception):
    """A replay is not what the pass computes."""


class Graphs:
    """The graphs of one pass through the layers; they go when the pass does.

    Args:
        device: Where it computes.
        padding: Id of the tokens of nobody.
    Attributes:
        replayed: Batches.
    """

    def __init__(self, forward: Forward, recorder: Recorder, device: str, padding: int) -> None:
        self.replayed = 0
        self._forward = forward
        self._recorder = recorder
        self._device = device
        self._padding = padding
        self._longest = _longest(forward)
        self._graphs: OrderedDict[Shape, _Graph] = OrderedDict()
        self._seen: OrderedDict[Shape, int] = OrderedDict()
        self._refused: set[Shape] = set()
        self._numbers: WeakValueDictionary[tuple[int, bool], _Numbers] = WeakValueDictionary()

    def hidden(self, batch: Batch, whose: Sequence[Tensors]) -> Tensor | None:
        """As ``Forward`` computes it; None where there is no graph, or another thread uses them.

        Args:
            batch: In the memory of the host.
            whose: Of each row its adapter's tensors; none at all where nothing is added.
        """
        shape = self.shape_of(batch, whose)
        if shape is None or not self._recorder.lock.acquire(blocking=False):
            return None
        try:
            graph = self._graph(shape, batch, whose)
            if graph is None:
                return None
            self._fill(graph, batch, whose)
            graph.replay()
            self.replayed += 1
            # Other graphs share the memory that the pass went through, and this one is asked again.
            return graph.hidden[: len(batch.rows)].clone()
        finally:
            self._recorder.lock.release()

    @property
    def count(self) -> int:
        """Graphs there are."""
        return len(self._graphs)

    @property
    def nbytes(self) -> int:
        """Memory of what is copied to and from; what the passes go through is the recorder's."""
        numbers = sum(one.values.nbytes for one in list(self._numbers.values()))
        return numbers + sum(one.inputs.nbytes + one.hidden.nbytes for one in list(self._graphs.values()))

    def shape_of(self, batch: Batch, whose: Sequence[Tensors]) -> Shape | None:
        """The shape a batch is computed in; None where it is launched."""
        if len(batch.segments) != 1 or len(self._refused) >= _MOST_FAULTS:
            return None
        if not all(isinstance(row.adapter.head, Chain) for row in batch.rows):
            return None  # others read what was asked once more
        plan = whose[0].plan if whose else None
        if any(one.plan is not plan for one in whose):
            return None
        many = any(one is not whose[0] for one in whose)
        rows, tokens = rounded_rows(len(batch.rows)), self._rounded(batch.segments[0].tokens)
        if rows > _MOST_ROWS or rows * tokens > _MOST_TOKENS:
            return None
        if many and rows > _adapters(whose[0].numbers):
            return None
        return Shape(plan, many, "token_type_ids" in batch.read, rows, tokens)

    def _rounded(self, tokens: int) -> int:
        rounded = rounded_tokens(tokens)
        return rounded if rounded <= self._longest else tokens

    def _graph(self, shape: Shape, batch: Batch, whose: Sequence[Tensors]) -> _Graph | None:
        found = self._graphs.get(shape)
        if found is not None:
            self._graphs.move_to_end(shape)
            return found
        if shape in self._refused:
            return None
        seen = self._seen.pop(shape, 0)
        if seen < _WORTH:
            self._seen[shape] = seen + 1
            if len(self._seen) > _MOST_SEEN:
                self._seen.popitem(last=False)
            return None
        try:
            found = self._captured(shape, batch, whose)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the pass is launched as before
            self._refused.add(shape)
            told = shape.rows, shape.tokens, type(fault).__name__
            _LOG.warning("%d rows of %d tokens are computed without a CUDA graph: %s", *told, exc_info=True)
            return None
        self._graphs[shape] = found
        if len(self._graphs) > _MOST_GRAPHS:
            self._graphs.popitem(last=False)
        return found

    def _captured(self, shape: Shape, batch: Batch, whose: Sequence[Tensors]) -> _Graph:
        inputs = torch.zeros((3, shape.rows, shape.tokens), dtype=torch.long, device=self._device)
        numbers = None if shape.plan is None else self._room(shape, whose[0].numbers)
        tensors: list[Tensors] = []
        if shape.plan is not None and numbers is not None:
            each = [Tensors(shape.plan, row) for row in numbers.values[: shape.rows]]
            tensors = each if shape.many else each * shape.rows
        graph = _Graph(shape, inputs, torch.zeros(0), numbers)
        self._fill(graph, batch, whose)
        # Once as it is: what the graph is to give, and of which shape.
        graph.hidden = self._computed(graph, batch, tensors)

        def run() -> None:
            graph.hidden.copy_(self._computed(graph, batch, tensors))

        self._recorder.warm(run)
        wanted = graph.hidden.clone()
        graph.replay = self._recorder.capture(run)
        graph.hidden.zero_()
        graph.replay()
        count = len(batch.rows)
        if not torch.allclose(graph.hidden[:count], wanted[:count], atol=_CLOSE, rtol=_CLOSE):
            raise _Differs
        return graph

    def _room(self, shape: Shape, numbers: Tensor) -> _Numbers:
        """For the numbers of a batch's adapters: one place for all graphs of such, whatever their rows and tokens."""
        found = self._numbers.get((id(shape.plan), shape.many))
        if found is None:
            rows = _adapters(numbers) if shape.many else 1
            values = torch.zeros((rows, len(numbers)), dtype=numbers.dtype, device=self._device)
            found = self._numbers[id(shape.plan), shape.many] = _Numbers(values)
        return found

    def _computed(self, graph: _Graph, batch: Batch, whose: Sequence[Tensors]) -> Tensor:
        shape, (ids, mask, types) = graph.shape, graph.inputs
        read = {"input_ids": ids, **({"token_type_ids": types} if shape.typed else {})}
        added = (1.0 - mask[:, None, None, :].float()) * NOT_READ
        segments = (Segment(0, shape.rows, shape.tokens, 0, added),)
        return self._forward(Batch(range(shape.rows), [batch.rows[0]] * shape.rows, read, segments), whose)

    def _fill(self, graph: _Graph, batch: Batch, whose: Sequence[Tensors]) -> None:
        shape, ids = graph.shape, batch.read["input_ids"]
        rows, tokens = ids.shape
        laid = np.zeros((3, shape.rows, shape.tokens), dtype=np.int64)
        laid[0] = self._padding
        laid[1, rows:, 0] = 1  # a row of nobody reads something: of nothing a softmax is no number
        attention, types = batch.read.get("attention_mask"), batch.read.get("token_type_ids")
        laid[0, :rows, :tokens] = ids.numpy()
        laid[1, :rows, :tokens] = 1 if attention is None else attention.numpy()
        if types is not None:
            laid[2, :rows, :tokens] = types.numpy()
        graph.inputs.copy_(torch.from_numpy(laid))
        if graph.numbers is not None:
            if shape.many:
                torch.stack([one.numbers for one in whose], out=graph.numbers.values[:rows])
            else:
                graph.numbers.values[0].copy_(whose[0].numbers)


def rounded_rows(count: int) -> int:
    """So many rows are computed as: powers of two, then steps of 32."""
    return 1 << (count - 1).bit_length() if count <= 32 else -(-count // 32) * 32


def rounded_tokens(count: int) -> int:
    """So many tokens a row are computed as: an eighth of them at most is padding, from 64 on; steps of 8 before."""
    step = max(8, 1 << max(0, (count - 1).bit_length() - 3))
    return -(-count // step) * step


def _adapters(numbers: Tensor) -> int:
    """There is room for the numbers of so many that are as large."""
    return min(_MOST_ADAPTERS, _MOST_NUMBERS_BYTES // max(1, numbers.nbytes))


def _longest(forward: Forward) -> int:
    """Tokens that the embeddings have places for, at least."""
    places = getattr(getattr(forward.parts.body, "embeddings", None), "position_embeddings", None)
    if places is None:
        return 0
    return int(places.num_embeddings) - (0 if places.padding_idx is None else int(places.padding_idx) + 1)
