"""The body of a request: strict JSON, read after the user is known, refused without repeating it.

Strict: no NaN and no Infinity, no key twice, no number that no database takes, not nested beyond reason.
Python's own parser takes all of these.
Neighbours: ``gate`` has read it and knows that it is not too large, ``faults`` words what is wrong with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from finetune30.web.faults import refused
from finetune30.web.problems import Problem, of_status, too_large

MOST_OF_A_CONFIG = 256 * 1024
_DEEPEST = 32
_LARGEST = 2**63

M = TypeVar("M", bound="Body")


class Body(BaseModel):
    """Fields of a JSON object: strict, and closed to those it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object that was sent.

    Raises: Problem 415 for another type of content, 400 and 422 for what is no strict JSON object.
    """
    kinds = request.headers.getlist("content-type")
    kind, _, parameters = (kinds[0] if len(kinds) == 1 else "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise of_status(415)
    found = _parsed(await request.body())
    if not isinstance(found, dict):
        raise Problem(422, "body_invalid", "the body is no JSON object", where="body")
    return found


async def config_object(request: Request) -> dict[str, Any]:
    """``json_object`` of a configuration, which nobody writes by the hundred kilobyte.

    Raises: Problem 413, and those of ``json_object``.
    """
    if len(await request.body()) > MOST_OF_A_CONFIG:
        raise too_large(MOST_OF_A_CONFIG)
    return await json_object(request)


def body_of(model: type[M], *, optional: bool = False) -> Callable[[Request], Coroutine[Any, Any, M]]:
    """A dependency that reads a body of this model; name it after the one that finds the user.

    Args:
        optional: No body at all means an empty object.
    """

    async def read(request: Request) -> M:
        values = {} if optional and not await request.body() else await json_object(request)
        try:
            return model.model_validate(values)
        except ValidationError as refusal:
            raise refused(refusal.errors(include_url=False, include_input=False), ("body",), model) from None

    return read


def described(schema: dict[str, Any], example: Any, *, required: bool = True) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by ``json_object``."""
    content = {"application/json": {"schema": _inline(schema), "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def described_as(model: type[Body], example: Any, *, required: bool = True) -> dict[str, Any]:
    """``described`` for a model without models in it."""
    return described(model.model_json_schema(), example, required=required)


def file_body(
    form: str, shown: Mapping[str, str], name: str, fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What OpenAPI says of a body that is a file: itself, or the field ``file`` of a form.

    Args:
        form: The type that is a form.
        shown: Every type that is taken, and a file of it.
        name: A file's name, in the example of a form.
        fields: Other fields of the form, and the one value each may have.
    """
    file = {"type": "string", "format": "binary", "minLength": 1}
    others = {field: {"type": "string", "enum": [value]} for field, value in (fields or {}).items()}
    head = {"schema": {"type": "string"}, "example": f'form-data; name="file"; filename="{name}"'}
    content: dict[str, Any] = {kind: {"schema": file, "example": one} for kind, one in shown.items()}
    content[form] = {
        "schema": {
            "type": "object",
            "required": [*others, "file"],
            "properties": {"file": file, **others},
            "additionalProperties": False,
        },
        "example": {**(fields or {}), "file": shown[form]},
        "encoding": {"file": {"headers": {"Content-Disposition": head}}},
    }
    return {"requestBody": {"required": True, "content": content}}


def _parsed(body: bytes) -> Any:
    try:
        found = _STRICT.decode(body.decode("utf-8"))
        _check_depth(found)
        return found
    except (RecursionError, _TooMuchError):
        raise Problem(400, "body_invalid", "the body is nested too deep, or holds a number too long") from None
    except (ValueError, UnicodeError) as fault:
        told = str(fault) if isinstance(fault, _FaultError) else "the body is no JSON"
        raise Problem(422, "body_invalid", told, where="body") from None


class _FaultError(ValueError):
    """A fault in our words."""


class _TooMuchError(Exception):
    """More than a parser should be asked to take."""


def _no_number(_: str) -> float:
    raise _FaultError("the body holds NaN or Infinity, expected numbers")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise _FaultError("the body holds a number that is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 400:
        raise _TooMuchError
    if not -_LARGEST <= (number := int(text)) < _LARGEST:
        raise _FaultError("the body holds a number that is too large")
    return number


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _FaultError("the body holds a key twice")
    return found


_STRICT = json.JSONDecoder(
    parse_constant=_no_number, parse_float=_finite, parse_int=_whole, object_pairs_hook=_each_key_once
)


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise _TooMuchError
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
            elif isinstance(one, str) and not _is_text(one):
                raise _FaultError("the body holds half a character or a NUL")
        level = inner


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without references, which would point into another document."""
    parts = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return resolved(
                    {**parts[value["$ref"].rsplit("/", 1)[-1]], **{k: v for k, v in value.items() if k != "$ref"}}
                )
            return {key: resolved(part) for key, part in value.items()}
        return [resolved(part) for part in value] if isinstance(value, list) else value

    return dict(resolved(schema))
