"""Tasks: a training that was asked for, and what may be done with it until it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from pydantic import BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from finetune30.access import User
from finetune30.api import deeds, reading, services
from finetune30.api.answers import Submitted, Task, Tasks, WholeTask, task_of
from finetune30.api.deps import CurrentUser, OwnTask
from finetune30.api.pages import owner_of, page
from finetune30.api.queries import Cursor, Filter, Limit, Search, digits, figures, where_of
from finetune30.api.wanted import schema, wanted
from finetune30.errors import StateError
from finetune30.experiments import Experiment, ExperimentFolder, Status, Wish
from finetune30.jobs.telling import everything
from finetune30.web.bodies import config_object, described
from finetune30.web.problems import Problem

Priority = Annotated[
    int, Field(ge=-100, le=100), BeforeValidator(digits), Query(description="The highest of one's own first")
]
Lines = Annotated[int, Field(ge=1, le=10_000), BeforeValidator(digits), Query(description="So many lines from the end")]
Longest = Annotated[float, Field(ge=10, le=1e9, allow_inf_nan=False), BeforeValidator(figures)]
Key = Annotated[
    Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,200}$")] | None,
    Header(alias="Idempotency-Key", description="The same key and body make one task"),
]
_EXAMPLE = {"experiment_name": "first", "training": {"num_train_epochs": 1}, "data": {"train_samples": 200}}


def router() -> APIRouter:
    """``/train``, ``/tasks`` and ``/task/{task_id}``."""
    found = APIRouter(tags=["tasks"])
    add = found.add_api_route
    add(
        "/train",
        train,
        methods=["POST"],
        name="task.submit",
        status_code=202,
        openapi_extra=described(schema(), _EXAMPLE),
    )
    add("/tasks", tasks, methods=["GET"], name="task.list")
    add("/task/{task_id}", task, methods=["GET"], name="task.show")
    add("/task/{task_id}/logs", logs, methods=["GET"], name="task.logs", response_class=Response)
    for verb, function in (("cancel", cancel), ("pause", pause), ("resume", resume)):
        add(f"/task/{{task_id}}/{verb}", function, methods=["POST"], name=f"task.{verb}", status_code=202)
    add("/task/{task_id}/retry", retry, methods=["POST"], name="task.retry", status_code=202)
    return found


def train(
    request: Request,
    response: Response,
    user: CurrentUser,
    values: Annotated[dict[str, Any], Depends(config_object)],
    queue: Search | None = None,
    priority: Priority = 0,
    max_runtime_s: Longest | None = None,
    idempotency_key: Key = None,
) -> Submitted:
    """Submit a training. The body holds the keys of a configuration file; what it leaves out has its default.

    202 means that the task is kept and will run, whatever fails meanwhile.
    """
    found = services.of(request)
    queue = _checked_queue(queue, found.settings.queues)
    max_runtime_s = _checked_runtime(max_runtime_s, found.settings.max_runtime_s)
    config = wanted(values, user, found)
    wish = Wish(queue=queue, priority=priority, max_runtime_s=max_runtime_s, idempotency_key=idempotency_key)
    with deeds.deed(request, user) as deed:
        made = found.jobs.submit(config, user.name, wish)
        deed.target = made.id
    response.headers["Location"] = f"/task/{made.id}"
    return Submitted(**_told(request, made).model_dump(), notes=list(config.notes))


def tasks(
    request: Request,
    user: CurrentUser,
    status: Status | None = None,
    owner: Search | None = None,
    q: Filter | None = None,
    limit: Limit = 100,
    after: Cursor | None = None,
) -> Tasks:
    """One's tasks, the newest first; an admin's list holds everybody's, or those of ``owner``."""
    found = services.of(request)
    whose = owner_of(user, owner, everybody=user.is_admin)
    some, more = page(found, user, limit, after, status=status, owner=whose, where=where_of(q))
    waiting = [one.id for one in some if one.status is Status.PENDING]
    places = found.jobs.places(waiting)
    return Tasks(
        tasks=[task_of(one, places.get(one.id)) for one in some], has_more=more, next=some[-1].id if more else None
    )


def task(request: Request, task: OwnTask) -> WholeTask:
    """Everything about a task: its state, place, progress, history, configuration and result."""
    jobs = services.of(request).jobs
    place = jobs.places([task.id]).get(task.id) if task.status is Status.PENDING else None
    told = everything(task, place, jobs.store.attempts(task.id), jobs.queue.events(task.id))
    return WholeTask.model_validate({**told, "queue_position": told["position"], "result": _result(task)})


def logs(request: Request, task: OwnTask, tail: Lines = 200) -> Response:
    """The end of its log, as text; empty where it has not begun."""
    folder = ExperimentFolder(services.of(request).settings.results_dir, task.id)
    return Response(reading.last_lines(folder.logs_txt, tail), media_type="text/plain; charset=utf-8")


def cancel(request: Request, task: OwnTask, user: CurrentUser) -> Task:
    """Stop it: at once if nobody runs it, else at its next heartbeat."""
    return _changed(request, user, task, services.of(request).jobs.cancel)


def pause(request: Request, task: OwnTask, user: CurrentUser) -> Task:
    """Let it wait until it is resumed; a running one stops at a checkpoint first."""
    return _changed(request, user, task, services.of(request).jobs.pause)


def resume(request: Request, task: OwnTask, user: CurrentUser) -> Task:
    """Let a paused one wait for a worker again."""
    return _changed(request, user, task, services.of(request).jobs.resume)


def retry(
    request: Request,
    response: Response,
    task: OwnTask,
    user: CurrentUser,
    fresh: bool = False,
    queue: Search | None = None,
    priority: Priority | None = None,
    max_runtime_s: Longest | None = None,
) -> Task:
    """Run an ended one again as a new task: a failed one from its checkpoints on, unless ``fresh``.

    ``queue``, ``priority`` and ``max_runtime_s`` are those of before unless said otherwise.
    """
    jobs, settings = services.of(request).jobs, services.of(request).settings
    wish: dict[str, Any] = {
        "queue": None if queue is None else _checked_queue(queue, settings.queues),
        "priority": priority,
        "max_runtime_s": _checked_runtime(max_runtime_s, settings.max_runtime_s),
    }
    made = _changed(request, user, task, lambda task_id: jobs.retry(task_id, task.owner, fresh=fresh, **wish))
    response.headers["Location"] = f"/task/{made.task_id}"
    return made


def changed(request: Request, user: User, task: Experiment, change: Callable[[str], Experiment]) -> Experiment:
    """The task after a change of its state, with a row of the audit log.

    Raises: Problem 409.
    """
    try:
        with deeds.deed(request, user, task.id) as deed:
            found = change(task.id)
            if found.id != task.id:
                deed.detail["made"] = found.id
    except StateError:
        now = services.of(request).jobs.store.look_up(task.id) or task
        state = "paused" if now.paused else str(now.status)
        raise Problem(409, "state_conflict", f"the task is {state}, which does not allow this") from None
    return found


def _changed(request: Request, user: User, task: Experiment, change: Callable[[str], Experiment]) -> Task:
    return _told(request, changed(request, user, task, change))


def _told(request: Request, task: Experiment) -> Task:
    jobs = services.of(request).jobs
    return task_of(task, jobs.places([task.id]).get(task.id) if task.status is Status.PENDING else None)


def _result(task: Experiment) -> dict[str, Any] | None:
    if task.status is not Status.SUCCESS:
        return None
    figures = task.metrics or {}
    return {
        "accuracy": task.eval_accuracy,
        "train_runtime": task.train_runtime,
        "eval": figures.get("eval"),
        "test": figures.get("test"),
    }


def _checked_queue(queue: str | None, known: tuple[str, ...]) -> str:
    if queue is None:
        return known[0]
    if queue not in known:
        raise Problem(422, "query_invalid", f"expected one of {', '.join(known)}", where="query.queue")
    return queue


def _checked_runtime(wanted_s: float | None, longest_s: float) -> float | None:
    if wanted_s is not None and longest_s and wanted_s > longest_s:
        raise Problem(
            422, "query_invalid", f"expected at most {longest_s:g} (MAX_RUNTIME_S)", where="query.max_runtime_s"
        )
    return wanted_s
