"""The routes, a module for each thing they are about; ``all_routes`` is what the app serves."""

from __future__ import annotations

from starlette.routing import BaseRoute

from finetune30.api.routes import (
    artifacts,
    audit,
    checkpoints,
    config,
    events,
    experiments,
    login,
    operations,
    reports,
    tasks,
    users,
)


def all_routes() -> list[BaseRoute]:
    """Every route of ours."""
    parts = (operations, login, tasks, events, reports, artifacts, checkpoints, experiments, audit, users, config)
    return [route for part in parts for route in part.router().routes]
