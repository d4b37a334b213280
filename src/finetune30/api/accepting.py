"""What a client wants to be answered with. Neighbours: routes that answer in several ways."""

from __future__ import annotations

import re

from starlette.requests import Request

_NEVER = re.compile(r"q=0(\.0{0,3})?")


def accepts(request: Request, media_type: str) -> bool:
    """Whether ``Accept`` names this very type; with ``q=0`` it is not wanted (RFC 9110, 12.4.2)."""
    for one in ",".join(request.headers.getlist("accept")).lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        if kind == media_type:
            return not any(_NEVER.fullmatch(part.replace(" ", "")) for part in parameters)
    return False
