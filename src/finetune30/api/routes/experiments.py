"""Experiments: every run that was ever made, found by what came out of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from finetune30.api import deeds, services
from finetune30.api.answers import Run, Runs, Statistics, WholeRun
from finetune30.api.deps import CurrentUser, OwnTask
from finetune30.api.pages import owner_of, page
from finetune30.api.queries import Cursor, End, Filter, Limit, Search, Seconds, Share, Start, in_order, where_of
from finetune30.errors import StateError
from finetune30.experiments import ExperimentFolder, Status
from finetune30.experiments.search import SortKey
from finetune30.web.problems import Problem

Owner = Annotated[Search, Query(description="me, or (admins) a user's name")]


def router() -> APIRouter:
    """``/experiments``."""
    found = APIRouter(tags=["experiments"])
    add = found.add_api_route
    add("/experiments", experiments, methods=["GET"], name="experiment.list")
    add("/experiments/stats", statistics, methods=["GET"], name="experiment.stats")
    add("/experiments/{task_id}", experiment, methods=["GET"], name="experiment.show")
    add("/experiments/{task_id}", delete, methods=["DELETE"], name="experiment.delete", status_code=204)
    return found


def experiments(
    request: Request,
    user: CurrentUser,
    name: Search | None = None,
    min_accuracy: Share | None = None,
    max_runtime: Seconds | None = None,
    start_date: Start | None = None,
    end_date: End | None = None,
    status: Status | None = None,
    owner: Search | None = None,
    q: Filter | None = None,
    sort_by: SortKey = "created_at",
    desc: bool = True,
    limit: Limit = 100,
    after: Cursor | None = None,
) -> Runs:
    """All experiments that pass the filters: admins only; with ``owner=me`` one's own.

    ``name`` is looked for anywhere in the name, in any case. A date or moment without a zone is UTC.
    """
    whose = _whose(user, owner)
    in_order(start_date, end_date, "query.start_date")
    some, more = page(
        services.of(request),
        user,
        limit,
        after,
        name=name,
        min_accuracy=min_accuracy,
        max_runtime=max_runtime,
        start=start_date,
        end=end_date,
        status=status,
        owner=whose,
        where=where_of(q),
        sort_by=sort_by,
        desc=desc,
    )
    return Runs(experiments=[Run.of(one) for one in some], has_more=more, next=some[-1].id if more else None)


def statistics(request: Request, user: CurrentUser, owner: Search | None = None) -> Statistics:
    """Figures over all experiments: admins only; with ``owner=me`` over one's own."""
    return Statistics.model_validate(services.of(request).jobs.store.statistics(_whose(user, owner)))


def experiment(request: Request, task: OwnTask) -> WholeRun:
    """One experiment with its configuration and figures; ``POST /train`` takes the configuration as it is."""
    folder = ExperimentFolder(services.of(request).settings.results_dir, task.id)
    return WholeRun.of_whole(task, folder.size_bytes())


def delete(request: Request, task: OwnTask, user: CurrentUser) -> Response:
    """Forget an experiment and remove its folder. It must not run, and no model may be made of it."""
    found = services.of(request)
    folder = ExperimentFolder(found.settings.results_dir, task.id)
    size = folder.size_bytes()  # before the transaction: others wait for it
    with deeds.deed(request, user, task.id) as deed:
        found.models.refuse_registered(task.id)
        deed.detail["bytes"] = size
        try:
            found.jobs.store.delete(task.id)
        except StateError:
            raise Problem(409, "state_conflict", "it is running", hint="POST /task/{task_id}/cancel first") from None
    # Should this fail, `finetune30 runs gc` finds the folder: it belongs to no row.
    folder.delete()
    return Response(status_code=204)


def _whose(user: CurrentUser, owner: str | None) -> str | None:
    if owner is None and not user.is_admin:
        raise Problem(403, "forbidden", "only admins may see everybody's experiments", hint="ask with owner=me")
    return owner_of(user, owner, everybody=True)
