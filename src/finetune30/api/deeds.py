"""A change and its row in the audit log, committed together or not at all.

A route that changes something does it within ``deed``; what is refused is noted by ``refused``, after the
change was rolled back. Neighbours: ``access.audit`` keeps the chain, ``handlers`` notes refusals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request

from finetune30 import database
from finetune30.access import Outcome, User
from finetune30.api import services
from finetune30.web.gate import address_of
from finetune30.web.problems import Problem

NOBODY = "anonymous"
ASKING = frozenset({"config.check"})
"""Routes that change nothing and are POST because a question has a body: they leave no row."""
# Refusals that are not noted: a flood of requests must not fill the log, and nothing was asked of a right.
_UNNOTED = frozenset({404, 405, 408, 413, 429, 500, 503})


@dataclass
class Deed:
    """What the row will say: to what it was done, and anything else worth keeping."""

    target: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@contextmanager
def deed(request: Request, user: User, target: str = "") -> Iterator[Deed]:
    """One transaction around a change; its row is the last thing written in it.

    Raises: StorageError if either cannot be written; then neither is.
    """
    found = services.of(request)
    told = Deed(target)
    with database.write(found.engine) as connection:
        with found.bell.within(connection, found.jobs.queue):
            yield told
        record(request, connection, user, Outcome.OK, told)


def record(request: Request, connection: Connection, user: User | None, outcome: Outcome, told: Deed) -> None:
    """One row about this request, in the caller's transaction."""
    services.of(request).access.audit.record(
        connection,
        actor_id=user.id if user else None,
        actor_name=user.name if user else NOBODY,
        role=str(user.role) if user else "",
        action=action_of(request),
        target=told.target,
        outcome=str(outcome),
        address=address_of(request.scope),
        request_id=request.state.request_id,
        detail=told.detail or None,
    )


def refused(request: Request, problem: Problem) -> None:
    """Note that something was denied to somebody, or that a change failed; a read that failed is no deed."""
    user: User | None = getattr(request.state, "user", None)
    reads = request.method in ("GET", "HEAD", "OPTIONS") or action_of(request) in ASKING
    if problem.status in _UNNOTED or (reads and problem.status != 403) or (user is None and not _is_entrance(request)):
        return
    outcome = Outcome.DENIED if problem.status in (401, 403) else Outcome.FAILED
    target = str(next(iter(request.path_params.values()), ""))
    with database.write(services.of(request).engine) as connection:
        record(request, connection, user, outcome, Deed(target, {"code": problem.code}))


def action_of(request: Request) -> str:
    """The name of what was asked for, such as ``task.cancel``."""
    return str(getattr(request.scope.get("route"), "name", "unknown"))


def _is_entrance(request: Request) -> bool:
    return action_of(request) == "login"
