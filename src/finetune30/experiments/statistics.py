"""Figures over many experiments, computed by the database from indexes alone.

Neighbours: ``store`` asks; ``search`` finds single ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, true

from finetune30.experiments.record import Status, plain_text
from finetune30.experiments.tables import row

_MODELS = 100


def figures_of(connection: Connection, owner: str | None) -> dict[str, Any]:
    """How many there are by state and base model, and how accurate and long those that succeeded were.

    Args:
        owner: Whose; None for everybody's.
    """
    mine = true() if owner is None else row.owner == plain_text(owner)
    states = connection.execute(select(row.status, func.count()).where(mine).group_by(row.status)).all()
    accuracy, runtime = row.eval_accuracy, row.train_runtime
    # In the order of ix_experiments_figures, so that nothing is sorted; added up here.
    parts = connection.execute(
        select(
            row.base_model,
            func.count().label("runs"),
            *(function(accuracy) for function in _FUNCTIONS),
            *(function(runtime) for function in _FUNCTIONS),
        )
        .where(mine)
        .group_by(row.owner, row.base_model)
    ).all()
    by_model: dict[str, list[Sequence[Any]]] = defaultdict(list)
    for part in parts:
        by_model[part.base_model].append(tuple(part))
    models = [_of_model(name, found) for name, found in by_model.items()]
    runtimes, seconds = _span(parts, 6)
    return {
        "total": sum(part.runs for part in parts),
        "by_status": {**dict.fromkeys(map(str, Status), 0), **{found[0]: found[1] for found in states}},
        "eval_accuracy": _span(parts, 2)[0],
        "train_runtime": {**runtimes, "total": seconds},
        "by_base_model": sorted(models, key=lambda one: (-one["count"], one["base_model"]))[:_MODELS],
    }


_FUNCTIONS: tuple[Callable[[Any], Any], ...] = (func.count, func.sum, func.min, func.max)


def _of_model(name: str, parts: Sequence[Sequence[Any]]) -> dict[str, Any]:
    span, _ = _span(parts, 2)
    count = sum(part[1] for part in parts)
    return {"base_model": name, "count": count, "mean_accuracy": span["mean"], "best_accuracy": span["max"]}


def _span(parts: Iterable[Sequence[Any]], first: int) -> tuple[dict[str, float | None], float | None]:
    """Mean, least and most of a figure, and its sum, from count, sum, least and most of its parts."""
    known = [part[first : first + 4] for part in parts if part[first]]
    if not known:
        return {"mean": None, "min": None, "max": None}, None
    total = sum(part[1] for part in known)
    mean = total / sum(part[0] for part in known)
    return {"mean": mean, "min": min(part[2] for part in known), "max": max(part[3] for part in known)}, total
