"""The app: doors behind the gate, three shapes of a question, one way out for every error.

    uvicorn ─► Gate ─► Table ─► a door ─► guests ─► asking ─► predicting ─► answering

No framework: what one adds to a request takes as long here as all the rest.
Neighbours: ``serve`` runs it; tests call ``create_app`` with parts of theirs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from finetune30 import __version__
from finetune30.errors import Finetune30Error, Forbidden, ModelError, NotFound, StorageError
from finetune30.serving import answering, asking, refusing
from finetune30.serving.answering import Given
from finetune30.serving.asking import Question
from finetune30.serving.following import Following
from finetune30.serving.guests import ANYBODY, Guests
from finetune30.serving.host import Live
from finetune30.serving.loading import Loading
from finetune30.serving.measures import MEDIA_TYPE, Measures
from finetune30.serving.predicting import Predicting
from finetune30.serving.probing import Probe
from finetune30.serving.table import Door, Table
from finetune30.web import problems
from finetune30.web.bodies import json_object
from finetune30.web.problems import Problem

TRUNCATED = "X-Truncated"
"""Header: places of the texts that were cut, in the shapes that have no key for it."""
_LOG = logging.getLogger("finetune30.serving")
_ERROR_TYPES = {500: "backend", 401: "unauthorized", 422: "validation", 429: "overloaded", 503: "unhealthy"}


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
        self._loading = Loading(following)
        self._predicting = Predicting(following, self._loading, measures)
        self._probe = Probe(following)

    def all(self) -> list[Door]:
        """What is behind each path."""
        return [
            Door("POST", "/predict", self.predict),
            Door("POST", "/", self.classify),
            Door("POST", "/models/{address:path}", self.classify),
            Door("GET", "/adapters", self.adapters),
            Door("POST", "/adapters/refresh", self.refresh),
            Door("GET", "/info", self.info),
            Door("GET", "/health", self.health),
            Door("GET", "/ready", self.ready),
            Door("GET", "/metrics", self.metrics),
        ]

    async def predict(self, request: Request) -> Response:
        """Ours, and with ``inputs`` that of text-embeddings-inference."""
        guest = await self.guests.known(request)
        values = await json_object(request)
        began = time.perf_counter()
        if "inputs" in values:
            question = asking.of_tei(values)
            given = await self._counted("predict", self._predicting.answer(request, guest, question))
            found = answering.scores(question, given)
            return _json(found[0] if question.single else found, _cut(given))
        question = asking.of_ours(values)
        given = await self._counted("predict", self._predicting.answer(request, guest, question))
        return _json(answering.ours(question, given, 1000 * (time.perf_counter() - began)))

    async def classify(self, request: Request) -> Response:
        """Hugging Face's."""
        guest = await self.guests.known(request)
        address = request.path_params.get("address")
        question: Question = asking.of_hugging_face(await json_object(request), address)
        given = await self._counted("classify", self._predicting.answer(request, guest, question))
        return _json(answering.scores(question, given), _cut(given))

    async def adapters(self, request: Request) -> Response:
        """Those in memory that whoever asks may ask."""
        guest = await self.guests.known(request)
        told = []
        for live in self.following.host.there():
            try:
                guest.check(live.found)
            except Forbidden:
                continue
            told.append({**_adapter(live), **self._merged(live), "names": self.following.aliases_of(live)})
        refused = [one for one in self.following.refused if guest.everything or one.owner == guest.name]
        return _json({"adapters": told, "refused": [vars(one) for one in refused]})

    async def refresh(self, request: Request) -> Response:
        """Look at every name in use now."""
        guest = await self.guests.known(request)
        if not guest.everything:
            raise Problem(403, "forbidden", "only admins may do this")
        if "content-type" in request.headers or await request.body():
            await json_object(request)
        switched = await self._loading.refresh()
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
                "model_id": answering.base_of(live) if live else None,
                "model_dtype": host.compute.precision,
                "model_type": {"classifier": {"id2label": dict(enumerate(labels)), "label2id": _numbers(labels)}},
                "device": host.compute.device,
                "max_input_length": live.found.max_length if live else None,
                "max_batch_tokens": host.lane.limits.batch_tokens,
                "max_client_batch_size": asking.MOST_TEXTS,
                "adapter": answering.identity(live) if live is not None and mine else None,
                **(self._merged(live) if live is not None and mine else {"merged": None, "not_merged": None}),
                "adapters": len(host.there()),
            }
        )

    def _merged(self, live: Live) -> dict[str, Any]:
        """Whether an adapter is merged into a copy of its base just now, and why not where that was tried."""
        hot = self.following.host.hot
        there = hot.live
        return {"merged": there is not None and there.adapter is live.adapter, "not_merged": hot.why(live)}

    async def health(self, request: Request) -> Response:
        """A real forward pass through the lane; 503 where none comes back in time."""
        del request
        return _json(await self._probe.answer())

    async def ready(self, request: Request) -> Response:
        """Whether a request without an address would be answered."""
        del request
        if self.following.known(None) is None:
            try:
                await self._loading.live(ANYBODY, None)
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

    async def _counted(self, method: str, answer: Awaitable[list[Given]]) -> list[Given]:
        began, counts = time.perf_counter(), self.measures.of[method]
        counts.requests.inc()
        found = await answer
        counts.successes.inc()
        counts.duration.observe(time.perf_counter() - began)
        return found


def create_app(doors: Doors, origins: Sequence[str] = ()) -> ASGIApp:
    """All doors, every error on its one way out; the gate stands before it.

    Args:
        origins: Pages elsewhere that browsers may call from.
    """

    def worded(request: Request, error: Exception) -> tuple[Response, bool]:
        problem = _problem_of(error)
        if isinstance(error, ModelError | StorageError):  # the answer does not say why, the operator must know
            extra = {"request_id": request.state.request_id}
            _LOG.warning("refused, %s: %s", error.code, error.message, extra=extra)
        doors.measures.failures.labels(_ERROR_TYPES.get(problem.status, "other")).inc()
        # What nobody foresaw goes on: the gate logs it.
        foreseen = isinstance(error, Problem | Finetune30Error | HTTPException)
        return problem.response(request.state.request_id), not foreseen

    app = Table(doors.all(), worded)
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["X-Request-ID", "Retry-After", TRUNCATED],
    )


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case Finetune30Error():
            return refusing.of_error(error)
        case HTTPException():
            return problems.of_status(error.status_code, error.headers)
        case _:
            return problems.of_fault(error)


def _adapter(live: Any) -> dict[str, Any]:
    return {
        **answering.identity(live),
        "base_model": answering.base_of(live),
        "label_names": list(live.task.label_names),
        "multi_label": live.task.multi_label,
        "text_pair": live.task.text_pair,
        "max_length": live.found.max_length,
        "bytes": live.adapter.nbytes,
    }


def _numbers(labels: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in enumerate(labels)}


def _cut(given: Sequence[Given]) -> dict[str, str]:
    """Which texts were cut, for shapes that have no place to say it."""
    places = [str(at) for at, one in enumerate(given) if one.truncated]
    return {TRUNCATED: ",".join(places)} if places else {}


def _json(value: Any, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, headers=headers, media_type="application/json")
