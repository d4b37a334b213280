"""Outputs of the frozen lower layers, computed once and kept in a file (``training.freeze_below``).

They are computed in an order that depends on nothing but the lengths, before the first step: a
resumed run computes the same numbers. The file is mapped, so memory stays flat; it is a staging file,
gone with the sitting. Neighbours: ``modeling.engine`` computes, ``encode`` makes batches of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune30.modeling.engine import Encoder
from finetune30.modeling.tokens import Tokens

_ROWS_AT_ONCE = 64
# numpy has no bfloat16: its bits are kept as integers of the same width.
_STORED: dict[torch.dtype, tuple[Any, torch.dtype]] = {
    torch.float32: (np.float32, torch.float32),
    torch.bfloat16: (np.int16, torch.int16),
}


class LowerOutputs:
    """In the place of tokens: what the first adapted layer reads.

    Args:
        layers: How many layers lie below.
        file: Where to keep the numbers; overwritten.
    """

    def __init__(self, encoder: Encoder, tokens: Tokens, layers: int, file: Path, device: str) -> None:
        self.tokens = tokens
        self.dtype = encoder.dtype
        self.values: NDArray[Any] | None = None
        order = np.argsort(tokens.lengths(), kind="stable").tolist()
        for start in range(0, len(order), _ROWS_AT_ONCE):
            rows = order[start : start + _ROWS_AT_ONCE]
            batch = {name: value.to(device) for name, value in tokens.batch(rows).items()}
            hidden = encoder.hidden(batch["input_ids"], batch.get("attention_mask"), layers)
            if self.values is None:
                shape = (len(tokens.ids), hidden.shape[-1])
                self.values = np.memmap(file, dtype=_STORED[encoder.dtype][0], mode="w+", shape=shape)
            self._keep(rows, hidden.cpu())

    def __len__(self) -> int:
        return len(self.tokens)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        return self.tokens.lengths()

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some texts, padded to the longest of them.

        Returns: ``inputs_embeds`` of shape (rows, longest, size); ``attention_mask`` only where something is padded.
        """
        assert self.values is not None  # noqa: S101 - no batch of no texts
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

    def _keep(self, rows: Sequence[int], hidden: Tensor) -> None:
        assert self.values is not None  # noqa: S101 - made with the first batch
        kept = hidden.view(_STORED[self.dtype][1]).numpy()
        for place, row in enumerate(rows):
            start, stop = int(self.tokens.starts[row]), int(self.tokens.starts[row + 1])
            self.values[start:stop] = kept[place, : stop - start]
