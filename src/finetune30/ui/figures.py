"""What figures of runs are called, in which unit they are shown, and which way is better.

Names of ours for those everybody looks at; any other is shown by its own name as a plain number, and none of it is
called better. Neighbours: ``side_tables`` shows them side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune30.ui import shown
from finetune30.ui.shell import say

Value = float | int | None
Show = Callable[[Value], str]


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        better: 1 where more is better, -1 where less is, 0 where neither can be said.
        depends: It says something of the rows it was measured on, so only on equal rows one can be better.
    """

    show: Show
    better: int = 0
    depends: bool = False


def _share(value: Value) -> str:
    return shown.share(value)


_SCORE = Kind(_share, 1, depends=True)
_LOSS = Kind(shown.number, -1, depends=True)
_COUNT = Kind(shown.number)
_KINDS: Mapping[str, Kind] = {
    "accuracy": _SCORE,
    "f1_macro": _SCORE,
    "f1_micro": _SCORE,
    "precision_macro": _SCORE,
    "recall_macro": _SCORE,
    "roc_auc": Kind(shown.number, 1, depends=True),
    "hamming_accuracy": _SCORE,
    "loss": _LOSS,
    "rows": _COUNT,
    "runtime_s": Kind(shown.duration, -1),
    "tokens_per_s": Kind(shown.number, 1),
    "samples_per_s": Kind(shown.number, 1),
    "steps": _COUNT,
    "epochs": _COUNT,
    "best_step": _COUNT,
    "trainable_parameters": _COUNT,
    "memory_bytes_peak": Kind(shown.size, -1),
    "gpu_memory_bytes_peak": Kind(shown.size, -1),
    "memory_bytes_mean": Kind(shown.size),
    "cpu_percent_mean": Kind(shown.number),
    "cpu_percent_max": Kind(shown.number),
    "duration_s": Kind(shown.duration),
}
MAIN = (
    "eval.accuracy",
    "eval.f1_macro",
    "eval.loss",
    "eval.roc_auc",
    "test.accuracy",
    "test.f1_macro",
    "train.runtime_s",
    "train.tokens_per_s",
    "system.memory_bytes_peak",
    "system.gpu_memory_bytes_peak",
)
"""Those that are shown first."""
PER_CLASS: Mapping[str, Kind] = {"f1": _SCORE, "precision": _SCORE, "recall": _SCORE, "support": _COUNT}


def kind_of(figure: str) -> Kind:
    """Of a figure such as ``eval.accuracy``."""
    part, _, name = figure.partition(".")
    # The loss of training is of other rows each time, and of no split.
    return _COUNT if (part, name) == ("train", "loss") else _KINDS.get(name, _COUNT)


def name_of(figure: str) -> str:
    """What it is called: plain text, ``Validation: accuracy``."""
    part, _, name = figure.partition(".")
    told = say(f"compare.figure_{name}") if name in _KINDS else name
    if part not in ("eval", "test", "train", "system"):
        return figure
    return say("compare.figure_of", part=say(f"compare.part_{part}"), figure=told)


def best(values: Sequence[Value], kind: Kind) -> set[int]:
    """Which are the best, as far as can be seen; none where all look alike, or neither way is better."""
    known = [value for value in values if value is not None]
    if not kind.better or len({kind.show(value) for value in known}) < 2:
        return set()
    most = kind.show(max(known, key=lambda value: value * kind.better))
    return {at for at, value in enumerate(values) if value is not None and kind.show(value) == most}


def difference(values: Sequence[Value], kind: Kind) -> str:
    """Of two: how much more the second is; in points of percent for shares, else in percent."""
    first, second = values
    if first is None or second is None:
        return shown.NOTHING
    if kind.show is _share:
        return say("compare.points", points=f"{100 * (second - first):+.2f}")
    return f"{100 * (second - first) / abs(first):+.1f} %" if first else shown.NOTHING


def plain(value: Any) -> str:
    """A value of a configuration, as YAML has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(plain(one) for one in value) + "]"
    return str(value)
