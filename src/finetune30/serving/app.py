"""The app: routes behind the gate, three shapes of a question, one way out for every error.

    uvicorn ─► Gate ─► a route ─► guests ─► asking ─► predicting ─► answering

Plain Starlette: what a framework adds to a request takes longer here than the model does.
Neighbours: ``serve`` runs it; tests call ``create_app`` with parts of theirs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from finetune30 import __version__
from finetune30.errors import Busy, Finetune30Error, Forbidden, ModelError, NotFound, StorageError
from finetune30.serving import answering, asking, refusing
from finetune30.serving.asking import Question
from finetune30.serving.following import Following
from finetune30.serving.guests import Guests
from finetune30.serving.measures import MEDIA_TYPE, Measures
from finetune30.serving.predicting import Predicting
from finetune30.web import problems
from finetune30.web.bodies import json_object
from finetune30.web.problems import Problem

_LOG = logging.getLogger("finetune30.serving")
_HEALTHY_S = 5.0
_ERROR_TYPES = {401: "unauthorized", 422: "validation", 429: "overloaded", 503: "unhealthy"}


class Doors:
    """The routes and what they share.

    Args:
        monitor: Told a bearer token of ``/metrics``; whether it is good. None: everybody may read them.
    """

    def __init__(self, following: Following, guests: Guests, measures: Measures, monitor: str | None = None) -> None:
        self.following = following
        self.guests = guests
        self.measures = measures
        self._monitor = monitor
        self._predicting = Predicting(following, measures)

    def routes(self) -> list[Route]:
        """All of them."""
        post, get = ["POST"], ["GET"]
        return [
            Route("/predict", self.predict, methods=post),
            Route("/", self.classify, methods=post),
            Route("/models/{address:path}", self.classify, methods=post),
            Route("/adapters", self.adapters, methods=get),
            Route("/adapters/refresh", self.refresh, methods=post),
            Route("/info", self.info, methods=get),
            Route("/health", self.health, methods=get),
            Route("/ready", self.ready, methods=get),
            Route("/metrics", self.metrics, methods=get),
        ]

    async def predict(self, request: Request) -> Response:
        """Ours, and with ``inputs`` that of text-embeddings-inference."""
        guest = await self.guests.known(request)
        values = await json_object(request)
        began = time.perf_counter()
        if "inputs" in values:
            question = asking.of_tei(values)
            given = await self._counted("predict", lambda: self._predicting.answer(request, guest, question))
            found = answering.scores(question, given)
            return _json(found[0] if question.single else found)
        question = asking.of_ours(values)
        given = await self._counted("predict", lambda: self._predicting.answer(request, guest, question))
        return _json(answering.ours(question, given, 1000 * (time.perf_counter() - began)))

    async def classify(self, request: Request) -> Response:
        """Hugging Face's."""
        guest = await self.guests.known(request)
        address = request.path_params.get("address")
        question: Question = asking.of_hugging_face(await json_object(request), address)
        given = await self._counted("classify", lambda: self._predicting.answer(request, guest, question))
        return _json(answering.scores(question, given))

    async def adapters(self, request: Request) -> Response:
        """Those in memory that whoever asks may ask."""
        guest = await self.guests.known(request)
        told = []
        for live in self.following.host.there():
            try:
                guest.check(live.found)
            except Forbidden:
                continue
            told.append(_adapter(live))
        refused = self.following.refused if guest.everything else []
        return _json({"adapters": told, "refused": [vars(one) for one in refused]})

    async def refresh(self, request: Request) -> Response:
        """Look at every name in use now."""
        guest = await self.guests.known(request)
        if not guest.everything:
            raise Problem(403, "forbidden", "only admins may do this")
        switched = await run_in_threadpool(self.following.refresh)
        return _json({"switched": switched, "refused": [vars(one) for one in self.following.refused]})

    async def info(self, request: Request) -> Response:
        """What answers here; keys that text-embeddings-inference has carry its names."""
        guest = await self.guests.known(request)
        host = self.following.host
        live = self.following.known(None)
        mine = live is not None and (guest.everything or live.found.everybodys or live.found.owner == guest.name)
        labels = live.task.label_names if live is not None and mine else ()
        return _json(
            {
                "version": __version__,
                "model_id": live.base_model if live else None,
                "model_dtype": host.compute.precision,
                "model_type": {"classifier": {"id2label": dict(enumerate(labels)), "label2id": _numbers(labels)}},
                "device": host.compute.device,
                "max_input_length": live.found.max_length if live else None,
                "max_batch_tokens": host.lane.limits.batch_tokens,
                "max_client_batch_size": asking.MOST_TEXTS,
                "adapter": answering.identity(live) if live is not None and mine else None,
                "adapters": len(host.there()),
            }
        )

    async def health(self, request: Request) -> Response:
        """A real forward pass through the lane; 503 where none comes back in time."""
        del request
        live = self.following.known(None) or next(iter(self.following.host.there()), None)
        if live is None:
            return _json({"status": "ok", "adapter": None})
        pairs = ["ok"] if live.task.text_pair else None
        try:
            future = asyncio.wrap_future(self.following.host.ask(live, ["ok"], pairs).future)
            await asyncio.wait_for(future, _HEALTHY_S)
        except (TimeoutError, Busy, Finetune30Error):
            raise Problem(503, "unhealthy", "the model does not answer in time", headers={"Retry-After": "5"}) from None
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Whether a request without an address would be answered."""
        del request
        if self.following.known(None) is None:
            try:
                await run_in_threadpool(self.following.live, None)
            except Finetune30Error as fault:
                detail = "there is no successful run yet" if isinstance(fault, NotFound) else "no adapter is ready"
                raise Problem(503, "not_ready", detail, headers={"Retry-After": "5"}) from None
        return _json({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """In the format of Prometheus; for admins and whoever holds METRICS_TOKEN."""
        if not self._is_monitor(request):
            guest = await self.guests.known(request)
            if not guest.everything:
                raise Problem(403, "forbidden", "only admins may do this")
        return Response(self.measures.exposed(self.following), media_type=MEDIA_TYPE)

    def _is_monitor(self, request: Request) -> bool:
        import hmac

        if self._monitor is None:
            return False
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self._monitor}".encode())

    async def _counted(self, method: str, answer: Callable[[], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        self.measures.requests.labels(method).inc()
        found = await answer()
        self.measures.successes.labels(method).inc()
        self.measures.duration.labels(method).observe(time.perf_counter() - began)
        return found


def create_app(doors: Doors) -> Starlette:
    """All routes, every error on its one way out; the gate stands before it."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = _problem_of(error)
        if isinstance(error, ModelError | StorageError):  # the answer does not say why, the operator must know
            extra = {"request_id": request.state.request_id}
            _LOG.warning("refused, %s: %s", error.code, error.message, extra=extra)
        doors.measures.failures.labels(_ERROR_TYPES.get(problem.status, "other")).inc()
        return problem.response(request.state.request_id)

    handled = (Problem, Finetune30Error, HTTPException)
    return Starlette(routes=doors.routes(), exception_handlers=dict.fromkeys(handled, answer))


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case Finetune30Error():
            return refusing.of_error(error)
        case HTTPException():
            return problems.of_status(error.status_code, error.headers)
        case _:
            return problems.unexpected()


def _adapter(live: Any) -> dict[str, Any]:
    return {
        **answering.identity(live),
        "base_model": live.base_model,
        "label_names": list(live.task.label_names),
        "multi_label": live.task.multi_label,
        "text_pair": live.task.text_pair,
        "max_length": live.found.max_length,
        "bytes": live.adapter.nbytes,
    }


def _numbers(labels: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in enumerate(labels)}


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), media_type="application/json")
