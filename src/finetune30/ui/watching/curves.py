"""A training's figures and curves: what was measured last as tiles, and all of it by step.

Each plot has a sentence below it that says the same in words. Neighbours: ``plots`` draws, ``look`` has the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.ui import plots, shown
from finetune30.ui.plots import Line, Number
from finetune30.ui.shell import say
from finetune30.ui.tiles import tiles
from finetune30.ui.watching.look import Look

_HEIGHT = 240
_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def newest(look: Look) -> None:
    """The newest figures; their places stay the same from the first look on."""
    told = [
        ("loss", _short(look.last("loss"))),
        ("accuracy", shown.share(look.last("accuracy", "evaluations"))),
        ("learning_rate", _short(look.last("learning_rate"))),
        ("tokens_per_s", shown.number(look.last("tokens_per_s"), 3)),
        ("cpu_percent", _percent(look.last("cpu_percent"))),
        ("memory_bytes", shown.size(look.last("memory_bytes"))),
    ]
    if look.last("gpu_memory_bytes") is not None:
        told += [
            ("gpu_utilization_percent", _percent(look.last("gpu_utilization_percent"))),
            ("gpu_memory_bytes", shown.size(look.last("gpu_memory_bytes"))),
        ]
    # The longest name has no room for a question mark: its plot has it.
    helps = {name: None if name == "learning_rate" else say(f"run.help_{name}") for name, _ in told}
    tiles("tiles", [(say(f"run.tile_{name}"), value, helps[name]) for name, value in told])


def curves(look: Look) -> None:
    """The plots, two beside each other where there is room."""
    found = look.curves or {}
    training, evaluations = _series(found, "training"), _series(found, "evaluations")
    drawn = [_loss, _scores, _learning_rate, _speed, _processor, _memory]
    if look.last("gpu_memory_bytes") is not None:
        drawn += [_gpu, _gpu_memory]
    for row in range(0, len(drawn), 2):
        for place, draw in zip(st.columns(2), drawn[row : row + 2], strict=True):
            with place:
                draw(training, evaluations)
    if found and not found.get("whole", True):
        st.caption(say("run.not_whole"))


def _loss(training: Mapping[str, Any], evaluations: Mapping[str, Any]) -> None:
    _plot("loss", say("run.axis_loss"), [_line(training, "loss"), _line(evaluations, "loss", points=True)])


def _scores(_: Mapping[str, Any], evaluations: Mapping[str, Any]) -> None:
    some = [_line(evaluations, name, points=True) for name in ("accuracy", "f1_macro")]
    _plot("scores", say("run.axis_scores"), some, percent=True)


def _learning_rate(training: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    _plot(
        "learning_rate",
        say("run.tile_learning_rate"),
        [_line(training, "learning_rate")],
        help=say("run.help_learning_rate"),
    )


def _speed(training: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    _plot("speed", say("run.tile_tokens_per_s"), [_line(training, "tokens_per_s")])


def _processor(training: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    _plot("cpu", say("run.axis_cpu"), [_line(training, "cpu_percent")], unit=" %")


def _memory(training: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    _bytes("memory", "memory_bytes", training)


def _gpu(training: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    _plot("gpu", say("run.axis_gpu"), [_line(training, "gpu_utilization_percent")], unit=" %")


def _gpu_memory(training: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    _bytes("gpu_memory", "gpu_memory_bytes", training)


def _bytes(key: str, figure: str, training: Mapping[str, Any]) -> None:
    line = _line(training, figure)
    highest = max((value for value in line.y if value is not None), default=0.0)
    unit, size = next((one for one in _UNITS if highest >= one[1]), _UNITS[1])
    scaled = Line(line.name, line.x, [None if value is None else value / size for value in line.y])
    _plot(key, f"{say(f'run.tile_{figure}')} ({unit})", [scaled], unit=f" {unit}")


def _plot(
    key: str, title: str, some: Sequence[Line], *, percent: bool = False, unit: str = "", help: str | None = None
) -> None:
    st.markdown(f"**{title}**", help=help)
    words = " ".join(filter(None, (_in_words(one, percent, unit) for one in some))) or say("run.no_points")
    figure = plots.lines(some, x=say("run.axis_step"), y="", percent=percent, unit=unit, height=_HEIGHT)
    plots.draw(figure, f"curve_{key}", f"{title}. {words}")
    st.caption(words)


def _in_words(line: Line, percent: bool, unit: str) -> str:
    told = [(at, value) for at, value in zip(line.x, line.y, strict=True) if value is not None]
    if not told:
        return ""

    def value(number: float) -> str:
        return shown.share(number, 1) if percent else f"{shown.number(number, 3)}{unit}"

    low, high = min(one for _, one in told), max(one for _, one in told)
    return say("run.curve", name=line.name, last=value(told[-1][1]), low=value(low), high=value(high))


def _series(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    some: Mapping[str, Any] = found.get(name) or {}
    kind = "evaluation" if name == "evaluations" else "training"
    return {"steps": some.get("steps") or [], "figures": some.get("figures") or {}, "kind": kind}


def _line(series: Mapping[str, Any], figure: str, *, points: bool = False) -> Line:
    steps: Sequence[float] = series["steps"]
    values: Sequence[Number] = series["figures"].get(figure) or [None] * len(steps)
    kind = series["kind"] if figure == "loss" else figure
    name = say(f"run.line_{kind}")
    return Line(name, steps, values, points)


def _short(value: float | None) -> str:
    """Of a small number fewer digits, for its place is for seven characters."""
    return shown.number(value, 2 if value is not None and abs(value) < 1e-3 else 3)


def _percent(value: float | None) -> str:
    return shown.NOTHING if value is None else f"{value:.0f} %"
