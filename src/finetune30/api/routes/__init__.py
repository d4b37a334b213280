"""The routes, a module for each thing they are about; ``all_routes`` is what the app serves."""

from __future__ import annotations

from starlette.routing import BaseRoute

from finetune30.api.routes import (
    audit,
    config,
    events,
    experiments,
    fine_tuning,
    login,
    models,
    operations,
    tasks,
    users,
)


def all_routes() -> list[BaseRoute]:
    """Every route of ours."""
    parts = (operations, login, tasks, events, experiments, audit, users, config, fine_tuning, models)
    return [route for part in parts for route in part.router().routes]
