"""Outputs of the frozen lower layers, computed once and kept in a file (``training.freeze_below``).

They are computed in an order that depends on nothing but the lengths, before the first step: a
resumed run computes the same numbers. The file is mapped, so memory stays flat; it has no name, so
it is gone with the process, however that ends. Processes of one machine share the work and the file.
Neighbours: ``modeling.engine`` computes, ``encode``
makes batches of it.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune30.modeling.engine import Encoder
from finetune30.modeling.memory import is_out_of_memory, release
from finetune30.modeling.tokens import Tokens
from finetune30.training.checkpoints import STAGING
from finetune30.training.peers import ALONE, Peers

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
        peers: Processes of this machine that make the same object now.
    Raises: OSError if the disk has no room, before anything is computed.
    """

    def __init__(
        self, encoder: Encoder, tokens: Tokens, layers: int, folder: Path, device: str, peers: Peers = ALONE
    ) -> None:
        self.tokens = tokens
        self.dtype = encoder.dtype
        stored, _ = _STORED[encoder.dtype]
        shape = (max(1, len(tokens.ids)), encoder.size)
        with _nameless_file(folder, shape[0] * shape[1] * np.dtype(stored).itemsize, peers) as file:
            self.values: NDArray[Any] = np.memmap(file, dtype=stored, mode="r+", shape=shape)  # outlives the file
        order = np.argsort(tokens.lengths(), kind="stable").tolist()
        blocks = [order[start : start + _ROWS_AT_ONCE] for start in range(0, len(order), _ROWS_AT_ONCE)]
        at_once = _ROWS_AT_ONCE
        for block in (blocks[place] for place in peers.share(len(blocks))):
            start = 0
            while start < len(block):
                rows = block[start : start + at_once]
                try:
                    self._compute(encoder, rows, layers, device)
                except (RuntimeError, MemoryError) as fault:
                    if at_once == 1 or not is_out_of_memory(fault):
                        raise
                    at_once //= 2
                    release()
                    continue
                start += len(rows)
        peers.wait()

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


@contextmanager
def _nameless_file(folder: Path, size: int, peers: Peers) -> Iterator[IO[bytes]]:
    """A file of this size that is gone with the processes that have it open."""
    if peers.size == 1:
        with tempfile.TemporaryFile(dir=folder) as file:
            _allocate(file.fileno(), size)
            yield file
        return
    # A name for as long as it takes the others to open it; what is left of a killed run is staging, and cleared.
    path = folder / peers.told(f"{STAGING}lower-{uuid.uuid4().hex}")
    if peers.first:
        with path.open("xb") as file:
            _allocate(file.fileno(), size)
    peers.wait()
    with path.open("r+b") as file:
        peers.wait()
        path.unlink(missing_ok=True)
        yield file


def _allocate(descriptor: int, size: int) -> None:
    """Claim the bytes now: a full disk under a mapped file would end the process by a signal."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)
