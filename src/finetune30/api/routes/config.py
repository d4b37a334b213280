"""What a training may be asked: every key with its description, what it is when left out, what this server allows.

Neighbours: ``wanted`` says what is wrong with a configuration, here as for ``POST /train``.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request

from finetune30.api import services
from finetune30.api.answers_config import CheckedConfig, Choices
from finetune30.api.deps import CurrentUser
from finetune30.api.wanted import base_models, datasets, wanted
from finetune30.api.wanted import schema as of_a_body
from finetune30.config import defaults as of_the_server
from finetune30.config import json_schema
from finetune30.errors import ConfigError
from finetune30.web.bodies import config_object, described
from finetune30.web.problems import Problem


def router() -> APIRouter:
    """``/config``."""
    found = APIRouter(tags=["config"])
    found.add_api_route("/config/schema", schema, methods=["GET"], name="config.schema")
    found.add_api_route("/config/defaults", defaults, methods=["GET"], name="config.defaults")
    found.add_api_route("/config/choices", choices, methods=["GET"], name="config.choices")
    found.add_api_route(
        "/config/check",
        check,
        methods=["POST"],
        name="config.check",
        openapi_extra=described(of_a_body(), {"experiment_name": "first", "lora": {"r": 16}}),
    )
    return found


def schema(_user: CurrentUser) -> dict[str, Any]:
    """JSON schema of a configuration; each description says what a key does and takes."""
    return _schema()


def defaults(_user: CurrentUser) -> dict[str, Any]:
    """The configuration that an empty body of POST /train means."""
    try:
        return of_the_server().to_dict()
    except ConfigError:
        raise Problem(503, "settings_invalid", "config/default.yaml of the server is not valid") from None


def choices(request: Request, _user: CurrentUser) -> Choices:
    """Names of models, data and queues that are taken here."""
    settings = services.of(request).settings
    return Choices(
        models=base_models(settings),
        datasets=datasets(settings),
        queues=list(settings.queues),
        max_runtime_s=settings.max_runtime_s or None,
    )


def check(
    request: Request, user: CurrentUser, values: Annotated[dict[str, Any], Depends(config_object)]
) -> CheckedConfig:
    """What POST /train would train, and refuse in the same words; nothing is made."""
    config = wanted(values, user, services.of(request))
    return CheckedConfig(config=config.to_dict(), text=config.to_yaml(), notes=list(config.notes))


@cache
def _schema() -> dict[str, Any]:
    return json_schema()
