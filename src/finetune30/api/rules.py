"""Default-deny, looked at before the first request: a route without a rule fails the start.

Neighbours: ``deps`` has the rules, ``app`` calls this with all routes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from finetune30.api.deps import check_monitor, get_current_user
from finetune30.api.queries import known_once

# Open to everybody: who cannot log in yet, who watches over the service, and in development the documentation.
PUBLIC = frozenset({"/health", "/ready", "/login", "/token/refresh"})
PUBLIC_DOCS = frozenset({"/docs", "/openapi.json"})
_RULES: frozenset[Callable[..., Any]] = frozenset({get_current_user, check_monitor})


class UnruledRouteError(RuntimeError):
    """A mistake of ours: a route that anybody could use."""


def enforce(routes: Iterable[BaseRoute], *, docs: bool) -> None:
    """See that every route has its rule, and let each refuse parameters it does not know.

    Args:
        docs: The documentation is served.
    Raises: UnruledRouteError.
    """
    for route in routes:
        path = getattr(route, "path", "")
        if not isinstance(route, APIRoute):
            if not (docs and path in PUBLIC_DOCS):
                raise UnruledRouteError(f"{path or route}: not one of our routes, nobody knows who may use it")
            continue
        if path not in PUBLIC and _RULES.isdisjoint(one.call for one in _all(route.dependant)):
            raise UnruledRouteError(f"{path} has none of the rules of deps")
        _know_parameters(route)


def _know_parameters(route: APIRoute) -> None:
    every = (route.dependant, *_all(route.dependant))
    known = frozenset(field.alias for one in every for field in one.query_params)
    route.known_parameters = known  # type: ignore[attr-defined]
    # A dependency that reads a family of parameters, such as ``metadata[k]``, says so by a pattern.
    families = tuple(one.call.family for one in every if one.call is not None and hasattr(one.call, "family"))
    route.known_families = families  # type: ignore[attr-defined]
    # Last: who may not use the route hears that first.
    route.dependant.dependencies.append(get_dependant(path=route.path_format, call=known_once))


def _all(dependant: Dependant) -> Iterator[Dependant]:
    for one in dependant.dependencies:
        yield one
        yield from _all(one)
