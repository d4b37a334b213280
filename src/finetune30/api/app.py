"""The app: routes behind their gate, and every error on its one way out.

    uvicorn ─► Gate ─► FastAPI ─► deps ─► a route
                 ▲        └── handlers: errors become problems, refusals get their row
                 └── last resort

Neighbours: ``serve`` runs it; tests call ``create_app`` with settings of theirs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from finetune30 import __version__
from finetune30.api import answers, deeds, examples, rules
from finetune30.api.figures import Figures
from finetune30.api.fine_tuning.answers import OpenAIError
from finetune30.api.routes import all_routes
from finetune30.api.services import Services, open_services
from finetune30.errors import Finetune30Error
from finetune30.jobs import Keeper
from finetune30.settings import Settings
from finetune30.web import bodies, problems
from finetune30.web.gate import Gate
from finetune30.web.problems import Problem
from finetune30.webhooks import Postman

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - listening everywhere is no name to be called by
# Without a name in the path: they take one in the query or the body.
_LOG = logging.getLogger("finetune30.api")
# Where files are sent to.
_STREAMS = (("POST", "/datasets"), ("POST", "/v1/files"))
# Paths without an id that may name a thing nevertheless: in a body, or as the page after which.
_OF_THINGS = {"/users", "/tasks", "/experiments", "/experiments/compare", "/models", "/models/resolve", "/webhooks"}
_OF_THINGS |= {"/v1/files", "/v1/fine_tuning/jobs"}
_ABOUT = """Train LoRA text classifiers. Log in at `POST /login`, send the token as `Authorization: Bearer …`.

Every refusal is `application/problem+json` with a stable `code`. Times are Unix seconds."""


def create_app(settings: Settings, found: Services | None = None) -> Gate:
    """The whole service as one ASGI app; database and keys are opened at once.

    Raises: StorageError, SettingsError.
    """
    found = found or open_services(settings)
    docs = settings.environment == "development"
    app = FastAPI(
        title="finetune30",
        version=__version__,
        description=_ABOUT,
        docs_url="/docs" if docs else None,
        openapi_url="/openapi.json" if docs else None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.services, app.state.figures = found, Figures()
    app.router.routes.extend(all_routes())
    _answer_errors(app)
    _describe_problems(app, settings.queues)
    rules.enforce(app.router.routes, docs=docs)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["X-Request-ID", "Retry-After", "Location"],
        )
    return Gate(
        app,
        hosts=hosts_of(settings),
        origins=settings.cors_origins,
        rates=found.rates,
        note=app.state.figures.note,
        streams=_STREAMS,
        page_key=settings.page_key,
        secure=settings.tls_certfile is not None or settings.environment == "production",
    )


def hosts_of(settings: Settings) -> frozenset[str]:
    """Names the service answers to."""
    own = settings.api_host if settings.api_host not in _ANY else "localhost"
    return _LOCAL | {f"[{own}]" if ":" in own else own.lower(), *settings.allowed_hosts}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    found: Services = app.state.services

    def say(text: str) -> None:
        _LOG.warning("%s", text)

    found.checks.start()
    with Keeper(found.jobs.queue, found.bell, found.settings, say), Postman(found.webhooks, say):
        yield
    await found.rates.close()
    found.close()


def _answer_errors(app: FastAPI) -> None:
    for kind in (Problem, Finetune30Error, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)
    # Without it the framework would answer in its own words, as plain text. It raises again: the gate logs the fault.
    app.add_exception_handler(Exception, _answer_fault)


async def _answer(request: Request, error: Exception) -> Response:
    problem = _problem_of(request, error)
    if problem.status >= 500:
        _LOG.error("%s: %s", problem.code, type(error).__name__, extra={"request_id": request.state.request_id})
    try:
        await run_in_threadpool(deeds.refused, request, problem)
    except Finetune30Error as fault:
        # What was refused stays refused; that it could not be noted is said here.
        _LOG.error("a refusal could not be noted: %s", fault.code, extra={"request_id": request.state.request_id})
    return problem.response(request.state.request_id, request.scope["path"])


async def _answer_fault(request: Request, error: Exception) -> Response:
    return problems.of_fault(error).response(request.state.request_id, request.scope["path"])


def _problem_of(request: Request, error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case Finetune30Error():
            return problems.of_error(error)
        case RequestValidationError():
            return bodies.refused(error.errors())
        case HTTPException(status_code=405):
            return problems.of_status(405, {"Allow": ", ".join(_methods_at(request))})
        case HTTPException():
            return problems.of_status(error.status_code, error.headers)
        case _:
            return problems.unexpected()


def _methods_at(request: Request) -> list[str]:
    """All methods of this path; the framework names those of the first route it finds."""
    found = [route for route in request.app.router.routes if isinstance(route, APIRoute)]
    here = [route for route in found if route.path_regex.fullmatch(request.scope["path"])]
    return sorted({method for route in here if route.path == here[0].path for method in route.methods or ()})


def _describe_problems(app: FastAPI, queues: Sequence[str]) -> None:
    """Let OpenAPI say how refusals look, for all routes at once."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = make()
        parts = schema.setdefault("components", {}).setdefault("schemas", {})
        problem = answers.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        parts.update(problem.pop("$defs", {}))
        parts["Problem"] = problem
        error = OpenAIError.model_json_schema(ref_template="#/components/schemas/{model}")
        parts.update(error.pop("$defs", {}))
        parts["OpenAIError"] = error
        for path, methods in schema["paths"].items():
            told = _refusal(path)
            for operation in methods.values():
                operation["responses"].pop("422", None)
                for status in _statuses(path, operation):
                    operation["responses"].setdefault(status, told)
        for path in ("/train", "/task/{task_id}/retry"):
            for one in schema["paths"][path]["post"]["parameters"]:
                if one["name"] == "queue":
                    one["schema"] = {"type": "string", "enum": list(queues)}
        for unused in ("HTTPValidationError", "ValidationError"):
            parts.pop(unused, None)
        examples.put_into(schema)
        app.openapi_schema = schema
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _refusal(path: str) -> dict[str, Any]:
    openai = path.startswith(problems.OPENAI)
    media_type, name = ("application/json", "OpenAIError") if openai else (problems.MEDIA_TYPE, "Problem")
    return {
        "description": "Refused",
        "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }


def _statuses(path: str, operation: dict[str, Any]) -> list[str]:
    found = ["400", "422", "429", "503"]
    found += ["401", "403"] if operation.get("security") or path in ("/login", "/token/refresh") else []
    found += ["404", "409"] if "{" in path or path in _OF_THINGS else []
    return found + (["413", "415", "408"] if "requestBody" in operation else [])
