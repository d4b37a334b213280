"""From an error to an answer: the only place where our errors become HTTP.

Every refusal is a problem by RFC 9457 (``application/problem+json``) with a stable ``code``, the place of
the fault, the next step and the request's id. No value a client sent, no path, no SQL comes back in one.
Below ``/v1`` the same problem is told in the shape that OpenAI's clients read.
Neighbours: ``limits`` sends those that arise before the routes, ``handlers`` ties the rest to the app.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from finetune30 import errors

MEDIA_TYPE = "application/problem+json"
AGAIN_S = 5
OPENAI = "/v1/"
# What OpenAI's clients would send again by themselves, though it cannot help.
_NOT_AGAIN = frozenset({"quota_exceeded", "state_conflict"})
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_CHALLENGE = 'Bearer realm="finetune30", error="invalid_token"'


@dataclass(frozen=True)
class Fault:
    """One of several things wrong with a request: ``where`` (``body.lora.r``) and what was expected."""

    where: str
    detail: str


class Problem(Exception):
    """A refusal as the client will read it.

    Args:
        code: Stable, for programs; those of ``errors`` where there is one.
        detail: One sentence of ours, without anything the client sent.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.where = where
        self.hint = hint
        self.faults = tuple(faults)
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """The object of the answer."""
        found: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "where": self.where,
            "hint": self.hint,
            "request_id": request_id,
        }
        if self.faults:
            found["errors"] = [{"where": one.where, "detail": one.detail} for one in self.faults]
        return found

    def openai_body(self) -> dict[str, Any]:
        """The object of the answer as OpenAI words errors; each fault is in its one message."""
        told = [f"{parameter_of(one.where)}: {one.detail}" for one in self.faults] or [self.detail]
        message = "; ".join([*told, self.hint] if self.hint else told)
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        param = None if self.where is None else parameter_of(self.where)
        return {"error": {"message": message, "type": kind, "param": param, "code": self.code}}

    def response(self, request_id: str, path: str = "") -> Response:
        """The answer to a request of this path."""
        openai = path.startswith(OPENAI)
        found, media_type = (self.openai_body(), "application/json") if openai else (self.body(request_id), MEDIA_TYPE)
        headers = {**self.headers, "X-Should-Retry": "false"} if openai and self.code in _NOT_AGAIN else self.headers
        body = json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
        return Response(body, self.status, headers, media_type)


# Most special first. What the message of an error says is for the terminal of the machine: here it is said anew.
_OF_ERRORS: tuple[tuple[str, int, str, str | None], ...] = (
    ("LoginRefused", 401, "name and password do not belong together", None),
    ("TokenRefused", 401, "the token is not valid, or no longer", "log in: POST /login"),
    ("Forbidden", 403, "you may not do this", None),
    ("ModelMissing", 404, "there is no such model", "GET /models lists those you may use"),
    ("NotFound", 404, "there is nothing by this id", "GET /tasks lists your tasks"),
    ("RegistryConflict", 409, "the registry does not allow this", None),
    ("StateError", 409, "its state does not allow this", "GET /task/{task_id} tells its state"),
    ("UploadCount", 429, "you have as many uploads as one may have (UPLOADS_PER_USER)", "DELETE /datasets/{id}"),
    (
        "QuotaExceeded",
        429,
        "you have as many unfinished jobs as one may have",
        "wait until some end, or cancel some",
    ),
    ("Busy", 503, "too much of this at once", "try again in some seconds"),
    (
        "UploadSpace",
        413,
        "your uploads would take more than one may have (UPLOADS_MB_PER_USER)",
        "DELETE /datasets/{id}",
    ),
    ("TooLarge", 413, "the file is larger than is taken (UPLOAD_MAX_MB)", None),
    ("DataTooLarge", 413, "it unpacks to far more than it should", None),
    (
        "IdempotencyConflict",
        422,
        "this Idempotency-Key was used for another submission",
        "use a new key for a new job, or send exactly what was sent before",
    ),
    ("DiskFull", 503, "the server has no disk space left", "try again later"),
    ("StorageError", 503, "the server cannot reach its storage", "try again later"),
    ("SettingsError", 503, "the server is not set up for this", None),
    (
        "UserInvalid",
        422,
        "expected a name of 1 to 64 of a-z, 0-9 and . _ @ + -, and a password of 12 to 1024 characters",
        None,
    ),
    ("BadInput", 422, "this cannot be accepted", "GET /config/schema tells what is"),
)


def of_error(error: errors.Finetune30Error) -> Problem:
    """The problem that one of our errors is to a client."""
    for name, status, detail, hint in _OF_ERRORS:
        if any(kind.__name__ == name for kind in type(error).__mro__):
            detail = getattr(error, "told", detail)  # words that were made for strangers
            where = "Idempotency-Key" if name == "IdempotencyConflict" else None
            return Problem(status, error.code, detail, where=where, hint=hint, headers=_headers(status))
    return Problem(500, error.code, "the server could not do this", hint="tell its operator the request_id")


def parameter_of(where: str) -> str:
    """The name of what was wrong, without where it stood: ``training_file`` of ``body.training_file``."""
    place, _, name = where.partition(".")
    return name if name and place in ("body", "form", "query", "path", "header") else where


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem of a bare status, such as 404 for a path that is not there."""
    known = {
        400: ("bad_request", "the request is malformed"),
        404: ("not_found", "there is nothing at this path"),
        405: ("method_not_allowed", "this path does not take this method"),
        408: ("timeout", "the request did not arrive in time"),
        413: ("too_large", "the body is larger than this path takes"),
        415: ("unsupported_media_type", "expected Content-Type: application/json"),
    }
    code, detail = known.get(status, ("error", HTTPStatus(status).phrase))
    return Problem(status, code, detail, headers={**_headers(status), **(headers or {})})


def unauthenticated(detail: str = "a valid token is needed") -> Problem:
    """No token, or none that is good."""
    return Problem(401, "token_refused", detail, hint="log in: POST /login", headers=_headers(401))


def too_many(retry_after_s: float, detail: str = "too many requests") -> Problem:
    """Come back later."""
    seconds = max(1, min(900, int(retry_after_s) + 1))
    return Problem(429, "too_many_requests", detail, headers={"Retry-After": str(seconds)})


def unavailable(code: str, detail: str, hint: str) -> Problem:
    """Something of the server's cannot be used just now."""
    return Problem(503, code, detail, hint=hint, headers=_headers(503))


def of_fault(fault: Exception) -> Problem:
    """The problem of what no room of ours words; a disk that is full is no fault of the program."""
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return of_error(errors.DiskFull(""))
    return unexpected()


def unexpected() -> Problem:
    """What we did not foresee."""
    return Problem(500, "crashed", "the server met an unexpected fault", hint="tell its operator the request_id")


def _headers(status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": _CHALLENGE}
    return {"Retry-After": str(AGAIN_S)} if status in (429, 503) else {}
