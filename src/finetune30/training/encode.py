"""From labelled texts to batches: grouped by length, padded to the longest, in an order fixed by the seed.

The order of an epoch depends on (seed, epoch) alone, never on a random state, so a resumed
run sees the same batches; and an optimizer step holds the same rows however its batch is cut
into smaller ones, so halving the batch after running out of memory changes nothing else.
Neighbours: ``modeling.tokens`` reads the texts, ``trainer`` consumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from finetune30.modeling.predict import Inputs
from finetune30.modeling.tokens import Tokens

# Rows are sorted by length within windows of this many optimizer steps: long enough to group
# well, short enough that an epoch stays shuffled (transformers uses the same factor).
_WINDOW_STEPS = 50


class LabelledRows(Dataset[int]):
    """Texts with their labels. Its items are positions; ``batch`` makes tensors of them.

    Attributes:
        tokens: The texts.
        labels: Shape (rows,), label ids; multi-label: (rows, labels), 0 or 1.
        inputs: The texts as the model takes them: the tokens, unless something stands for them.
    """

    def __init__(self, tokens: Tokens, labels: Sequence[int] | NDArray[np.int64], inputs: Inputs | None = None) -> None:
        self.tokens = tokens
        self.labels: NDArray[np.int64] = np.asarray(labels)
        self.inputs: Inputs = tokens if inputs is None else inputs

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> int:
        return index

    def batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """What the model takes, and ``labels`` as they are here: ids as int64, 0 and 1 as float32."""
        labels = torch.from_numpy(self.labels[list(rows)])
        return {**self.inputs.batch(rows), "labels": labels.float() if labels.ndim == 2 else labels.long()}


class StepBatches(Sampler[list[int]]):
    """Batches of row numbers such that every ``accumulation`` of them make one optimizer step.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows of one forward pass.
        accumulation: Forward passes of one optimizer step.
        by_length: Group rows of similar length; otherwise shuffle only.
    """

    def __init__(
        self, lengths: Sequence[int], *, batch_size: int, accumulation: int, seed: int, by_length: bool
    ) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.step_rows = batch_size * accumulation
        self.seed = seed
        self.by_length = by_length
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order ``iter`` gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.lengths), self.step_rows)
        return whole * (self.step_rows // self.batch_size) + -(-rest // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps():
            for start in range(0, len(step), self.batch_size):
                yield step[start : start + self.batch_size]

    def _steps(self) -> list[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        order: list[int] = random.permutation(len(self.lengths)).tolist()
        if not self.by_length:
            return [order[i : i + self.step_rows] for i in range(0, len(order), self.step_rows)]
        window = self.step_rows * _WINDOW_STEPS
        steps: list[list[int]] = []
        rest: list[int] = []
        for start in range(0, len(order), window):
            rows = sorted(order[start : start + window], key=lambda i: self.lengths[i], reverse=True)
            cut = len(rows) // self.step_rows * self.step_rows
            steps += [rows[i : i + self.step_rows] for i in range(0, cut, self.step_rows)]
            rest += rows[cut:]
        shuffled = [steps[i] for i in random.permutation(len(steps))]
        if shuffled:
            # The longest batch first: what does not fit into memory shows at once, not after an hour.
            longest = max(range(len(shuffled)), key=lambda i: max(self.lengths[row] for row in shuffled[i]))
            shuffled[0], shuffled[longest] = shuffled[longest], shuffled[0]
        # Only the last window can leave a rest (windows are whole steps); a short step comes last,
        # because the trainer counts batches, not rows.
        return [*shuffled, rest] if rest else shuffled


class EpochLoader(DataLoader[int]):
    """A DataLoader that hands the epoch number on to its batches."""

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        if isinstance(self.batch_sampler, StepBatches):
            self.batch_sampler.set_epoch(epoch)
