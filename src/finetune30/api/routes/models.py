"""Models: successful experiments under a name and a number, their cards and where they come from.

Owners and admins change them; what is private is nobody else's, what is the team's everybody may read.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from finetune30.api import deeds, services
from finetune30.api.answers_models import File, Lineage, Model, Models, Resolved, Version, Versions, WholeVersion
from finetune30.api.deps import CurrentUser
from finetune30.api.named import Address, After, Before, Name, NewAlias, NewName, Number, Text, actor_of
from finetune30.api.pages import ME
from finetune30.api.queries import Limit, Search
from finetune30.registry import Visibility
from finetune30.web.bodies import Body, body_of, described_as

_RUN = r"^[a-z0-9_-]{1,80}$"
RunId = Annotated[str, Query(pattern=_RUN, description="Only models that have it as a version")]
DataHash = Annotated[str, Query(pattern=r"^[0-9a-f]{64}$", description="Only models that were trained on these rows")]
Owner = Annotated[Search, Query(description="me, or a user's name")]
Seen = Annotated[Visibility, Field(strict=False)]
_EXAMPLE = {"name": "sentiment", "experiment_id": "first_20260131_120000", "alias": "champion", "visibility": "team"}


class NewVersion(Body):
    """What is to be registered; a name that is new becomes a model."""

    name: NewName
    experiment_id: str = Field(pattern=_RUN)
    alias: NewAlias | None = None
    note: Text = ""
    description: Text | None = None
    visibility: Seen | None = None


class Change(Body):
    """What a model says of itself, and who may see it."""

    description: Text | None = None
    visibility: Seen | None = None


def router() -> APIRouter:
    """``/models`` and ``/models/{name}/versions``."""
    found = APIRouter(tags=["models"])
    add = found.add_api_route
    extra = described_as(NewVersion, _EXAMPLE)
    add("/models", models, methods=["GET"], name="model.list")
    add("/models", register, methods=["POST"], name="model.register", status_code=201, openapi_extra=extra)
    add("/models/resolve", resolve, methods=["GET"], name="model.resolve")  # before {name}
    add("/models/{name}", model, methods=["GET"], name="model.show")
    extra = described_as(Change, {"visibility": "team", "description": "Is a review good?"})
    add("/models/{name}", change, methods=["POST"], name="model.change", openapi_extra=extra)
    add("/models/{name}", delete, methods=["DELETE"], name="model.delete", status_code=204)
    add("/models/{name}/versions", versions, methods=["GET"], name="model.versions")
    add("/models/{name}/versions/{version}", version, methods=["GET"], name="model.version")
    add("/models/{name}/versions/{version}", unregister, methods=["DELETE"], name="model.unregister", status_code=204)
    add("/models/{name}/versions/{version}/card", card, methods=["GET"], name="model.card", response_class=Response)
    add("/models/{name}/versions/{version}/lineage", lineage, methods=["GET"], name="model.lineage")
    return found


def models(
    request: Request,
    user: CurrentUser,
    owner: Owner | None = None,
    name: Search | None = None,
    experiment_id: RunId | None = None,
    dataset_hash: DataHash | None = None,
    limit: Limit = 100,
    after: After | None = None,
) -> Models:
    """The models one may use: one's own and the team's, an admin everybody's. ``name`` is a part of the name."""
    found = services.of(request).models.list(
        actor_of(user),
        owner=user.name if owner == ME else owner,
        name=name,
        experiment_id=experiment_id,
        dataset_hash=dataset_hash,
        after=after,
        limit=limit + 1,
    )
    some, more = [Model.of(one) for one in found[:limit]], len(found) > limit
    return Models(models=some, has_more=more, next=some[-1].name if more else None)


def register(
    request: Request,
    response: Response,
    user: CurrentUser,
    given: Annotated[NewVersion, Depends(body_of(NewVersion))],
) -> Version:
    """Make a successful experiment the next version of a model. Its files are read and compared with their manifest.

    ``alias`` points at the new version at once. From now on the experiment cannot be deleted.
    """
    found, by = services.of(request), actor_of(user)
    candidate = found.models.candidate(given.experiment_id, by)  # reads files: not within the transaction
    with deeds.deed(request, user, given.name) as deed:
        made = found.models.register(
            given.name,
            candidate,
            by,
            alias=given.alias,
            note=given.note,
            description=given.description,
            visibility=given.visibility,
        )
        deed.target = made.address
        deed.detail = {"experiment_id": made.experiment_id, "sha256": made.sha256, "alias": given.alias}
    response.headers["Location"] = f"/models/{made.model}/versions/{made.number}"
    return Version.of(made)


def resolve(request: Request, user: CurrentUser, address: Address) -> Resolved:
    """What ``name@alias``, ``name/3`` (either behind ``models:/``) or an experiment's id means just now."""
    return Resolved.model_validate(services.of(request).models.resolve(address, actor_of(user)).to_dict())


def model(request: Request, user: CurrentUser, name: Name) -> Model:
    """One model and its aliases."""
    return Model.of(services.of(request).models.show(name, actor_of(user)))


def change(
    request: Request, user: CurrentUser, name: Name, given: Annotated[Change, Depends(body_of(Change))]
) -> Model:
    """Change its description, or who may see it."""
    with deeds.deed(request, user, name) as deed:
        changed = services.of(request).models.edit(
            name, actor_of(user), description=given.description, visibility=given.visibility
        )
        deed.detail = {"visibility": str(changed.visibility), "described": given.description is not None}
    return Model.of(changed)


def delete(request: Request, user: CurrentUser, name: Name, force: bool = False) -> Response:
    """Forget a model and its versions; the experiments stay. One that has aliases only with ``force``."""
    with deeds.deed(request, user, name) as deed:
        services.of(request).models.delete(name, actor_of(user), force=force)
        deed.detail = {"force": force}
    return Response(status_code=204)


def versions(
    request: Request, user: CurrentUser, name: Name, limit: Limit = 100, before: Before | None = None
) -> Versions:
    """Its versions, the newest first."""
    found = services.of(request).models.versions(name, actor_of(user), before=before, limit=limit + 1)
    some, more = [Version.of(one) for one in found[:limit]], len(found) > limit
    return Versions(versions=some, has_more=more, next=some[-1].version if more else None)


def version(request: Request, user: CurrentUser, name: Name, version: Number) -> WholeVersion:
    """One version and its files."""
    found, by = services.of(request).models, actor_of(user)
    told = Version.of(found.version(name, version, by))
    files = found.files(name, version, by)
    return WholeVersion(version=told, files=[File(name=key, **one) for key, one in sorted(files.items())])


def unregister(request: Request, user: CurrentUser, name: Name, version: Number) -> Response:
    """Take a version away; the experiment stays, the number is not given again. No alias may point at it."""
    with deeds.deed(request, user, f"{name}/{version}"):
        services.of(request).models.unregister(name, version, actor_of(user))
    return Response(status_code=204)


def card(request: Request, user: CurrentUser, name: Name, version: Number) -> Response:
    """The model card, as Markdown."""
    text = services.of(request).models.card(name, version, actor_of(user))
    return Response(text, media_type="text/markdown; charset=utf-8")


def lineage(request: Request, user: CurrentUser, name: Name, version: Number) -> Lineage:
    """Which run on which data and which base it is, and what else was trained on the same rows."""
    return Lineage.model_validate(services.of(request).models.lineage(name, version, actor_of(user)))
