"""Lines from a stencil are what plotly itself would write."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest

from finetune30.ui import plots
from finetune30.ui.plots import Line

RISING = Line("loss", [1, 2, 3], [0.5, None, 1.25])
FLAT = Line("training", [1, 2], [0.25, 0.25])
NAMED = Line('</script>"[1]', [1.5], [2], points=True)
EMPTY = Line("accuracy", [1, 2], [None, None])


@pytest.mark.parametrize("some", [[RISING], [FLAT], [RISING, NAMED], [EMPTY], [EMPTY, FLAT], []])
def test_the_same_figure_comes_with_its_points_in_their_places(some: list[Line]) -> None:
    drawing = plots.lines(some, x="step", y="", unit=' "%"')
    found = json.loads(drawing.stencil.filled(drawing.points, 'a "key"'))

    # plotly takes it, and writes it again as it is: no property is missing or unknown.
    again = go.Figure(found).to_dict()
    assert [_points(one) for one in again["data"]] == [_points(one) for one in found["data"]]
    assert [_points(one) for one in found["data"]] == [
        ([at for at, value in zip(one.x, one.y, strict=True) if value is not None], [v for v in one.y if v is not None])
        for one in some
    ]
    assert found["layout"]["uirevision"] == 'a "key"'
    assert found["layout"]["height"] == 260
    assert set(found["layout"]["template"]["data"]) <= {"scatter"}
    assert found["layout"]["template"]["layout"] == go.Figure().to_dict()["layout"]["template"]["layout"]


def test_a_figure_is_built_once_and_not_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    plots.lines([Line("grows", [1], [0.5])], x="step", y="")
    plots.lines([Line("grows", [1, 2], [0.5, 0.6])], x="step", y="")

    def built(*_: object, **__: object) -> go.Figure:
        raise AssertionError("it is built again")

    monkeypatch.setattr(go, "Figure", built)
    drawing = plots.lines([Line("grows", [1, 2, 3], [0.5, 0.6, 0.4])], x="step", y="")

    assert json.loads(drawing.stencil.filled(drawing.points, "k"))["data"][0]["y"] == [0.5, 0.6, 0.4]


def test_what_is_no_number_is_left_out() -> None:
    drawing = plots.lines([Line("loss", [1, 2], [float("nan"), 1.0])], x="step", y="")

    assert json.loads(drawing.stencil.filled(drawing.points, "k"))["data"][0]["y"] == [None, 1.0]


def _points(line: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    return list(line["x"]), list(line["y"])
