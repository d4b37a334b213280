"""Parameters of a query, strictly: known, given once, of ASCII digits, of time that exists.

Neighbours: routes declare them; ``rules`` puts ``known_once`` behind every route's own checks.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from starlette.requests import Request

from finetune30.errors import FilterError
from finetune30.experiments.moments import LAST, moment
from finetune30.experiments.where import Where, parse
from finetune30.experiments.where.grammar import LONGEST
from finetune30.web.problems import Problem

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")


def known_once(request: Request) -> None:
    """Refuse a parameter nobody reads, and one given twice: a misspelt filter must not list everything.

    Raises: Problem 422.
    """
    route = request.scope.get("route")
    known: frozenset[str] = getattr(route, "known_parameters", frozenset())
    families: tuple[re.Pattern[str], ...] = getattr(route, "known_families", ())
    given = [name for name, _ in request.query_params.multi_items()]
    if any(name not in known and not any(one.fullmatch(name) for one in families) for name in given):
        told = ", ".join(sorted(known)) or "none"
        raise Problem(422, "query_invalid", f"there is no such parameter; there is: {told}", where="query")
    if len(set(given)) < len(given):
        raise Problem(422, "query_invalid", "a parameter is given more than once", where="query")


def digits(value: Any) -> Any:
    """Only ASCII digits make a number."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("expected a whole number")
    return value


def figures(value: Any) -> Any:
    """Only ASCII figures make a number."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError("expected a number")
    return value


def _text(value: str) -> str:
    if "\0" in value or "\ufffd" in value:
        raise ValueError("expected text")
    return value


def _start(value: Any) -> Any:
    return moment(value) if isinstance(value, str) else value


def _end(value: Any) -> Any:
    return moment(value, ends=True) if isinstance(value, str) else value


# What limits a number stands next to its type: behind the check of its digits OpenAPI would not hear of it.
Limit = Annotated[int, Field(ge=1, le=1000), BeforeValidator(digits), Query(description="At most so many")]
Number = Annotated[int, Field(ge=0, le=2**53), BeforeValidator(digits)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(figures)]
Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False), BeforeValidator(figures)]
Timestamp = Annotated[float, Field(ge=0, le=LAST, allow_inf_nan=False), BeforeValidator(figures)]
Search = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_text)]
Filter = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST),
    AfterValidator(_text),
    Query(
        description="What it shall be, in words: docs/api.md has the language",
        examples=['status = SUCCESS AND (accuracy >= 0.9 OR name ~ "sst2")'],
    ),
]
_A_MOMENT = WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]})
Start = Annotated[float, BeforeValidator(_start), _A_MOMENT]
End = Annotated[float, BeforeValidator(_end), _A_MOMENT]
Id = Annotated[str, Path(pattern=r"^[a-z0-9_-]{1,80}$")]
Cursor = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,80}$", description="The last id of the page before")]


def in_order(start: float | None, end: float | None, where: str) -> None:
    """Refuse a span that ends before it begins.

    Raises: Problem 422.
    """
    if start is not None and end is not None and start > end:
        raise Problem(422, "query_invalid", "the span ends before it begins", where=where)


def where_of(text: str | None) -> Where | None:
    """What a filter in words asks for.

    Raises: Problem 422 that says at which character what was expected, and repeats nothing of the text.
    """
    if text is None:
        return None
    try:
        return parse(text)
    except FilterError as fault:
        told = f"character {fault.at}: {fault.message}"
        raise Problem(422, "query_invalid", told, where="query.q", hint=fault.hint) from None
