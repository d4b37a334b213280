"""A run's curves: thinned out without losing an extreme, read around whatever a journal may hold."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune30.reports import curves
from finetune30.reports.curves import read_curves


def journal(*lines: Any) -> io.BytesIO:
    return io.BytesIO(
        b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    )


def step(number: int, loss: float | None = 1.0, **more: Any) -> dict[str, Any]:
    return {"kind": "step", "step": number, "loss": loss, **more}


def evaluation(number: int, accuracy: float) -> dict[str, Any]:
    return {"kind": "evaluation", "step": number, "metrics": {"accuracy": accuracy, "f1_macro": 0.5}}


def test_steps_evaluations_and_what_the_machine_did_come_out_as_columns() -> None:
    found = read_curves(
        journal(
            step(
                1, 0.7, learning_rate=0.1, tokens_per_s=5.5, at=100.5, system={"cpu_percent": 90.0, "memory_bytes": 7}
            ),
            step(2, 0.6, learning_rate=0.05),
            evaluation(2, 0.8),
        ),
        50,
    )

    assert (found.whole, found.training.steps, found.training.found) == (True, [1, 2], 2)
    assert found.training.figures["loss"] == [0.7, 0.6]
    assert found.training.figures["cpu_percent"] == [90.0, None]
    assert found.training.figures["memory_bytes"] == [7.0, None]
    assert found.training.figures["gpu_memory_bytes"] == [None, None]
    assert (found.evaluations.steps, found.evaluations.figures["accuracy"]) == ([2], [0.8])


def test_no_journal_yet_is_an_empty_curve() -> None:
    assert read_curves(None, 50).training.steps == []


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=2000),
    st.integers(curves.LEAST_POINTS, 300),
)
def test_thinning_keeps_ends_and_extremes_in_order_and_no_more_than_asked_for(
    losses: list[float | None], points: int
) -> None:
    lines = [step(at, loss, learning_rate=float(at % 7)) for at, loss in enumerate(losses)]
    found = read_curves(journal(*lines), points).training

    assert len(found.steps) <= points
    assert found.found == len(losses)
    assert found.steps == sorted(set(found.steps))
    assert {0, len(losses) - 1} <= set(found.steps)
    assert all(loss == losses[at] for at, loss in zip(found.steps, found.figures["loss"], strict=True))
    if told := [loss for loss in losses if loss is not None]:
        assert {min(told), max(told)} <= set(found.figures["loss"])
    if len(losses) <= points:
        assert len(found.steps) == len(losses)


def test_a_spike_of_a_single_step_is_kept_wherever_it_is() -> None:
    for spike in (1, 777, 4998):
        lines = [step(at, 9.0 if at == spike else 1.0) for at in range(5000)]
        assert spike in read_curves(journal(*lines), 60).training.steps


def test_steps_that_a_later_attempt_did_again_count_once_as_it_did_them() -> None:
    before = [*(step(at, 1.0) for at in range(1, 9)), evaluation(8, 0.3)]
    after = [step(at, 2.0) for at in (5, 6)]
    found = read_curves(journal(*before, *after), 50)

    assert found.training.steps == [1, 2, 3, 4, 5, 6]
    assert found.training.figures["loss"] == [1.0] * 4 + [2.0] * 2
    assert found.evaluations.steps == []


def test_whatever_is_no_line_of_ours_is_read_around() -> None:
    deep = b"[" * 50_000 + b"\n"
    found = read_curves(
        journal(
            b"\xff\xfe\n",
            b"\n",
            b"[1]\n",
            deep,
            b"x" * 200_000 + b'{"kind": "step", "step": 3}\n',
            {"kind": "step", "step": "1"},
            {"kind": "step", "step": True},
            {"kind": "step", "step": -1},
            {"kind": "step", "step": 2**80},
            {"kind": "evaluation", "step": 1, "metrics": 3},
            b'{"kind": "step", "step": 1, "loss": NaN, "learning_rate": Infinity, "tokens_per_s": "many"}\n',
            {"kind": "step", "step": 2, "loss": 10**400, "system": [1]},
            b'{"kind": "step", "step": 9, "loss": 0.5',
        ),
        50,
    ).training

    assert found.steps == [1, 2]
    assert [value for column in found.figures.values() for value in column] == [None] * 2 * len(found.figures)
    json.dumps(found.figures, allow_nan=False)


def test_of_a_journal_that_is_too_long_the_end_is_read_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "_MOST_BYTES", 1000)
    found = read_curves(journal(*(step(at) for at in range(500))), 50)

    assert not found.whole
    assert found.training.steps[-1] == 499
    assert 10 < len(found.training.steps) < 40


def test_a_line_that_grows_while_it_is_read_is_left_for_the_next_time() -> None:
    file = journal(step(1), b'{"kind": "step", "st')
    assert read_curves(file, 50).training.steps == [1]
    file.seek(0, 2)
    file.write(b'ep": 2}\n')
    assert read_curves(file, 50).training.steps == [1, 2]
    assert not any(math.isnan(value) for value in read_curves(file, 50).training.figures["loss"] if value)
