"""One way to compute a batch's hidden states, in one number format: replayed where there is a graph, else launched.

Neighbours: ``body`` chooses the way, ``forward`` computes, ``graphs`` replays.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from finetune30.modeling.shared.forward import Forward
from finetune30.modeling.shared.graphs import Graphs
from finetune30.modeling.shared.plans import Tensors
from finetune30.modeling.shared.rows import Batch, Row


class Pass:
    """Computes batches.

    Args:
        hooks: Told whose rows there are, where transformers computes a layer of them.
        adds: Whether the rows' adapters are added; else they are in the layers.
    """

    def __init__(
        self, forward: Forward, hooks: threading.local, device: str, graphs: Graphs | None, *, adds: bool
    ) -> None:
        self.graphs = graphs if forward.parts.between is None else None
        self._forward = forward
        self._hooks = hooks
        self._device = device
        self._adds = adds

    def __call__(self, batch: Batch) -> Tensor:
        """Hidden states of each row's first token, shape (rows, 1, size), in float32.

        Args:
            batch: In whatever memory.
        """
        forward = self._forward
        whose = tensors_of(batch.rows, forward.dtype) if self._adds else []
        if self.graphs is not None:
            found = self.graphs.hidden(batch, whose)
            if found is not None:
                return found
        there = batch.on(self._device)
        if forward.parts.between is not None:
            self._hooks.rows = there.alike, tensors_of(batch.rows, torch.float32)
        return forward(there, whose)


def tensors_of(rows: Sequence[Row], dtype: torch.dtype) -> list[Tensors]:
    """Of each row; the same for rows of one adapter."""
    adapters = {id(row.adapter): row.adapter for row in rows}
    each = {key: adapter.deltas.tensors(dtype) for key, adapter in adapters.items()}
    return [each[id(row.adapter)] for row in rows]
