"""Aliases: names such as ``champion`` that point at one version of a model, are moved, and moved back.

``expected`` makes a move safe: it is 409 where somebody moved the alias in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from finetune30.api import deeds, services
from finetune30.api.answers_models import Alias, Move, Moves
from finetune30.api.deps import CurrentUser
from finetune30.api.named import Alias as AliasName
from finetune30.api.named import Before, Expected, ExpectedQuery, Name, Text, VersionNumber, actor_of
from finetune30.api.queries import Limit
from finetune30.registry import Move as Moved
from finetune30.web.bodies import Body, body_of, described_as


class Target(Body):
    """Where it is to point."""

    version: VersionNumber
    expected: Expected | None = None
    note: Text = ""


class Why(Body):
    """Why it is moved back."""

    expected: Expected | None = None
    note: Text = ""


def router() -> APIRouter:
    """``/models/{name}/aliases`` and ``/models/{name}/history``."""
    found = APIRouter(tags=["models"])
    add, path = found.add_api_route, "/models/{name}/aliases/{alias}"
    add("/models/{name}/history", all_history, methods=["GET"], name="model.history")
    add(path, alias, methods=["GET"], name="model.alias.show")
    extra = described_as(Target, {"version": 3, "expected": 2, "note": "better on long reviews"})
    add(path, point, methods=["PUT"], name="model.alias", openapi_extra=extra)
    add(path, drop, methods=["DELETE"], name="model.alias.drop", status_code=204)
    extra = described_as(Why, {"expected": 3, "note": "worse on short reviews"}, required=False)
    add(f"{path}/rollback", rollback, methods=["POST"], name="model.alias.rollback", openapi_extra=extra)
    add(f"{path}/history", history, methods=["GET"], name="model.alias.history")
    return found


def alias(request: Request, user: CurrentUser, name: Name, alias: AliasName) -> Alias:
    """Where it points, and where a rollback would move it."""
    return Alias.of(services.of(request).models.alias(name, alias, actor_of(user)))


def point(
    request: Request,
    user: CurrentUser,
    name: Name,
    alias: AliasName,
    given: Annotated[Target, Depends(body_of(Target))],
) -> Alias:
    """Let it point at a version: promote. A new alias is made by this."""
    with deeds.deed(request, user, f"{name}@{alias}") as deed:
        moved = services.of(request).models.point(
            name, alias, given.version, actor_of(user), expected=given.expected, note=given.note
        )
        deed.detail = {"version": moved.number, "expected": given.expected, "note": given.note}
    return Alias.of(moved)


def drop(
    request: Request, user: CurrentUser, name: Name, alias: AliasName, expected: ExpectedQuery | None = None
) -> Response:
    """Take it away. Its history stays, and a rollback brings it back."""
    with deeds.deed(request, user, f"{name}@{alias}"):
        services.of(request).models.drop(name, alias, actor_of(user), expected=expected)
    return Response(status_code=204)


def rollback(
    request: Request,
    user: CurrentUser,
    name: Name,
    alias: AliasName,
    given: Annotated[Why, Depends(body_of(Why, optional=True))],
) -> Alias:
    """Move it to the version it was at before; again, and it goes further back (``previous`` says where to)."""
    with deeds.deed(request, user, f"{name}@{alias}") as deed:
        moved = services.of(request).models.rollback(
            name, alias, actor_of(user), expected=given.expected, note=given.note
        )
        deed.detail = {"version": moved.number, "expected": given.expected, "note": given.note}
    return Alias.of(moved)


def history(
    request: Request,
    user: CurrentUser,
    name: Name,
    alias: AliasName,
    limit: Limit = 100,
    before: Before | None = None,
) -> Moves:
    """Every move of it: when, by whom, from where to where, and why; the newest first."""
    found = services.of(request).models
    return _page(found.history(name, alias, actor_of(user), before=before, limit=limit + 1), limit)


def all_history(
    request: Request, user: CurrentUser, name: Name, limit: Limit = 100, before: Before | None = None
) -> Moves:
    """Every move of all aliases of a model, the newest first; of those that were dropped as well."""
    found = services.of(request).models
    return _page(found.history(name, None, actor_of(user), before=before, limit=limit + 1), limit)


def _page(found: Sequence[Moved], limit: int) -> Moves:
    some, more = [Move.of(one) for one in found[:limit]], len(found) > limit
    return Moves(moves=some, has_more=more, next=some[-1].seq if more else None)
