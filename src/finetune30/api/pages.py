"""Pages of lists, and whose things a list may hold.

Neighbours: ``experiments.search`` has the order; routes of tasks and of experiments share this.
"""

from __future__ import annotations

from typing import Any

from finetune30.access import User
from finetune30.api.services import Services
from finetune30.experiments import Experiment, Overview
from finetune30.web.problems import Problem

ME = "me"


def owner_of(user: User, wanted: str | None, *, everybody: bool) -> str | None:
    """Whose things are listed; None for everybody's.

    Args:
        wanted: ``me`` or a user's name, as it was asked for.
        everybody: Without a wish the list holds all there are.
    Raises: Problem 403 for others' things, unless an admin asks.
    """
    if wanted is None:
        return None if everybody else user.name
    if wanted in (ME, user.name):
        return user.name
    if not user.is_admin:
        raise Problem(403, "forbidden", "only admins may list what is not theirs", hint="ask with owner=me")
    return wanted


def page(services: Services, user: User, limit: int, after: str | None, **filters: Any) -> tuple[list[Overview], bool]:
    """A page of experiments behind ``after``, and whether more follow.

    Raises: Problem 404 for an ``after`` that is none of the user's.
    """
    last = _last(services, user, after)
    found = services.jobs.store.overview(**filters, after=last, limit=limit + 1)
    return found[:limit], len(found) > limit


def whole_page(
    services: Services, user: User, limit: int, after: str | None, **filters: Any
) -> tuple[list[Experiment], bool]:
    """As ``page``, with configurations and figures, for short pages.

    Raises: as ``page``.
    """
    last = _last(services, user, after)
    found = services.jobs.store.find(**filters, after=last, limit=limit + 1)
    return found[:limit], len(found) > limit


def _last(services: Services, user: User, after: str | None) -> Experiment | None:
    last = None if after is None else services.jobs.store.look_up(after)
    if after is not None and (last is None or not (user.is_admin or last.owner == user.name)):
        raise Problem(404, "not_found", "expected the last id of the page before", where="query.after")
    return last
