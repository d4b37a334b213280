"""What training makes small: the loss of a batch, and how much each label counts in it.

Summed over rows and never averaged here, because an optimizer step may be cut into several batches:
``trainer`` divides by the rows of the whole step. Neighbours: ``options`` checks the weights early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn, tensor

from finetune30.config import ExperimentConfig
from finetune30.errors import ConfigError

# A label that one row in a million has must not decide a step alone when that row comes.
_MOST = 100.0


@dataclass(frozen=True)
class RowLoss:
    """Loss of rows, in nats.

    Attributes:
        weights: What each label counts for, shape (labels,); None: all the same.
        positives: Multi-label: what a row that has the label counts for beside one that has not, shape (labels,).
    """

    weights: Tensor | None = None
    positives: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Summed over rows; a row with several labels counts their mean.

        Args:
            logits: Shape (rows, labels).
            labels: Shape (rows,), ids; multi-label: (rows, labels), 0.0 or 1.0.
        """
        weights, positives = (
            part if part is None else part.to(logits.device) for part in (self.weights, self.positives)
        )
        if labels.ndim == 1:
            return nn.functional.cross_entropy(logits.float(), labels, weight=weights, reduction="sum")
        of_each = nn.functional.binary_cross_entropy_with_logits(
            logits.float(), labels, weight=weights, pos_weight=positives, reduction="sum"
        )
        return of_each / labels.shape[1]


def row_loss(config: ExperimentConfig, labels: NDArray[np.int64], names: Sequence[str]) -> RowLoss:
    """The loss for these training labels, weighed as ``training.class_weights`` says.

    Args:
        labels: As ``Split.labels``.
    Raises: ConfigError if a weight is for a label that does not exist.
    """
    asked = config.training.class_weights
    if asked is None:
        return RowLoss()
    if asked == "balanced":
        if labels.ndim == 2:
            return RowLoss(positives=tensor(_positive_weights(labels)))
        return RowLoss(tensor(_balanced(labels, len(names))))
    check_weights(config, names)
    return RowLoss(tensor([float(asked.get(name, 1.0)) for name in names]))


def check_weights(config: ExperimentConfig, names: Sequence[str]) -> None:
    """Refuse a weight for a label that does not exist.

    Raises: ConfigError.
    """
    asked = config.training.class_weights
    if isinstance(asked, dict) and (unknown := sorted(set(asked) - set(names))):
        raise ConfigError(
            f"there is no label {unknown[0]!r}; the labels are {', '.join(names[:20])}",
            where="training.class_weights",
        )


def _balanced(labels: NDArray[np.int64], count: int) -> list[float]:
    """Rows / (labels x rows of the label), scikit-learn's "balanced"; 0 for a label without rows."""
    rows = np.bincount(labels, minlength=count).tolist()
    present = sum(1 for of_label in rows if of_label)
    return [len(labels) / (present * of_label) if of_label else 0.0 for of_label in rows]


def _positive_weights(labels: NDArray[np.int64]) -> list[float]:
    """Rows without the label / rows with it, within bounds; 1 for a label that no row has."""
    positive = labels.sum(axis=0).tolist()
    ratios = [(len(labels) - of_label) / of_label if of_label else 1.0 for of_label in positive]
    return [min(max(ratio, 1 / _MOST), _MOST) for ratio in ratios]
