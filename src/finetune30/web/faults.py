"""What is wrong with a request, in words: each place once, no value, and no name that is not ours.

Who checks a text by a pattern says here in words what the pattern means (``expects``): nobody reads an expression.
A key nobody knows is named where it looks like a key, for it is a slip of the pen most often; what else was sent in
the place of one is not repeated. Neighbours: ``bodies`` and the app bring what pydantic found.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from finetune30.web.problems import Fault, Problem

MOST_FAULTS = 30
NOT_KNOWN = "there is a key here that is not known"
_SEE = "docs/api.md says what is taken"
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_MEANING: dict[str, str] = {}
_WORDS = (
    ("Value error, ", ""),
    ("Input should be ", "expected "),
    ("String should have ", "expected "),
    ("Field required", "it is missing"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
)


def expects(pattern: str, words: str) -> str:
    """The pattern; what does not match it is told in these words: ``expected words``."""
    _MEANING[pattern] = words
    return pattern


def meaning_of(pattern: str) -> str | None:
    """The words for a pattern; None for one that nobody worded."""
    return _MEANING.get(pattern)


def refused(
    errors: Sequence[ErrorDetails], before: tuple[str, ...] = (), model: type[BaseModel] | None = None
) -> Problem:
    """The 422 that names each place and what was expected there.

    Args:
        before: What stands before the places, such as ``body``.
        model: What the places are in; a parameter of a path, a query or a header is its own place.
    """
    told: dict[str, list[str]] = {}
    for error in errors:
        where, detail = _told(error, before, model)
        if detail not in told.setdefault(where, []):
            told[where].append(detail)
    faults = [Fault(where, _either(details)) for where, details in told.items()][:MOST_FAULTS]
    first = faults[0] if faults else Fault("", "the request is not valid")
    detail = f"{first.where}: {first.detail}"
    return Problem(422, "request_invalid", detail, where=first.where, hint=_SEE, faults=faults)


def shown(key: object) -> str | None:
    """The name of a key that is not ours; None where it does not look like one."""
    return key if isinstance(key, str) and _KEY.fullmatch(key) else None


def _told(error: ErrorDetails, before: tuple[str, ...], model: type[BaseModel] | None) -> tuple[str, str]:
    if model is None:
        place = [str(one) for at, one in enumerate(error["loc"]) if at < 2 or isinstance(one, int)]
        return ".".join((*before, *place)), _words(error)
    place, within = _ours(error["loc"], model)
    if error["type"] != "extra_forbidden":
        return ".".join((*before, *place)), _words(error)
    unknown, known = error["loc"][-1], sorted(within.model_fields if within else ())
    named = shown(unknown)
    near = difflib.get_close_matches(str(unknown)[:80], known, n=1)
    advice = f"; did you mean {near[0]}?" if near else f"; there is: {', '.join(known)}" if known else ""
    where = ".".join((*before, *place, *([named] if named else [])))
    return where, ("unknown key" if named else NOT_KNOWN) + advice


def _ours(loc: Sequence[int | str], model: type[BaseModel]) -> tuple[list[str], type[BaseModel] | None]:
    """The part of a place that is made of our names, and the model it ends in."""
    place: list[str] = []
    at: type[BaseModel] | None = model
    for one in loc:
        if isinstance(one, int):
            place.append(str(one))
        elif at is not None and one in at.model_fields:
            place.append(one)
            at = _model_in(at.model_fields[one].annotation)
        else:
            break  # a key of theirs, or which alternative of a type it was
    return place, at


def _model_in(annotation: Any) -> type[BaseModel] | None:
    kinds = [annotation, *get_args(annotation)]
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _words(error: ErrorDetails) -> str:
    if error["type"] == "string_pattern_mismatch":
        meaning = meaning_of(str(error.get("ctx", {}).get("pattern")))
        return f"expected {meaning or 'another form'}"
    text = error["msg"]
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return "".join(c if c.isprintable() else "?" for c in text[:300])


def _either(details: list[str]) -> str:
    """One sentence of what the alternatives of a type expect."""
    first, *others = details
    return ", or ".join((first, *(one.removeprefix("expected ") for one in others)))
