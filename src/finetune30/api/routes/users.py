"""Users, for admins. Nobody is ever deleted: what they did keeps its name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field
from starlette.requests import Request

from finetune30.access import Role, User
from finetune30.access.passwords import LONGEST, SHORTEST
from finetune30.api import deeds, services
from finetune30.api.answers import People, Person
from finetune30.api.deps import Admin
from finetune30.errors import StateError
from finetune30.web.bodies import Body, body_of, described_as
from finetune30.web.problems import Problem

UserId = Annotated[str, Path(pattern=r"^u_[0-9a-f]{16}$")]
RoleName = Annotated[Role, Field(strict=False)]


class NewUser(Body):
    """A user to be made."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._@+-]{0,63}$")
    role: RoleName = Role.USER
    password: str = Field(min_length=SHORTEST, max_length=LONGEST)


class NewRole(Body):
    """What a user may do from now on."""

    role: RoleName


class Password(Body):
    """A password an admin sets."""

    password: str = Field(min_length=SHORTEST, max_length=LONGEST)


def router() -> APIRouter:
    """``/users``."""
    found = APIRouter(tags=["users"])
    add = found.add_api_route
    example = {"name": "ana", "role": "user", "password": "correct horse battery staple"}
    add("/users", everybody, methods=["GET"], name="user.list")
    extra = described_as(NewUser, example)
    add("/users", make, methods=["POST"], name="user.add", status_code=201, openapi_extra=extra)
    add("/users/{user_id}", one, methods=["GET"], name="user.show")
    add("/users/{user_id}/disable", disable, methods=["POST"], name="user.disable")
    add("/users/{user_id}/enable", enable, methods=["POST"], name="user.enable")
    extra = described_as(NewRole, {"role": "admin"})
    add("/users/{user_id}/role", set_role, methods=["POST"], name="user.role", openapi_extra=extra)
    extra = described_as(Password, {"password": "four other words again"})
    add("/users/{user_id}/password", set_password, methods=["POST"], name="user.password", openapi_extra=extra)
    return found


def everybody(request: Request, _admin: Admin) -> People:
    """All users by name, the disabled ones too."""
    return People(users=[Person.of(user) for user in services.of(request).access.users.all()])


def make(request: Request, admin: Admin, given: Annotated[NewUser, Depends(body_of(NewUser))]) -> Person:
    """Make a user."""
    try:
        with deeds.deed(request, admin) as deed:
            made = services.of(request).access.users.add(given.name, given.role, given.password)
            deed.target, deed.detail = made.id, {"name": made.name, "role": str(made.role)}
    except StateError:
        raise Problem(409, "state_conflict", "the name is taken", where="body.name") from None
    return Person.of(made)


def one(request: Request, _admin: Admin, user_id: UserId) -> Person:
    """One user."""
    return Person.of(_existing(request, user_id))


def disable(request: Request, admin: Admin, user_id: UserId) -> Person:
    """Let a user in no more; their sessions end at once, what they own stays."""
    _existing(request, user_id)
    try:
        with deeds.deed(request, admin, user_id):
            return Person.of(services.of(request).access.users.disable(user_id))
    except StateError:
        raise _last_admin() from None


def enable(request: Request, admin: Admin, user_id: UserId) -> Person:
    """Let a disabled user in again."""
    _existing(request, user_id)
    with deeds.deed(request, admin, user_id):
        return Person.of(services.of(request).access.users.enable(user_id))


def set_role(
    request: Request, admin: Admin, user_id: UserId, given: Annotated[NewRole, Depends(body_of(NewRole))]
) -> Person:
    """Change what a user may do; their sessions end."""
    _existing(request, user_id)
    try:
        with deeds.deed(request, admin, user_id) as deed:
            deed.detail["role"] = str(given.role)
            return Person.of(services.of(request).access.users.set_role(user_id, given.role))
    except StateError:
        raise _last_admin() from None


def set_password(
    request: Request, admin: Admin, user_id: UserId, given: Annotated[Password, Depends(body_of(Password))]
) -> Person:
    """Set a user's password; their sessions end."""
    _existing(request, user_id)
    with deeds.deed(request, admin, user_id):
        return Person.of(services.of(request).access.users.set_password(user_id, given.password))


def _existing(request: Request, user_id: str) -> User:
    found = services.of(request).access.users.find(user_id)
    if found is None:
        raise Problem(404, "not_found", "there is no such user", hint="GET /users lists them")
    return found


def _last_admin() -> Problem:
    return Problem(409, "state_conflict", "this is the last admin", hint="make another one first")
