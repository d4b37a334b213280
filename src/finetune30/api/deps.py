"""Who asks, and may they? The three rules of the house, by the names of the specification.

``get_current_user`` wants a valid token, ``check_admin`` an admin, ``check_task_owner`` the owner of a task or an
admin. Every route has one of them or stands in the list of those open to all: ``rules`` fails the start otherwise.
Neighbours: ``access.tokens`` reads tokens, and looks up role and session at each request.
"""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from finetune30.access import User
from finetune30.api import services
from finetune30.api.queries import Id
from finetune30.errors import TokenRefused
from finetune30.experiments import Experiment
from finetune30.web.problems import Problem, unauthenticated

_LONGEST_TOKEN = 4096
# For the documentation; the header is read below, more strictly.
_SCHEME = HTTPBearer(auto_error=False, bearerFormat="JWT", description="The token of POST /login")


async def get_current_user(request: Request, _: Annotated[object, Depends(_SCHEME)]) -> User:
    """The user whose token this is, as they are now.

    Raises: Problem 401, 429.
    """
    user = await user_of(request, bearer_of(request))
    request.state.user, request.state.user_id = user, user.id
    await services.of(request).rates.check("user", user.id, request.method)
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


def check_admin(user: CurrentUser) -> User:
    """The user, who is an admin.

    Raises: Problem 403.
    """
    if not user.is_admin:
        raise Problem(403, "forbidden", "only admins may do this")
    return user


def check_task_owner(request: Request, task_id: Id, user: CurrentUser) -> Experiment:
    """The task, which is the user's own unless they are an admin.

    Raises: Problem 403, 404.
    """
    task = services.of(request).jobs.store.look_up(task_id)
    if task is None:
        raise Problem(404, "not_found", "there is no such task", hint="GET /tasks lists your tasks")
    if not user.is_admin and task.owner != user.name:
        raise Problem(403, "forbidden", "this task is another user's")
    return task


async def check_monitor(request: Request, scheme: Annotated[object, Depends(_SCHEME)]) -> None:
    """Whoever holds METRICS_TOKEN, or an admin.

    Raises: Problem 401, 403.
    """
    expected, given = services.of(request).settings.metrics_token, bearer_of(request)
    if expected is None or not hmac.compare_digest(given.encode(), expected.encode()):
        check_admin(await get_current_user(request, scheme))


Admin = Annotated[User, Depends(check_admin)]
OwnTask = Annotated[Experiment, Depends(check_task_owner)]


def bearer_of(request: Request) -> str:
    """The token of the Authorization header; cookies, forms and queries are never looked at.

    Raises: Problem 401.
    """
    given = request.headers.getlist("authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _LONGEST_TOKEN or not token.isascii() or " " in token:
        raise unauthenticated()
    return token


async def user_of(request: Request, token: str) -> User:
    """Whose token it is.

    Raises: Problem 401.
    """
    try:
        return await run_in_threadpool(services.of(request).access.tokens.read, token)
    except TokenRefused:
        raise unauthenticated("the token is not valid, or no longer") from None
