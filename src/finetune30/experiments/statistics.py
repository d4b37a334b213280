"""Figures over many experiments, computed by the database.

Neighbours: ``store`` asks; ``search`` finds single ones.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select, true

from finetune30.experiments.record import Status, plain_text
from finetune30.experiments.tables import row


def figures_of(connection: Connection, owner: str | None) -> dict[str, Any]:
    """How many there are by state and base model, and how accurate and long those that succeeded were.

    Args:
        owner: Whose; None for everybody's.
    """
    mine = true() if owner is None else row.owner == plain_text(owner)
    states = connection.execute(select(row.status, func.count()).where(mine).group_by(row.status))
    models = (
        select(
            row.base_model,
            func.count().label("count"),
            func.avg(row.eval_accuracy).label("mean"),
            func.max(row.eval_accuracy).label("best"),
        )
        .where(mine)
        .group_by(row.base_model)
        .order_by(func.count().desc(), row.base_model)
        .limit(100)
    )
    accuracy, runtime = row.eval_accuracy, row.train_runtime
    one = connection.execute(
        select(
            func.count(),
            func.avg(accuracy),
            func.min(accuracy),
            func.max(accuracy),
            func.avg(runtime),
            func.min(runtime),
            func.max(runtime),
            func.sum(runtime),
        ).where(mine)
    ).one()
    return {
        "total": one[0],
        "by_status": {**dict.fromkeys(map(str, Status), 0), **{found[0]: found[1] for found in states}},
        "eval_accuracy": {"mean": one[1], "min": one[2], "max": one[3]},
        "train_runtime": {"mean": one[4], "min": one[5], "max": one[6], "total": one[7]},
        "by_base_model": [
            {"base_model": found[0], "count": found[1], "mean_accuracy": found[2], "best_accuracy": found[3]}
            for found in connection.execute(models)
        ],
    }
