"""The routes, a module for each thing they are about; ``all_routes`` is what the app serves."""

from __future__ import annotations

from starlette.routing import BaseRoute

from finetune30.api.routes import (
    audit,
    config,
    datasets,
    events,
    experiments,
    files,
    fine_tuning,
    login,
    models,
    operations,
    tasks,
    users,
    versions,
)


def all_routes() -> list[BaseRoute]:
    """Every route of ours."""
    ours = (operations, login, tasks, events, experiments, versions, datasets, audit, users, config)
    parts = (*ours, files, fine_tuning, models)
    return [route for part in parts for route in part.router().routes]
