"""From labelled texts to batches: grouped by length, padded to the longest, in an order fixed by the seed.

The order of an epoch depends on (seed, epoch) alone, never on a random state, so a resumed
run sees the same batches; and an optimizer step holds the same rows however its batch is cut
into smaller ones or dealt out to processes, so neither halving the batch after running out of
memory nor more devices change anything else.
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
from finetune30.training.peers import ALONE, Peers

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
        """What the model takes, and ``labels`` as they are here: ids as int64, 0 and 1 as float32.

        Of no rows, as a process may get them in the last step of an epoch, ``labels`` alone.
        """
        labels = torch.from_numpy(self.labels[list(rows)])
        inputs = self.inputs.batch(rows) if rows else {}
        return {**inputs, "labels": labels.float() if labels.ndim == 2 else labels.long()}


class StepBatches(Sampler[list[int]]):
    """Batches of row numbers such that every ``accumulation`` of them make one optimizer step.

    Each process gets every n-th row of a step, so neighbours in length are dealt out and nobody waits for
    the one with the long texts. All get equally many batches; where rows are few, some have fewer or none.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows of one forward pass of one process.
        accumulation: Forward passes of one optimizer step.
        by_length: Group rows of similar length; otherwise shuffle only.
        peers: Whose batches these are; a step holds the rows of all.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        accumulation: int,
        seed: int,
        by_length: bool,
        peers: Peers = ALONE,
    ) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.peers = peers
        self.step_rows = batch_size * accumulation * peers.size
        self.seed = seed
        self.by_length = by_length
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order ``iter`` gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.lengths), self.step_rows)
        return whole * self._batches(self.step_rows) + self._batches(rest)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps():
            mine = [step[place] for place in self.peers.share(len(step))]
            for number in range(self._batches(len(step))):
                yield mine[number * self.batch_size : (number + 1) * self.batch_size]

    def rows_of(self, step: int) -> int:
        """Rows of the optimizer step after ``step`` others, over all processes."""
        steps_per_epoch = -(-len(self.lengths) // self.step_rows)
        rest = len(self.lengths) % self.step_rows
        return rest if rest and step % steps_per_epoch == steps_per_epoch - 1 else self.step_rows

    def _batches(self, rows: int) -> int:
        """Batches of a step, of the process that has most of its rows."""
        return -(-rows // (self.batch_size * self.peers.size))

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
