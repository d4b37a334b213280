"""Rows that bfloat16 may move too far are computed again, others are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from finetune30.modeling.shared.rounding import Rounding
from finetune30.modeling.task import Task

TWO = Task(("no", "yes"))
MANY = Task(("a", "b", "c"), multi_label=True)
SOME = np.zeros((4, 2), dtype=np.float32)


def logits(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, dtype=np.float32)


def test_a_torn_answer_is_doubted_whatever_the_adapter() -> None:
    assert Rounding(TWO).doubts(logits(0.05, 0.0))
    assert not Rounding(TWO).doubts(logits(0.5, 0.0))


def test_how_sure_an_answer_must_be_hangs_on_the_adapters_drift() -> None:
    sure, less_sure = logits(6.0, 0.0), logits(2.0, 0.0)

    assert not Rounding(TWO, drift=0.005).doubts(less_sure)
    assert Rounding(TWO, drift=0.05).doubts(less_sure)
    assert not Rounding(TWO, drift=0.05).doubts(sure)


def test_each_label_of_several_is_looked_at() -> None:
    assert Rounding(MANY).doubts(logits(9.0, -9.0, 0.1))
    assert Rounding(MANY, drift=0.05).doubts(logits(9.0, -9.0, 2.0))
    assert not Rounding(MANY, drift=0.05).doubts(logits(9.0, -9.0, 6.0))


def test_drift_is_what_one_logit_moves_against_another() -> None:
    """What moves all logits of a row alike changes no probability; of several labels each counts alone."""
    alike = SOME + 0.5

    assert Rounding.seen(TWO, alike, SOME).drift == 0.0
    assert Rounding.seen(MANY, alike, SOME).drift == 0.5


@pytest.mark.parametrize("moved", [np.nan, np.inf, 7.0])
def test_an_adapter_beyond_bfloat16_is_computed_in_float32(moved: float) -> None:
    broken = SOME.copy()
    broken[2, 1] = moved

    assert Rounding.seen(TWO, broken, SOME).hopeless
    assert not Rounding.seen(TWO, SOME, SOME).hopeless
