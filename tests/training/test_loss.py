"""The loss of a batch, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from finetune30.errors import ConfigError
from finetune30.modeling import choose
from finetune30.training import check_options
from finetune30.training.loss import row_loss
from tests import tiny

LOGITS = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -0.5]])
LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])


def loss_for(class_weights: Any, labels: np.ndarray) -> Any:
    config = tiny.experiment("builtin:minilm", "builtin:reviews", training__class_weights=class_weights)
    return row_loss(config, labels, ("a", "b", "c")[: labels.shape[1] if labels.ndim == 2 else 3])


def by_hand(there: list[float], absent: list[float]) -> float:
    """Sum over rows of the mean over labels, each with its weight."""
    total = 0.0
    for row in range(2):
        for label in range(3):
            p = 1 / (1 + math.exp(-float(LOGITS[row, label])))
            total -= there[label] * math.log(p) if LABELS[row, label] else absent[label] * math.log(1 - p)
    return total / 3


def test_several_labels_cost_the_mean_of_their_binary_cross_entropies() -> None:
    assert float(loss_for(None, LABELS.numpy())(LOGITS, LABELS)) == pytest.approx(by_hand([1] * 3, [1] * 3))


def test_a_weight_by_name_weighs_all_of_a_label() -> None:
    found = float(loss_for({"b": 5.0}, LABELS.numpy())(LOGITS, LABELS))
    assert found == pytest.approx(by_hand([1, 5, 1], [1, 5, 1]))


def test_balanced_weighs_a_rare_labels_rows_up_to_a_hundred_times() -> None:
    labels = np.zeros((1000, 3), np.int64)
    labels[:250, 0] = labels[0, 1] = 1

    loss = loss_for("balanced", labels)

    assert loss.positives.tolist() == [3.0, 100.0, 1.0]  # 750 / 250; 999 / 1, bounded; nobody has the third
    assert float(loss(LOGITS, LABELS)) == pytest.approx(by_hand([3, 100, 1], [1, 1, 1]))


def test_balanced_is_scikit_learns_where_a_row_has_one_label() -> None:
    labels = np.array([0] * 5 + [2] * 15)

    first, last = compute_class_weight("balanced", classes=np.array([0, 2]), y=labels)
    assert loss_for("balanced", labels).weights.tolist() == pytest.approx([first, 0.0, last])


def test_a_weight_for_a_label_that_does_not_exist_is_refused_before_training() -> None:
    config = tiny.experiment("builtin:minilm", "builtin:reviews", training__class_weights={"d": 2.0})
    with pytest.raises(ConfigError, match="no label 'd'; the labels are a, b, c"):
        check_options(config, ("a", "b", "c"), choose("cpu", False))
