"""Logging in and out, and who one is. A wrong password and an unknown name answer alike."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from finetune30 import database
from finetune30.access import Outcome, Pair, User
from finetune30.access.passwords import LONGEST, SHORTEST
from finetune30.api import deeds, services
from finetune30.api.answers import Person, Session
from finetune30.api.deps import CurrentUser, bearer_of
from finetune30.errors import Busy, LoginRefused, TokenRefused
from finetune30.web.bodies import Body, body_of, described_as
from finetune30.web.gate import address_of
from finetune30.web.problems import Problem, unauthenticated

_PATIENCE_S = 5.0
_NO_NUL = r"^[^\x00]*$"


class Credentials(Body):
    """A name and its password."""

    username: str = Field(min_length=1, max_length=200, pattern=_NO_NUL)
    password: str = Field(min_length=1, max_length=1024, pattern=_NO_NUL)


class Refresh(Body):
    """The refresh token of the last login or refresh."""

    refresh_token: str = Field(min_length=1, max_length=512, pattern=_NO_NUL)


class NewPassword(Body):
    """The password one has and the one one wants."""

    current_password: str = Field(min_length=1, max_length=1024, pattern=_NO_NUL)
    new_password: str = Field(min_length=SHORTEST, max_length=LONGEST, pattern=_NO_NUL)


_LOGIN = {"username": "ana", "password": "correct horse battery staple"}


def router() -> APIRouter:
    """``/login``, ``/token/refresh``, ``/logout``, ``/me``."""
    found = APIRouter(tags=["login"])
    add = found.add_api_route
    add("/login", login, methods=["POST"], name="login", openapi_extra=described_as(Credentials, _LOGIN))
    example = {"refresh_token": "…"}
    add(
        "/token/refresh",
        refresh,
        methods=["POST"],
        name="token.refresh",
        openapi_extra=described_as(Refresh, example),
    )
    add("/logout", logout, methods=["POST"], name="logout", status_code=204)
    add("/me", me, methods=["GET"], name="me")
    changed = {"current_password": "correct horse battery staple", "new_password": "four other words again"}
    add(
        "/me/password",
        change_password,
        methods=["POST"],
        name="user.password",
        status_code=204,
        openapi_extra=described_as(NewPassword, changed),
    )
    return found


async def login(request: Request, given: Annotated[Credentials, Depends(body_of(Credentials))]) -> Session:
    """Log in: a token for 30 minutes, and a refresh token for the next one."""
    user = await _verified(request, given.username, given.password)
    pair = await run_in_threadpool(_begin, request, user)
    return _session(pair)


async def refresh(request: Request, given: Annotated[Refresh, Depends(body_of(Refresh))]) -> Session:
    """Go on with a new token; the refresh token is used up, the answer holds the next one.

    Who sends a used one later than ten seconds ends the session: two parties hold it.
    """
    tokens = services.of(request).access.tokens

    def note(connection: Connection, user: User, replayed: bool) -> None:
        outcome, detail = (Outcome.DENIED, {"code": "replayed"}) if replayed else (Outcome.OK, {})
        deeds.record(request, connection, user, outcome, deeds.Deed(user.id, detail))

    try:
        return _session(await run_in_threadpool(tokens.refresh, given.refresh_token, note))
    except TokenRefused:
        raise unauthenticated("the refresh token is not valid, or no longer") from None


def logout(request: Request, user: CurrentUser) -> Response:
    """End this session: its token and its refresh token are good no longer."""
    with deeds.deed(request, user, user.id):
        services.of(request).access.tokens.logout(bearer_of(request))
    return Response(status_code=204)


def me(user: CurrentUser) -> Person:
    """Who the token says one is."""
    return Person.of(user)


async def change_password(
    request: Request, user: CurrentUser, given: Annotated[NewPassword, Depends(body_of(NewPassword))]
) -> Response:
    """Change one's password; all sessions end, this one too."""
    try:
        await _verified(request, user.name, given.current_password)
    except Problem as problem:
        if problem.status != 401:
            raise
        raise Problem(403, "login_refused", "the current password is wrong", where="body.current_password") from None

    def change() -> None:
        with deeds.deed(request, user, user.id):
            services.of(request).access.users.set_password(user.id, given.new_password)

    await run_in_threadpool(change)
    return Response(status_code=204)


async def _verified(request: Request, name: str, password: str) -> User:
    """The user of this password, unless there were too many wrong ones.

    Raises: Problem 401, 429; Busy.
    """
    found, address = services.of(request), address_of(request.scope)
    await found.rates.check_login(name, address)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await found.logins.acquire()
        try:
            # Again: those before it in this line may have been wrong. A burst must not get more tries than a row.
            await found.rates.check_login(name, address)
            user = await run_in_threadpool(found.access.users.verify, name, password)
        except LoginRefused:
            await found.rates.login_failed(name, address)
            raise
        finally:
            found.logins.release()
    except TimeoutError:
        raise Busy("too many log in just now") from None
    except LoginRefused:
        # Known or not, the name is looked for: both take the same time. An unknown one is not written down,
        # for people type passwords into the wrong field.
        request.state.user = await run_in_threadpool(found.access.users.find, name)
        raise unauthenticated("name and password do not belong together") from None
    await found.rates.login_succeeded(name)
    return user


def _begin(request: Request, user: User) -> Pair:
    found = services.of(request)
    with database.write(found.engine) as connection:
        pair = found.access.tokens.issue(user)
        deeds.record(request, connection, user, Outcome.OK, deeds.Deed(user.id))
    return pair


def _session(pair: Pair) -> Session:
    return Session(
        token=pair.token,
        expires_in=pair.expires_in,
        refresh_token=pair.refresh_token,
        user_id=pair.user.id,
        role=pair.user.role,
    )
