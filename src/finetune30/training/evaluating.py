"""Logits of all rows, each process computing its share.

All get all of them, so all judge alike. The shares are dealt out by length and take equally long:
nobody waits for the slowest. Neighbours: ``trainer`` scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finetune30.modeling.predict import Inputs, logits_of
from finetune30.training.peers import Peers


@dataclass(frozen=True)
class Share:
    """Some rows of the inputs, by their numbers."""

    inputs: Inputs
    rows: NDArray[np.int64]

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row of the share."""
        return self.inputs.lengths()[self.rows]

    def batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """What the model takes for these rows of the share."""
        return self.inputs.batch(self.rows[list(rows)].tolist())


def logits_together(
    peers: Peers, model: nn.Module, inputs: Inputs, *, labels: int, batch_size: int, device: str
) -> NDArray[np.float32]:
    """Raw scores of all rows, in the order given.

    Returns: Shape (rows, labels), the same in every process.
    """
    if peers.size == 1:
        return logits_of(model, inputs, batch_size=batch_size, device=device)
    order = np.argsort(inputs.lengths(), kind="stable")
    shares = [order[rank :: peers.size] for rank in range(peers.size)]
    own = torch.zeros((len(shares[0]), labels))  # the first share is the longest
    mine = shares[peers.rank]
    if len(mine):
        scores = logits_of(model, Share(inputs, mine), batch_size=batch_size, device=device)
        own[: len(mine)] = torch.from_numpy(scores)
    result = np.zeros((len(order), labels), dtype=np.float32)
    for rows, scores_of in zip(shares, peers.gather(own), strict=True):
        result[rows] = scores_of.numpy()[: len(rows)]
    return result
