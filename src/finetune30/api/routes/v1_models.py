"""Models as OpenAI's clients list them: base models that may be fine-tuned, and one's own that were."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from finetune30.access import User
from finetune30.api import services
from finetune30.api.deps import CurrentUser, check_task_owner
from finetune30.api.fine_tuning import names
from finetune30.api.fine_tuning.answers import Model, Models
from finetune30.api.fine_tuning.names import ModelName
from finetune30.api.services import Services
from finetune30.api.wanted import base_models
from finetune30.experiments import Experiment, Status
from finetune30.web.problems import Problem

_MOST = 1000


def router() -> APIRouter:
    """``/v1/models``."""
    found = APIRouter(tags=["openai"])
    found.add_api_route("/v1/models", models, methods=["GET"], name="model.list")
    # A name may have a slash in it.
    found.add_api_route("/v1/models/{model:path}", model, methods=["GET"], name="model.show")
    return found


def models(request: Request, user: CurrentUser) -> Models:
    """Base models, then one's own fine-tuned ones, the newest first (at most a thousand)."""
    found = services.of(request)
    mine = found.jobs.store.find(owner=user.name, status=Status.SUCCESS, sort_by="finished_at", limit=_MOST)
    return Models(data=[*_bases(found), *(_own(one) for one in mine)])


def model(request: Request, model: ModelName, user: CurrentUser) -> Model:
    """One model by its name."""
    found = services.of(request)
    if (experiment_id := names.trained_by(model)) is not None:
        return _own(_trained(request, experiment_id, model, user))
    for one in _bases(found):
        if one.id == model:
            return one
    raise _unknown()


def _bases(found: Services) -> list[Model]:
    return [Model(id=name, created=0, owned_by=_maker(name)) for name in base_models(found.settings)]


def _maker(name: str) -> str:
    return "finetune30" if name.startswith("builtin:") or "/" not in name else name.partition("/")[0]


def _own(one: Experiment) -> Model:
    return Model(id=names.fine_tuned(one), created=int(one.finished_at or one.created_at), owned_by=one.owner)


def _trained(request: Request, experiment_id: str, model: str, user: User) -> Experiment:
    try:
        found = check_task_owner(request, experiment_id, user)
    except Problem as problem:
        raise problem if problem.status != 404 else _unknown() from None
    if found.status is not Status.SUCCESS or names.fine_tuned(found) != model:
        raise _unknown()
    return found


def _unknown() -> Problem:
    return Problem(
        404, "model_not_found", "there is no such model", where="path.model", hint="GET /v1/models lists them"
    )
