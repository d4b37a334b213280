"""Who takes jobs, for admins: the workers heard of lately, and what each of them does."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from finetune30.api import services
from finetune30.api.answers_workers import Workers, WorkerTold
from finetune30.api.deps import Admin


def router() -> APIRouter:
    """``/workers``."""
    found = APIRouter(tags=["operations"])
    found.add_api_route("/workers", everybody, methods=["GET"], name="worker.list")
    return found


def everybody(request: Request, _admin: Admin) -> Workers:
    """The workers heard of lately, by name; ``alive`` are those heard of within a lease."""
    queue = services.of(request).jobs.queue
    running: dict[str, list[str]] = {}
    for worker, task_id in queue.held():
        running.setdefault(worker, []).append(task_id)
    return Workers(workers=[WorkerTold.of(one, running.get(one.name, [])) for one in queue.workers()])
