"""Versions of data: the exact rows that runs and uploads are made of, and what changed between two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from finetune30.access import User
from finetune30.api import services
from finetune30.api.answers_datasets import Difference, Version, Versions, WholeVersion
from finetune30.api.deps import CurrentUser
from finetune30.api.queries import Cursor, Id, Limit
from finetune30.api.routes.datasets import Rows, answer_of
from finetune30.errors import BadInput, NotFound
from finetune30.web.problems import Problem

if TYPE_CHECKING:
    from finetune30.data.versions import DatasetVersion, VersionStore

Other = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,80}$")]


def router() -> APIRouter:
    """``/datasets/versions``."""
    found = APIRouter(tags=["datasets"])
    add = found.add_api_route
    add("/datasets/versions", versions, methods=["GET"], name="version.list")
    add("/datasets/versions/{version}", version_of, methods=["GET"], name="version.show")
    add("/datasets/versions/{before}/diff/{after}", diff, methods=["GET"], name="version.diff")
    return found


def versions(request: Request, user: CurrentUser, limit: Limit = 100, after: Cursor | None = None) -> Versions:
    """Versions one may see, the newest first: those of one's runs and uploads; all for admins."""
    store = _store(request)
    own = None if user.is_admin else _own(request, user)
    every = [one for one in store.list() if own is None or one.id in own]
    place = next((at for at, one in enumerate(every, 1) if one.id == after), None) if after is not None else 0
    if place is None:
        raise Problem(404, "not_found", "expected the last id of the page before", where="query.after")
    some, more = every[place : place + limit], len(every) > place + limit
    tags = store.tags()
    told = [Version.of(one, sorted(tag for tag, version in tags.items() if version == one.id)) for one in some]
    return Versions(versions=told, has_more=more, next=some[-1].id if more else None)


def version_of(request: Request, user: CurrentUser, version: Id) -> WholeVersion:
    """One version, by its id or how that begins: its rows by label, and what the checks found."""
    store = _store(request)
    found = _visible(request, user, store, version)
    return WholeVersion.of(found, store.tags_of(found.id))


async def diff(request: Request, user: CurrentUser, before: Id, after: Id, rows: Rows = 20) -> Difference:
    """What changed from one version to another: rows added, removed, relabelled, moved to another split."""

    def both() -> tuple[str, str]:
        store = _store(request)
        return _visible(request, user, store, before).id, _visible(request, user, store, after).id

    one, other = await run_in_threadpool(both)
    answer = await answer_of(services.of(request).checks.diff(one, other, rows))
    return Difference.model_validate(answer)


def _store(request: Request) -> VersionStore:
    from finetune30.data.versions import VersionStore

    return VersionStore(services.of(request).settings.data_dir)


def _own(request: Request, user: User) -> set[str]:
    found = services.of(request)
    uploads = {one.version for one in found.checks.uploads.list(user.name) if one.version is not None}
    return found.jobs.store.versions_of(user.name) | uploads


def _visible(request: Request, user: User, store: VersionStore, reference: str) -> DatasetVersion:
    """The version, if the user may see it.

    Raises: Problem 403, 404, 422.
    """
    try:
        found = store.find(reference)
    except NotFound:
        raise Problem(404, "not_found", "there is no such version", hint="GET /datasets/versions lists yours") from None
    except BadInput:
        raise Problem(422, "request_invalid", "several versions begin so", hint="give more of the id") from None
    if not user.is_admin and found.id not in _own(request, user):
        raise Problem(403, "forbidden", "this version is another user's")
    return found
