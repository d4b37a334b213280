"""The routes, a module for each thing they are about; ``all_routes`` is what the app serves."""

from __future__ import annotations

from starlette.routing import BaseRoute

from finetune30.api.routes import (
    aliases,
    artifacts,
    audit,
    checkpoints,
    config,
    datasets,
    events,
    experiments,
    files,
    fine_tuning,
    keys,
    login,
    models,
    operations,
    reports,
    tasks,
    users,
    v1_models,
    versions,
    webhooks,
    workers,
)

_PARTS = (
    operations,
    login,
    tasks,
    events,
    reports,
    artifacts,
    checkpoints,
    experiments,
    versions,
    datasets,
    models,
    aliases,
    webhooks,
    audit,
    users,
    keys,
    config,
    files,
    fine_tuning,
    v1_models,
    workers,
)


def all_routes() -> list[BaseRoute]:
    """Every route of ours."""
    return [route for part in _PARTS for route in part.router().routes]
