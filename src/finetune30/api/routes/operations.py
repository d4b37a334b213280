"""For those who watch over the service: does it live, can it work, how much does it do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from finetune30.api import figures, services
from finetune30.api.answers import Health, Readiness
from finetune30.api.deps import check_monitor


def router() -> APIRouter:
    """``/health``, ``/ready`` and ``/metrics``."""
    found = APIRouter(tags=["operations"])
    found.add_api_route("/health", health, methods=["GET"], name="health")
    unavailable: dict[int | str, dict[str, Any]] = {
        503: {"model": Readiness, "description": "The database cannot be reached"}
    }
    found.add_api_route("/ready", ready, methods=["GET"], name="ready", response_model=Readiness, responses=unavailable)
    for path, answer in (("/health", health), ("/ready", ready)):  # as load balancers ask
        found.add_api_route(path, answer, methods=["HEAD"], response_model=None, include_in_schema=False)
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    found.add_api_route("/metrics", metrics, methods=["GET"], name="metrics", response_class=Response, responses=text)
    return found


async def health() -> Health:
    """The process answers."""
    return Health()


async def ready(request: Request) -> Response:
    """Whether requests can be served: 503 without a database, ``degraded`` without the broker."""
    found = await services.of(request).watch.readiness()
    return JSONResponse(found.model_dump(), 503 if found.status == "unavailable" else 200)


def metrics(request: Request, _: Annotated[None, Depends(check_monitor)]) -> Response:
    """Counters in the text format of Prometheus."""
    body, media_type = figures.exposed(request.app.state.figures, services.of(request))
    return Response(body, media_type=media_type)
