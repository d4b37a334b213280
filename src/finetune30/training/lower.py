"""Outputs of the frozen lower layers, computed once and kept in a file (``training.freeze_below``).

They are computed in an order that depends on nothing but the lengths, before the first step: a
resumed run computes the same numbers. The file is mapped, so memory stays flat; it has no name, so
it is gone with the process, however that ends. Neighbours: ``modeling.engine`` computes, ``encode``
makes batches of it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune30.modeling.engine import Encoder
from finetune30.modeling.memory import is_out_of_memory, release
from finetune30.modeling.tokens import Tokens

_ROWS_AT_ONCE = 64
# numpy has no bfloat16: its bits are kept as integers of the same width.
_STORED: dict[torch.dtype, tuple[Any, torch.dtype]] = {
    torch.float32: (np.float32, torch.float32),
    torch.bfloat16: (np.int16, torch.int16),
}


def why_not_kept(encoder: Encoder, tokens: Tokens) -> str | None:
    """Why the lower layers must be computed at every step; None if they need not."""
    if encoder.learns_before_layers():
        return "something before the layers is trained"
    if tokens.padder.left:
        return "the tokenizer pads on the left, so that the first token depends on the batch"
    return None


class LowerOutputs:
    """In the place of tokens: what the first adapted layer reads.

    Args:
        layers: How many layers lie below.
        folder: Where to keep the numbers, for as long as this object lives.
    Raises: OSError if the disk has no room, before anything is computed.
    """

    def __init__(self, encoder: Encoder, tokens: Tokens, layers: int, folder: Path, device: str) -> None:
        self.tokens = tokens
        self.dtype = encoder.dtype
        stored, _ = _STORED[encoder.dtype]
        shape = (max(1, len(tokens.ids)), encoder.size)
        with tempfile.TemporaryFile(dir=folder) as file:  # the map outlives it
            _allocate(file.fileno(), shape[0] * shape[1] * np.dtype(stored).itemsize)
            self.values: NDArray[Any] = np.memmap(file, dtype=stored, mode="r+", shape=shape)
        order = np.argsort(tokens.lengths(), kind="stable").tolist()
        start, at_once = 0, _ROWS_AT_ONCE
        while start < len(order):
            rows = order[start : start + at_once]
            try:
                self._compute(encoder, rows, layers, device)
            except (RuntimeError, MemoryError) as fault:
                if at_once == 1 or not is_out_of_memory(fault):
                    raise
                at_once //= 2
                release()
                continue
            start += len(rows)

    def __len__(self) -> int:
        return len(self.tokens)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        return self.tokens.lengths()

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some texts, padded to the longest of them.

        Returns: ``inputs_embeds`` of shape (rows, longest, size); ``attention_mask`` only where something is padded.
        """
        lengths = self.tokens.lengths()[list(rows)]
        values = np.zeros((len(rows), int(lengths.max()), self.values.shape[1]), dtype=self.values.dtype)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            start = int(self.tokens.starts[row])
            values[place, :length] = self.values[start : start + length]
        batch = {"inputs_embeds": torch.from_numpy(values).view(self.dtype)}
        if lengths.min() < lengths.max():
            batch["attention_mask"] = torch.from_numpy(
                (np.arange(int(lengths.max())) < lengths[:, None]).astype(np.int64)
            )
        return batch

    def _compute(self, encoder: Encoder, rows: Sequence[int], layers: int, device: str) -> None:
        batch = {name: value.to(device) for name, value in self.tokens.batch(rows).items()}
        kept = encoder.hidden(layers=layers, **batch).cpu().view(_STORED[self.dtype][1]).numpy()
        for place, row in enumerate(rows):
            start, stop = int(self.tokens.starts[row]), int(self.tokens.starts[row + 1])
            self.values[start:stop] = kept[place, : stop - start]


def _allocate(descriptor: int, size: int) -> None:
    """Claim the bytes now: a full disk under a mapped file would end the process by a signal."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)
