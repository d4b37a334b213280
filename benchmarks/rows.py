"""A database as it looks after years: so many ended runs with configuration and figures, and some that wait."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy import Engine, insert

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.experiments.record import portable, search_key
from finetune30.experiments.tables import experiments

MODELS = ("builtin:minilm", "distilbert-base-uncased", "roberta-base", "bert-base-chinese")
OWNERS = 20
_YEAR_S = 365 * 86_400.0


def fill(engine: Engine, rows: int, waiting: int, now: float) -> None:
    """Ended runs ``run_0`` … over the last year, and ``wait_0`` … that nobody runs, of twenty owners."""
    chance = random.Random(5)  # noqa: S311
    config = portable(ExperimentConfig().model_dump(mode="json"))
    with database.write(engine) as connection:
        for first in range(0, rows, 2000):
            numbers = range(first, min(rows, first + 2000))
            ended = [_ended(number, now - _YEAR_S * (1 - number / rows), config, chance) for number in numbers]
            connection.execute(insert(experiments), ended)
        if waiting:
            connection.execute(
                insert(experiments), [_row(f"wait_{number}", now + number, config, chance) for number in range(waiting)]
            )
    if engine.dialect.name == "postgresql":  # as autovacuum does in its time
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE experiments")


def _ended(number: int, at: float, config: Any, chance: random.Random) -> dict[str, Any]:
    good = chance.random() < 0.8
    accuracy, runtime = chance.random(), 1000 * chance.random()
    labels = {f"label {place}": {"f1": chance.random(), "precision": chance.random()} for place in range(8)}
    figures = {"train": {"runtime_s": runtime}, "eval": {"accuracy": accuracy, "per_class": labels}}
    fault = {"code": "killed", "message": "ended by signal 9", "where": None, "hint": None}
    return {
        **_row(f"run_{number}", at, config, chance),
        "status": "SUCCESS" if good else "FAILURE",
        "attempt": 1,
        "started_at": at + 5,
        "finished_at": at + 5 + runtime,
        "metrics": figures if good else None,
        "eval_accuracy": accuracy if good else None,
        "train_runtime": runtime if good else None,
        "error": None if good else fault,
    }


def _row(name: str, at: float, config: Any, chance: random.Random) -> dict[str, Any]:
    return {
        "id": name,
        "name": f"run {chance.randrange(2000)} sst2",
        "name_key": search_key(name),
        "owner": f"user{chance.randrange(OWNERS)}",
        "status": "PENDING",
        "config": config,
        "fingerprint": "f" * 64,
        "base_model": chance.choice(MODELS),
        "dataset": "builtin:reviews",
        "created_at": at,
        "priority": chance.randrange(3),
    }
