"""How good predictions are: the figures people expect, by scikit-learn's definitions.

Neighbours: ``trainer`` asks after every evaluation, the pipeline for ``metrics.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, roc_auc_score


@dataclass(frozen=True)
class Scores:
    """Figures of one split.

    Attributes:
        loss: Mean cross-entropy in nats, without class weights.
        accuracy: Share of right answers; like all others between 0 and 1.
        per_class: Label name -> precision, recall, f1, support (rows).
        confusion: ``[label][predicted]`` counts.
        roc_auc: Area under the ROC curve for label 1; None unless there are two labels, both present.
    """

    rows: int
    loss: float
    accuracy: float
    f1_macro: float
    precision_macro: float
    recall_macro: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    roc_auc: float | None

    def to_dict(self) -> dict[str, Any]:
        """As ``metrics.json`` keeps it."""
        return dict(self.__dict__)


def score(
    probabilities: NDArray[np.float64], labels: Sequence[int] | NDArray[np.int64], label_names: Sequence[str]
) -> Scores:
    """Compare predicted probabilities with the truth.

    Args:
        probabilities: Shape ``(rows, labels)``, finite, rows sum to 1.
        labels: Label ids, one a row.
    """
    truth = np.asarray(labels)
    predicted = probabilities.argmax(axis=1)
    ids = list(range(len(label_names)))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=ids, zero_division=0.0)
    per_class = {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, name in enumerate(label_names)
    }
    # Averages are over labels that occur: a label without rows has no recall to speak of.
    seen = support > 0
    two = len(ids) == 2 and bool(seen.all())
    return Scores(
        rows=len(truth),
        loss=float(log_loss(truth, probabilities, labels=ids)),
        accuracy=float((predicted == truth).mean()),
        f1_macro=float(f1[seen].mean()),
        precision_macro=float(precision[seen].mean()),
        recall_macro=float(recall[seen].mean()),
        per_class=per_class,
        confusion=confusion_matrix(truth, predicted, labels=ids).tolist(),
        roc_auc=float(roc_auc_score(truth, probabilities[:, 1])) if two else None,
    )
