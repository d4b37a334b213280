"""Fine-tuning jobs as OpenAI's clients submit, follow, pause, resume and cancel them.

Who may what, quotas, rates and the audit log are those of the tasks: a job is a task under another name.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request

from finetune30.api import deeds, services
from finetune30.api.deps import CurrentUser, check_task_owner
from finetune30.api.fine_tuning import history, names
from finetune30.api.fine_tuning.answers import FineTuningJob, JobCheckpoint, JobEvent, Page, paged
from finetune30.api.fine_tuning.bodies import NewJob, metadata_filter
from finetune30.api.fine_tuning.jobs import config_of, jobs_of
from finetune30.api.fine_tuning.names import CheckpointCursor, EventCursor, JobCursor, JobId
from finetune30.api.pages import owner_of, whole_page
from finetune30.api.queries import Limit
from finetune30.api.routes.tasks import Key, changed
from finetune30.experiments import Experiment, Wish
from finetune30.web.bodies import body_of, described_as
from finetune30.web.problems import Problem

_EXAMPLE = {
    "model": "builtin:minilm",
    "training_file": "file-0123456789abcdef",
    "suffix": "reviews",
    "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    "metadata": {"team": "support"},
}
_METADATA = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "description": "metadata[key]=value: only jobs on which all of these are written; metadata=null: nothing at all",
    "schema": {
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512},
    },
}
Bare = Annotated[Literal["null"] | None, Query(include_in_schema=False)]  # as ``_METADATA`` says
Few = Annotated[Limit, Field(description="At most so many")]


def own_job(request: Request, fine_tuning_job_id: JobId, user: CurrentUser) -> Experiment:
    """The job, which is the user's own unless they are an admin.

    Raises: Problem 403, 404.
    """
    return check_task_owner(request, names.experiment_of(fine_tuning_job_id), user)


OwnJob = Annotated[Experiment, Depends(own_job)]


def router() -> APIRouter:
    """``/v1/fine_tuning/jobs``."""
    found = APIRouter(tags=["openai"])
    add, path = found.add_api_route, "/v1/fine_tuning/jobs"
    add(path, submit, methods=["POST"], name="task.submit", openapi_extra=described_as(NewJob, _EXAMPLE))
    add(path, jobs, methods=["GET"], name="job.list", openapi_extra={"parameters": [_METADATA]})
    one = f"{path}/{{fine_tuning_job_id}}"
    add(one, job, methods=["GET"], name="job.show")
    for verb, function in (("cancel", cancel), ("pause", pause), ("resume", resume)):
        add(f"{one}/{verb}", function, methods=["POST"], name=f"task.{verb}")
    add(f"{one}/events", events, methods=["GET"], name="job.events")
    add(f"{one}/checkpoints", checkpoints, methods=["GET"], name="job.checkpoints")
    return found


def submit(
    request: Request,
    user: CurrentUser,
    given: Annotated[NewJob, Depends(body_of(NewJob))],
    idempotency_key: Key = None,
) -> FineTuningJob:
    """Submit a classification job. What the body leaves out, and every ``auto``, is as the server's defaults say.

    The same ``Idempotency-Key`` and body make one job.
    """
    found = services.of(request)
    config = config_of(given, user, found)
    wish = Wish(queue=found.settings.queues[0], idempotency_key=idempotency_key, metadata=given.metadata or {})
    with deeds.deed(request, user) as deed:
        made = found.jobs.submit(config, user.name, wish)
        deed.target = made.id
    return jobs_of([made], found)[0]


def jobs(
    request: Request,
    user: CurrentUser,
    written: Annotated[dict[str, str], Depends(metadata_filter)],
    metadata: Bare = None,
    limit: Few = 20,
    after: JobCursor | None = None,
) -> Page[FineTuningJob]:
    """One's jobs, the newest first, however they were submitted; an admin's list holds everybody's."""
    if metadata is not None and written:
        raise Problem(422, "query_invalid", "metadata=null does not go with metadata[k]=v", where="query.metadata")
    found = services.of(request)
    some, more = whole_page(
        found,
        user,
        limit,
        None if after is None else names.experiment_of(after),
        owner=owner_of(user, None, everybody=user.is_admin),
        metadata=written,
        bare=metadata is not None,
    )
    return Page[FineTuningJob](**paged(jobs_of(some, found), more))


def job(request: Request, task: OwnJob) -> FineTuningJob:
    """One job."""
    return _told(request, task)


def cancel(request: Request, task: OwnJob, user: CurrentUser) -> FineTuningJob:
    """Stop it: at once if nobody runs it, else at its next heartbeat."""
    return _told(request, changed(request, user, task, services.of(request).jobs.cancel))


def pause(request: Request, task: OwnJob, user: CurrentUser) -> FineTuningJob:
    """Let it wait until it is resumed; a running one stops at a checkpoint first, and is ``running`` until then."""
    return _told(request, changed(request, user, task, services.of(request).jobs.pause))


def resume(request: Request, task: OwnJob, user: CurrentUser) -> FineTuningJob:
    """Let a paused one wait for a worker again."""
    return _told(request, changed(request, user, task, services.of(request).jobs.resume))


def events(request: Request, task: OwnJob, limit: Few = 20, after: EventCursor | None = None) -> Page[JobEvent]:
    """What happened to it, the newest first; ``data`` of an evaluation has its figures."""
    return Page[JobEvent](**paged(*history.events_of(task, services.of(request), after, limit)))


def checkpoints(
    request: Request, task: OwnJob, limit: Few = 10, after: CheckpointCursor | None = None
) -> Page[JobCheckpoint]:
    """The checkpoints that are kept (best, last and fastest), the newest first."""
    return Page[JobCheckpoint](**paged(*history.checkpoints_of(task, services.of(request), after, limit)))


def _told(request: Request, task: Experiment) -> FineTuningJob:
    return jobs_of([task], services.of(request))[0]
