"""API keys: one's own, for programs that predict. The API itself takes none of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field
from starlette.requests import Request

from finetune30.access.keys import LONGEST_NAME, MOST
from finetune30.api import deeds, services
from finetune30.api.answers_keys import KeysTold, KeyTold, NewKeyTold
from finetune30.api.deps import CurrentUser
from finetune30.errors import BadInput, StateError
from finetune30.web.bodies import Body, body_of, described_as
from finetune30.web.faults import expects
from finetune30.web.problems import Problem

_DAY_S = 86_400.0
KEY_ID = expects(r"^k_[0-9a-f]{16}$", "the id of a key: k_ and 16 of 0-9 and a-f")
KeyId = Annotated[str, Path(pattern=KEY_ID)]


class NewKey(Body):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME, description="What it is for: a label")
    expires_days: int | None = Field(default=None, ge=1, le=3650, description="None: never")


def router() -> APIRouter:
    """``/keys``."""
    found = APIRouter(tags=["keys"])
    add = found.add_api_route
    add("/keys", mine, methods=["GET"], name="key.list")
    extra = described_as(NewKey, {"name": "shop", "expires_days": 90})
    add("/keys", make, methods=["POST"], name="key.add", status_code=201, openapi_extra=extra)
    add("/keys/{key_id}", revoke, methods=["DELETE"], name="key.revoke")
    return found


def mine(request: Request, user: CurrentUser) -> KeysTold:
    """One's own keys, the newest first."""
    return KeysTold(keys=[KeyTold.of(key) for key in services.of(request).access.keys.of_user(user.id)])


def make(request: Request, user: CurrentUser, given: Annotated[NewKey, Depends(body_of(NewKey))]) -> NewKeyTold:
    """Make a key; ``key`` is told here and never again."""
    life_s = None if given.expires_days is None else given.expires_days * _DAY_S
    try:
        with deeds.deed(request, user) as deed:
            made, secret = services.of(request).access.keys.make(user.id, given.name, life_s)
            deed.target, deed.detail = made.id, {"name": made.name}
    except StateError:
        detail = f"a user may have {MOST} keys, and has them"
        raise Problem(409, "state_conflict", detail, hint="DELETE one that is not used") from None
    except BadInput:
        raise Problem(
            422, "request_invalid", "expected a name of characters that can be seen", where="body.name"
        ) from None
    return NewKeyTold.of(made, key=secret)


def revoke(request: Request, user: CurrentUser, key_id: KeyId) -> KeyTold:
    """End a key for good; within a second nobody predicts with it."""
    keys = services.of(request).access.keys
    found = keys.find(key_id)
    if found is None:
        raise Problem(404, "not_found", "there is no such key", hint="GET /keys lists yours")
    if not user.is_admin and found.user_id != user.id:
        raise Problem(403, "forbidden", "this key is another user's")
    with deeds.deed(request, user, key_id) as deed:
        deed.detail["name"] = found.name
        return KeyTold.of(keys.revoke(key_id))
