"""Requests and answers over HTTP, and once more where that can do no harm.

A request is sent again if it never left this machine, if it only asks, or if it carries an ``Idempotency-Key``;
and what the server refused as too early, after the time it asked for. Never more than ``tries`` times, never
beyond ``patience_s``. Redirects are not followed, proxies and ``.netrc`` of the environment are not looked at.
Neighbours: ``asking`` adds the token, ``refusals`` words what went wrong.
"""

from __future__ import annotations

import json
import random
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from finetune30 import __version__
from finetune30.client import refusals
from finetune30.errors import LoginNeeded, RemoteError, SettingsError, UsageError

# Larger answers are files, which are streamed.
_MOST_BYTES = 64 << 20
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
# The server closes an idle connection after 5 s; a request that crosses its closing would be lost.
_IDLE_S = 2.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
# Waiting does not help against these.
_FINAL = frozenset({"quota_exceeded"})


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        safe: Sending it twice does what sending it once does.
        patient: A 429 is waited for.
        content: Makes the body anew for each try.
        timeout_s: Between two signs of life, where it is another one than usual.
        patience_s: For all tries, where it is another one than usual.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    safe: bool = False
    patient: bool = True
    content: Callable[[], Iterable[bytes]] | None = field(default=None, repr=False)
    timeout_s: float | None = None
    patience_s: float | None = None

    def with_headers(self, **headers: str) -> Request:
        """The same with more headers."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True)
class Answer:
    """A success.

    Attributes:
        uncertain: An earlier try may have done it already.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    server: str
    uncertain: bool = False

    def json(self) -> Any:
        """The value that was answered.

        Raises: WrongServer.
        """
        kind = self.headers.get("content-type", "nothing").partition(";")[0]
        try:
            if kind == "application/json":
                return json.loads(self.body)
        except (ValueError, RecursionError):
            pass
        told = f"it answered {self.status} with {refusals.shown(kind, 60)}, expected JSON"
        raise refusals.not_ours(self.server, told, self.status)


class Wire:
    """The way to one server; threads may share it.

    Args:
        base: Address of the server.
        ca_file: Certificates that are trusted instead of the usual ones.
        http: A client to send through, instead of one of its own; it stays open.
        transport: What carries requests, instead of the network.
    Raises: SettingsError for a file without certificates.
    """

    def __init__(
        self,
        base: str,
        *,
        timeout_s: float,
        tries: int,
        patience_s: float,
        ca_file: Path | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        http: httpx.Client | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base = base
        self._timeout_s = timeout_s
        self._tries, self._patience_s = tries, patience_s
        self._headers = {"User-Agent": f"finetune30/{__version__}", "Accept": "application/json", **(headers or {})}
        self._owns = http is None
        self._http = http or httpx.Client(
            verify=_certificates(ca_file),
            proxy=_proxy(proxy),
            transport=transport,
            trust_env=False,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=_IDLE_S),
        )

    def close(self) -> None:
        """Give the connections back."""
        if self._owns:
            self._http.close()

    def send(self, request: Request) -> Answer:
        """The answer.

        Raises: RemoteError.
        """
        until, uncertain, tries = time.monotonic() + (request.patience_s or self._patience_s), False, 0
        while True:
            tries += 1
            try:
                answer = self._once(request)
                return replace(answer, uncertain=uncertain)
            except RemoteError as error:
                uncertain = uncertain or error.uncertain
                error.uncertain = uncertain
                wait_s = self._wait_s(request, error, tries)
                if wait_s is None or time.monotonic() + wait_s > until:
                    raise
            time.sleep(wait_s)

    @contextmanager
    def stream(self, request: Request) -> Iterator[httpx.Response]:
        """An answer to be read piece by piece; one try.

        Raises: RemoteError, also from within the block where the connection breaks.
        """
        began = False
        try:
            with self._http.stream(**self._options(request)) as answer:
                began = True
                if answer.status_code >= 300:
                    body = self._whole(answer)
                    raise refusals.of_answer(self.base, answer.status_code, answer.headers, body)
                yield answer
        except httpx.TransportError as cause:
            raise refusals.of_transport(self.base, cause, sent=began and not request.safe) from cause

    def _once(self, request: Request) -> Answer:
        try:
            with self._http.stream(**self._options(request)) as answer:
                body = self._whole(answer)
        except httpx.TransportError as cause:
            sent = not request.safe and not isinstance(cause, _NEVER_SENT)
            error = refusals.of_transport(self.base, cause, sent=sent)
            error.uncertain = not isinstance(cause, _NEVER_SENT)
            raise error from cause
        except httpx.DecodingError as cause:
            raise refusals.not_ours(self.base, "its answer cannot be unpacked") from cause
        if answer.status_code >= 300:
            raise refusals.of_answer(self.base, answer.status_code, answer.headers, body)
        return Answer(answer.status_code, answer.headers, body, self.base)

    def _options(self, request: Request) -> dict[str, Any]:
        headers = {**self._headers, **request.headers}
        content: Any = None
        if request.content is not None:
            content = request.content()
        elif request.body is not None:
            content, headers["Content-Type"] = _json(request.body), "application/json"
        return {
            "method": request.method,
            "url": self.base + request.path,
            "params": _query(request.query) or None,
            "headers": headers,
            "content": content,
            "timeout": request.timeout_s or self._timeout_s,
            "follow_redirects": False,
            "auth": None,
        }

    def _whole(self, answer: httpx.Response) -> bytes:
        """The body; the time between two pieces is bounded by the transport, that of all of them here."""
        parts, size, until = [], 0, time.monotonic() + 10 * self._timeout_s
        for part in answer.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > _MOST_BYTES:
                raise refusals.not_ours(self.base, f"its answer is larger than {_MOST_BYTES >> 20} MiB")
            if time.monotonic() > until:
                raise httpx.ReadTimeout("the answer drips", request=answer.request)
        return b"".join(parts)

    def _wait_s(self, request: Request, error: RemoteError, tries: int) -> float | None:
        """Seconds until the next try; None for no other one."""
        if tries >= self._tries or not _may_go_again(request, error):
            return None
        most = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (tries - 1))
        # Of many clients that were refused at once not all come back at once.
        jittered: float = most * random.uniform(0.5, 1.0)  # noqa: S311 - spreads, hides nothing
        return (error.retry_after_s or 0.0) + jittered


def _may_go_again(request: Request, error: RemoteError) -> bool:
    if error.status is None:
        permanent = isinstance(error.__cause__, httpx.UnsupportedProtocol) or _is_tls(error)
        never_sent = isinstance(error.__cause__, _NEVER_SENT)
        return isinstance(error.__cause__, httpx.TransportError) and not permanent and (request.safe or never_sent)
    if isinstance(error, LoginNeeded):
        return False
    if error.status == 429:
        return request.patient and error.code not in _FINAL
    return error.status in (502, 503, 504) and request.safe


def _is_tls(error: BaseException) -> bool:
    found: BaseException | None = error
    for _ in range(20):
        if found is None:
            return False
        if isinstance(found, ssl.SSLError):
            return True
        found = found.__cause__ or found.__context__
    return False


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as cause:
        raise UsageError(f"cannot be sent as JSON: {cause}", hint="numbers, texts, lists and dicts can") from cause


def _query(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _proxy(url: str | None) -> httpx.Proxy | None:
    try:
        return None if url is None else httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL):  # they repeat the address, which may hold a password
        raise SettingsError("API_PROXY is none, expected such as http://proxy.example.org:3128") from None


def _certificates(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as cause:
        raise SettingsError(
            "holds no certificates, or cannot be read; expected them in PEM",
            where=str(ca_file),
            hint="check API_CA_FILE",
        ) from cause
