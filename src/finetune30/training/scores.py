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

# Figures that only rows with several labels have.
_MULTI_LABEL = ("hamming_accuracy", "f1_micro")


@dataclass(frozen=True)
class Scores:
    """Figures of one split.

    Attributes:
        loss: Mean cross-entropy in nats, without class weights; multi-label: binary, over rows and labels.
        accuracy: Share of right answers; like all others between 0 and 1. Multi-label: all labels of a row right.
        f1_macro: Like the two beside it the mean over the labels that occur.
        per_class: Label name -> precision, recall, f1, support (rows).
        confusion: ``[label][predicted]`` counts. Multi-label: ``[[tn, fp], [fn, tp]]`` of each label.
        roc_auc: Area under the ROC curve for label 1; None unless there are two labels, both present.
            Multi-label: mean over the labels that some rows have and some have not; None if there is none.
        hamming_accuracy: Multi-label: share of right answers, each label of each row an answer.
        f1_micro: Multi-label: F1 over the answers for all labels together.
    """

    rows: int
    loss: float
    accuracy: float
    f1_macro: float
    precision_macro: float
    recall_macro: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]] | list[list[list[int]]]
    roc_auc: float | None
    hamming_accuracy: float | None = None
    f1_micro: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As ``metrics.json`` keeps it."""
        values = dict(self.__dict__)
        return {name: value for name, value in values.items() if value is not None or name not in _MULTI_LABEL}


def score(
    probabilities: NDArray[np.float64],
    labels: Sequence[int] | NDArray[np.int64],
    label_names: Sequence[str],
    threshold: float = 0.5,
) -> Scores:
    """Compare predicted probabilities with the truth.

    Args:
        probabilities: Shape ``(rows, labels)``, finite; rows sum to 1 unless multi-label.
        labels: Label ids, one a row. Multi-label: shape ``(rows, labels)``, 0 or 1.
        threshold: Multi-label: a label is given from this probability on.
    """
    truth = np.asarray(labels)
    if truth.ndim == 2:
        return _multi_label(probabilities, truth.astype(bool), label_names, threshold)
    predicted = probabilities.argmax(axis=1)
    ids = list(range(len(label_names)))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=ids, zero_division=0.0)
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
        per_class=_per_class(label_names, precision, recall, f1, support),
        confusion=confusion_matrix(truth, predicted, labels=ids).tolist(),
        roc_auc=float(roc_auc_score(truth, probabilities[:, 1])) if two else None,
    )


def _multi_label(
    probabilities: NDArray[np.float64], truth: NDArray[np.bool_], label_names: Sequence[str], threshold: float
) -> Scores:
    # Counted here, because scikit-learn takes a table of one label for a column of two classes.
    given = probabilities >= threshold
    right = (given & truth).sum(axis=0)
    missed, wrong = truth.sum(axis=0) - right, given.sum(axis=0) - right
    support = right + missed
    precision, recall = _share(right, right + wrong), _share(right, support)
    f1 = _share(2 * right, 2 * right + wrong + missed)
    seen = support > 0
    rest = len(truth) - right - wrong - missed
    mixed = [label for label in range(truth.shape[1]) if 0 < support[label] < len(truth)]
    areas = [float(roc_auc_score(truth[:, label], probabilities[:, label])) for label in mixed]
    of_truth = np.where(truth, probabilities, 1.0 - probabilities)
    return Scores(
        rows=len(truth),
        # Clipped as log_loss does: a probability that rounds to 0 has no logarithm.
        loss=float(-np.log(np.clip(of_truth, np.finfo(np.float64).eps, None)).mean()),
        accuracy=float((given == truth).all(axis=1).mean()),
        f1_macro=_mean(f1[seen]),
        precision_macro=_mean(precision[seen]),
        recall_macro=_mean(recall[seen]),
        per_class=_per_class(label_names, precision, recall, f1, support),
        confusion=[
            [[int(tn), int(fp)], [int(fn), int(tp)]] for tn, fp, fn, tp in zip(rest, wrong, missed, right, strict=True)
        ],
        roc_auc=_mean(np.array(areas)) if areas else None,
        hamming_accuracy=float((given == truth).mean()),
        f1_micro=float(_share(2 * right.sum(), 2 * right.sum() + wrong.sum() + missed.sum())),
    )


def _per_class(
    label_names: Sequence[str],
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
    f1: NDArray[np.float64],
    support: NDArray[np.int64],
) -> dict[str, dict[str, float]]:
    return {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, name in enumerate(label_names)
    }


def _share(part: Any, whole: Any) -> Any:
    """``part / whole``, 0 where the whole is: scikit-learn's ``zero_division=0``."""
    return part / np.maximum(whole, 1)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
