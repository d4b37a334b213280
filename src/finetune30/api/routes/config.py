"""What a training may be asked: every key with its description, and what it is when left out."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter

from finetune30.api.deps import CurrentUser
from finetune30.config import defaults as of_the_server
from finetune30.config import json_schema
from finetune30.errors import ConfigError
from finetune30.web.problems import Problem


def router() -> APIRouter:
    """``/config``."""
    found = APIRouter(tags=["config"])
    found.add_api_route("/config/schema", schema, methods=["GET"], name="config.schema")
    found.add_api_route("/config/defaults", defaults, methods=["GET"], name="config.defaults")
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


@cache
def _schema() -> dict[str, Any]:
    return json_schema()
