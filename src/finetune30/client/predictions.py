"""Questions to the service of predictions: what adapters answer to texts, and which it has in memory.

It is another server than the API, by the same login or an API key (``Client(token=key)``); where nobody is logged in
no token is sent, for the service of one machine wants none. A question changes nothing, so it is sent again as any
other that only asks. Neighbours: ``serving.app`` is the other end; ``keys`` makes keys for programs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

from pydantic import Field

from finetune30.client.address import check_secret_may_go
from finetune30.client.answers import Shape, shaped
from finetune30.client.asking import Asking
from finetune30.client.wire import Request, Wire
from finetune30.errors import ServerFault, Unreachable, UsageError, WrongServer

S = TypeVar("S", bound=Shape)
_CHECK = "check SERVING_URL"
MOST_TEXTS = 512
"""In one question."""
MOST_BYTES = 900_000
"""Of the texts of one question; the service takes 1 MiB, names and quotes included."""


class Score(Shape):
    """A label and how probable it is."""

    label: int
    label_name: str
    probability: float


class Identity(Shape):
    """Which adapter answered: the run, its place in the registry, and the hash of what is in memory."""

    id: str
    sha256: str = ""
    model: str | None = None
    version: int | None = None
    alias: str | None = None


class Labelled(Score):
    """What an adapter answers to a text.

    Attributes:
        labels: Those the text has, where it may have several; None where it has one.
        top_k: The most probable ones, where they were asked for.
        warning: What should be known, such as a language the model does not speak.
    """

    base_model: str = ""
    language: str | None = None
    adapter: Identity
    truncated: bool = False
    labels: tuple[Score, ...] | None = None
    top_k: tuple[Score, ...] = ()
    warning: str | None = None


class Predictions(Shape):
    """Answers in the order of the texts. ``latency_ms`` is the service's own time for all of them."""

    predictions: tuple[Labelled, ...]
    latency_ms: float


class Adapter(Identity):
    """An adapter that is in memory. ``names`` are the aliases under which it is asked."""

    base_model: str = ""
    label_names: tuple[str, ...] = ()
    multi_label: bool = False
    text_pair: bool = False
    max_length: int | None = None
    bytes: int = 0
    names: tuple[str, ...] = ()


class Serving(Shape):
    """What answers: its version, base model and device; how many texts a question may have."""

    version: str
    model_id: str | None = None
    model_dtype: str | None = None
    device: str | None = None
    max_input_length: int | None = None
    max_client_batch_size: int = MOST_TEXTS
    adapter: Identity | None = None
    adapters: int = 0


class _Adapters(Shape):
    adapters: tuple[Adapter, ...] = Field(default=())


class Predicting(Asking):
    """The service at ``serving_url``."""

    serving_url: str
    _to_serving: Callable[[], Wire]
    _plain_http: bool

    @cached_property
    def _serving_wire(self) -> Wire:
        return self._to_serving()

    def _leave_serving(self) -> None:
        if "_serving_wire" in vars(self):
            self._serving_wire.close()

    def predict(
        self,
        texts: str | Sequence[str],
        *,
        pairs: str | Sequence[str] | None = None,
        adapter: str | Sequence[str | None] | None = None,
        top_k: int | None = None,
        timeout_s: float | None = None,
        patience_s: float | None = None,
    ) -> Predictions:
        """Labels of texts; up to 512 in one question, ``predict_all`` asks for more.

        Args:
            pairs: The second text of each, where the adapter was trained on pairs.
            adapter: ``name@alias``, ``name/3`` or a run's id; one, or one for each text. None: the one served there by
                default.
            top_k: So many labels of each, the most probable first.
            timeout_s: Between two signs of life; an adapter that is not in memory is loaded first.
            patience_s: For all tries, waiting included.
        Raises: UsageError, RemoteError.
        """
        some = [texts] if isinstance(texts, str) else list(texts)
        seconds = [pairs] if isinstance(pairs, str) else pairs
        if not 1 <= len(some) <= MOST_TEXTS:
            raise UsageError(f"{len(some)} texts, expected 1 to {MOST_TEXTS}", hint="predict_all takes any number")
        body = {
            "text": some,
            "text_pair": None if seconds is None else list(seconds),
            "adapter": adapter if adapter is None or isinstance(adapter, str) else list(adapter),
            "top_k": top_k,
        }
        given = {name: value for name, value in body.items() if value is not None}
        asked = Request("POST", "/predict", body=given, safe=True, timeout_s=timeout_s, patience_s=patience_s)
        found = self._asked(Predictions, asked)
        if len(found.predictions) != len(some):
            told = f"{len(found.predictions)} answers to {len(some)} texts"
            raise WrongServer(told, where=self.serving_url, hint=_CHECK)
        return found

    def predict_all(
        self,
        texts: Iterable[str],
        *,
        pairs: Iterable[str] | None = None,
        at_once: int = 64,
        patience_s: float = 120.0,
        **options: Any,
    ) -> Iterator[Labelled]:
        """Answers to any number of texts, in their order, asked some at a time as they are taken.

        Args:
            pairs: The second text of each.
            at_once: Texts of one question, at most; long ones are fewer.
            patience_s: For each question; where one may ask only so often, it takes longer.
            options: ``adapter``, ``top_k`` and ``timeout_s`` of ``predict``.
        """
        rows = ((text,) for text in texts) if pairs is None else zip(texts, pairs, strict=True)
        for some in in_turns(rows, min(at_once, MOST_TEXTS)):
            first, seconds = [row[0] for row in some], None if pairs is None else [row[-1] for row in some]
            yield from self.predict(first, pairs=seconds, patience_s=patience_s, **options).predictions

    def adapters(self) -> list[Adapter]:
        """Those in memory there that one may ask; others are loaded when they are asked for."""
        return list(self._asked(_Adapters, Request("GET", "/adapters", safe=True)).adapters)

    def serving(self) -> Serving:
        """What answers there."""
        return self._asked(Serving, Request("GET", "/info", safe=True))

    def serving_health(self) -> str:
        """``ready``; ``waiting`` while there is no adapter to answer by default; ``unhealthy`` where the model is.

        Raises: Unreachable, WrongServer.
        """
        for path, otherwise in (("/health", "unhealthy"), ("/ready", "waiting")):
            try:
                # What it says just now is the answer: nobody waits for a better one.
                with _worded():
                    self._serving_wire.send(Request("GET", path, patient=False, timeout_s=5.0))
            except ServerFault as fault:
                if fault.status == 503:
                    return otherwise
                raise
        return "ready"

    def _asked(self, shape: type[S], request: Request) -> S:
        """The answer, with the token of whoever is logged in."""
        with _worded():
            if self._login.session is None:
                answer = self._serving_wire.send(request)
            else:
                check_secret_may_go(self.serving_url, plain_http=self._plain_http)
                answer = self._send(request, self._serving_wire)
            return shaped(shape, answer.json(), answer.server)


def in_turns(rows: Iterable[tuple[str, ...]], at_once: int) -> Iterator[list[tuple[str, ...]]]:
    """Rows of one or two texts, in lists that one question may hold."""
    some: list[tuple[str, ...]] = []
    size = 0
    for row in rows:
        # As it is sent: a quote or a line's end is two bytes there.
        weight = sum(len(json.dumps(text, ensure_ascii=False).encode(errors="replace")) + 2 for text in row)
        if some and (len(some) >= at_once or size + weight > MOST_BYTES):
            yield some
            some, size = [], 0
        some.append(row)
        size += weight
    if some:
        yield some


@contextmanager
def _worded() -> Iterator[None]:
    """Errors say what to do about this server, not about the API."""
    try:
        yield
    except Unreachable as fault:
        fault.hint = f"is it running? (finetune30 serve, or finetune30 up); {_CHECK}"
        raise
    except WrongServer as fault:
        told = fault.message.replace("the API of finetune30", "the service of predictions of finetune30")
        raise WrongServer(told, where=fault.where, hint=_CHECK, status=fault.status) from fault
