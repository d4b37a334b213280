"""Scores are scikit-learn's, for one label a row and for several."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from finetune30.training import score

NAMES = ("book", "film", "food")


def drawn(rows: int = 60, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, truth and what is given, of rows with several labels."""
    draw = np.random.default_rng(5)
    probabilities = draw.random((rows, 3))
    return probabilities, (draw.random((rows, 3)) < [0.1, 0.5, 0.8]).astype(np.int64), probabilities >= threshold


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_figures_of_several_labels_are_those_of_scikit_learn(threshold: float) -> None:
    probabilities, truth, given = drawn(threshold=threshold)

    found = score(probabilities, truth, NAMES, threshold)

    average = {"zero_division": 0.0}
    assert found.rows == 60
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, given))
    assert found.hamming_accuracy == pytest.approx(1 - metrics.hamming_loss(truth, given))
    assert found.f1_micro == pytest.approx(metrics.f1_score(truth, given, average="micro", **average))
    assert found.f1_macro == pytest.approx(metrics.f1_score(truth, given, average="macro", **average))
    assert found.precision_macro == pytest.approx(metrics.precision_score(truth, given, average="macro", **average))
    assert found.recall_macro == pytest.approx(metrics.recall_score(truth, given, average="macro", **average))
    assert found.roc_auc == pytest.approx(metrics.roc_auc_score(truth, probabilities, average="macro"))
    assert found.confusion == metrics.multilabel_confusion_matrix(truth, given).tolist()
    losses = [metrics.log_loss(truth[:, i], probabilities[:, i], labels=[0, 1]) for i in range(3)]
    assert found.loss == pytest.approx(np.mean(losses))
    each = metrics.precision_recall_fscore_support(truth, given, average=None, **average)
    assert list(found.per_class) == list(NAMES)
    for label, name in enumerate(NAMES):
        assert list(found.per_class[name].values()) == pytest.approx([figures[label] for figures in each])


def test_a_label_without_rows_has_no_part_in_the_means_and_no_curve() -> None:
    probabilities, truth, given = drawn()
    truth[:, 0] = 0
    truth[:, 2] = 1

    found = score(probabilities, truth, NAMES)

    assert found.f1_macro == pytest.approx(metrics.f1_score(truth, given, labels=[1, 2], average="macro"))
    assert found.per_class["book"]["support"] == 0
    assert found.roc_auc == pytest.approx(metrics.roc_auc_score(truth[:, 1], probabilities[:, 1]))


def test_rows_without_any_label_have_figures_too() -> None:
    found = score(np.array([[0.0, 0.1], [0.2, 1.0]]), np.zeros((2, 2), np.int64), ("a", "b"))

    assert (found.accuracy, found.hamming_accuracy) == (0.5, 0.75)
    assert (found.f1_macro, found.f1_micro, found.roc_auc) == (0.0, 0.0, None)
    assert np.isfinite(found.loss)


def test_a_table_of_one_label_is_not_taken_for_two_classes() -> None:
    found = score(np.array([[0.9], [0.2], [0.6], [0.4]]), np.array([[1], [0], [0], [1]]), ("toxic",))

    assert found.confusion == [[[1, 1], [1, 1]]]
    assert (found.accuracy, found.f1_macro, found.f1_micro, found.roc_auc) == (0.5, 0.5, 0.5, 0.75)


def test_figures_of_several_labels_are_not_told_of_rows_with_one() -> None:
    found = score(np.array([[0.9, 0.1], [0.2, 0.8]]), [0, 1], ("a", "b")).to_dict()

    assert list(found) == [
        *("rows", "loss", "accuracy", "f1_macro", "precision_macro", "recall_macro"),
        *("per_class", "confusion", "roc_auc"),
    ]
    several = score(*drawn()[:2], NAMES).to_dict()
    assert {"hamming_accuracy", "f1_micro"} <= several.keys()
    assert score(np.full((2, 3), 1 / 3), [0, 1], NAMES).to_dict()["roc_auc"] is None
