"""Webhooks: where the end of one's runs is told. One's own; an admin sees to everybody's.

An address is looked at before the transaction: to resolve a name may take seconds, and others would wait.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from finetune30.access import User
from finetune30.api import deeds, services
from finetune30.api.answers_webhooks import Hook, Hooks, NewHook, Sendings, Sent
from finetune30.api.deps import CurrentUser
from finetune30.api.pages import owner_of
from finetune30.api.queries import Id, Limit, Number, Search, digits
from finetune30.errors import NotFound, QuotaExceeded, StateError, WebhookInvalid
from finetune30.web.bodies import Body, body_of, described_as
from finetune30.web.faults import expects
from finetune30.web.problems import Problem
from finetune30.webhooks import Kind, Webhook
from finetune30.webhooks.places import LONGEST_URL

DeliveryNumber = Annotated[int, Path(ge=1, le=2**31 - 1), BeforeValidator(digits)]
# A ping is not waited for.
KindName = Literal["run.succeeded", "run.failed", "run.cancelled", "run.started", "run.paused"]
# What ``places`` takes has this form; that it leads to somebody is looked at there.
_ADDRESS = expects(
    r"^[Hh][Tt][Tt][Pp][Ss]?://[!-\[\]-~]+$", "an address: http:// or https:// and ASCII without spaces and backslashes"
)
_FULL = "you have as many webhooks as one may have"


class WantedHook(Body):
    """A webhook to be made."""

    url: str = Field(min_length=1, max_length=LONGEST_URL, json_schema_extra={"pattern": _ADDRESS})
    kinds: list[KindName] = Field(default=["run.succeeded", "run.failed", "run.cancelled"], min_length=1, max_length=20)


def check_webhook_owner(request: Request, webhook_id: Id, user: CurrentUser) -> Webhook:
    """The webhook, which is the user's own unless they are an admin.

    Raises: Problem 403, 404.
    """
    found = services.of(request).webhooks.find(webhook_id)
    if found is None:
        raise _missing()
    if not user.is_admin and found.owner != user.name:
        raise Problem(403, "forbidden", "this webhook is another user's")
    return found


OwnHook = Annotated[Webhook, Depends(check_webhook_owner)]


def router() -> APIRouter:
    """``/webhooks``."""
    found = APIRouter(tags=["webhooks"])
    add = found.add_api_route
    add("/webhooks", some, methods=["GET"], name="webhook.list")
    extra = described_as(WantedHook, {"url": "https://example.org/hook", "kinds": ["run.failed"]})
    add("/webhooks", make, methods=["POST"], name="webhook.add", status_code=201, openapi_extra=extra)
    add("/webhooks/{webhook_id}", one, methods=["GET"], name="webhook.show")
    add("/webhooks/{webhook_id}", delete, methods=["DELETE"], name="webhook.delete", status_code=204)
    add("/webhooks/{webhook_id}/disable", disable, methods=["POST"], name="webhook.disable")
    add("/webhooks/{webhook_id}/enable", enable, methods=["POST"], name="webhook.enable")
    add("/webhooks/{webhook_id}/test", ping, methods=["POST"], name="webhook.test", status_code=202)
    add("/webhooks/{webhook_id}/deliveries", deliveries, methods=["GET"], name="webhook.deliveries")
    retried = "/webhooks/{webhook_id}/deliveries/{number}/retry"
    add(retried, retry, methods=["POST"], name="webhook.retry", status_code=202)
    return found


def some(request: Request, user: CurrentUser, owner: Search | None = None) -> Hooks:
    """One's webhooks, the oldest first; an admin's list holds everybody's, or those of ``owner``."""
    whose = owner_of(user, owner, everybody=user.is_admin)
    return Hooks(webhooks=[Hook.of(found) for found in services.of(request).webhooks.all(whose)])


def make(request: Request, user: CurrentUser, given: Annotated[WantedHook, Depends(body_of(WantedHook))]) -> NewHook:
    """Have the end of one's runs told to an address; the answer holds the secret, this once."""
    hooks = services.of(request).webhooks
    try:
        hooks.look_at(given.url)
        with deeds.deed(request, user) as deed:
            made, secret = hooks.add(user.name, given.url, map(Kind, given.kinds))
            # Not the address: many hold a secret, and the log is for ever.
            deed.target, deed.detail = made.id, {"kinds": list(map(str, made.kinds))}
    except WebhookInvalid as refusal:
        where = f"body.{refusal.where}"
        raise Problem(422, refusal.code, refusal.message, where=where, hint=refusal.hint) from None
    except QuotaExceeded as refusal:
        later = {"Retry-After": "900"}
        raise Problem(429, refusal.code, _FULL, hint="DELETE one of them first", headers=later) from None
    return NewHook(**Hook.of(made).model_dump(), secret=secret)


def one(found: OwnHook) -> Hook:
    """One webhook, and how it fares."""
    return Hook.of(found)


def delete(request: Request, found: OwnHook, user: CurrentUser) -> Response:
    """Forget a webhook and its deliveries; what waits is not sent."""
    try:
        with deeds.deed(request, user, found.id):
            services.of(request).webhooks.delete(found.id)
    except NotFound:
        raise _missing() from None
    return Response(status_code=204)


def disable(request: Request, found: OwnHook, user: CurrentUser) -> Hook:
    """Tell it nothing more, until it is enabled; what happens meanwhile is not told later."""
    return _changed(request, user, found, on=False)


def enable(request: Request, found: OwnHook, user: CurrentUser) -> Hook:
    """Tell it again."""
    return _changed(request, user, found, on=True)


def ping(request: Request, found: OwnHook, user: CurrentUser) -> Sent:
    """Send it a message of the kind ``ping``, on the way of all others."""
    try:
        with deeds.deed(request, user, found.id) as deed:
            sent = services.of(request).webhooks.ping(found.id)
            deed.detail["delivery"] = sent.number
    except NotFound:
        raise _missing() from None
    except StateError:
        raise _disabled() from None
    return Sent.of(sent)


def deliveries(request: Request, found: OwnHook, limit: Limit = 100, before: Number | None = None) -> Sendings:
    """What was and is to be sent, the newest first; kept for 30 days."""
    rows = services.of(request).webhooks.deliveries(found.id, limit + 1, before)
    some, more = rows[:limit], len(rows) > limit
    return Sendings(deliveries=[Sent.of(each) for each in some], has_more=more, next=some[-1].number if more else None)


def retry(request: Request, found: OwnHook, user: CurrentUser, number: DeliveryNumber) -> Sent:
    """Send it again now, with the same id, whatever came of it before; one that is under way is left alone."""
    try:
        with deeds.deed(request, user, found.id) as deed:
            deed.detail["delivery"] = number
            return Sent.of(services.of(request).webhooks.retry(found.id, number))
    except NotFound:
        raise Problem(404, "not_found", "the webhook has no such delivery") from None
    except StateError:
        raise _disabled() from None


def _changed(request: Request, user: User, found: Webhook, *, on: bool) -> Hook:
    hooks = services.of(request).webhooks
    try:
        with deeds.deed(request, user, found.id):
            return Hook.of(hooks.enable(found.id) if on else hooks.disable(found.id))
    except NotFound:
        raise _missing() from None


def _missing() -> Problem:
    return Problem(404, "not_found", "there is no such webhook", hint="GET /webhooks lists them")


def _disabled() -> Problem:
    return Problem(409, "state_conflict", "the webhook is disabled", hint="POST /webhooks/{webhook_id}/enable first")
