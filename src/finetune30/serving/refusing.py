"""From an error to an answer of the service: the only place where its errors become HTTP.

Neighbours: ``web.problems`` is the shape; the routes raise our errors.
"""

from __future__ import annotations

from finetune30.errors import Busy, Finetune30Error
from finetune30.serving.asking import Unaskable
from finetune30.web.problems import Problem, too_many

_AGAIN_S = 1.0
# Class name, most special first; what an error says is for the terminal: here it is said anew.
_OF_ERRORS: tuple[tuple[str, int, str, str | None], ...] = (
    ("TokenRefused", 401, "the token is not valid, or no longer", "log in: POST /login of the API"),
    ("Forbidden", 403, "this adapter is another user's", None),
    ("NotFound", 404, "there is no such adapter", "GET /adapters lists those in memory"),
    ("StateError", 409, "this run has no model that could answer", "name a run that succeeded"),
    ("ModelError", 409, "the adapter is not fit to answer", "GET /adapters tells why; train it again"),
    ("StorageError", 503, "the service cannot reach its storage", "try again later"),
    ("SettingsError", 503, "the service is not set up for this", None),
    ("BadInput", 422, "this cannot be answered as it was asked", "see docs/serving.md"),
)


def of_error(error: Finetune30Error) -> Problem:
    """The problem that one of our errors is to a client."""
    if isinstance(error, Busy):
        return too_many(_AGAIN_S, "too many texts wait already")
    if isinstance(error, Unaskable):
        return Problem(422, error.code, error.message, where=error.where, hint=error.hint)
    for name, status, detail, hint in _OF_ERRORS:
        if any(kind.__name__ == name for kind in type(error).__mro__):
            headers = {"Retry-After": "5"} if status == 503 else {}
            return Problem(status, error.code, detail, hint=hint, headers=headers)
    return Problem(500, error.code, "the service could not do this", hint="tell its operator the request_id")
