"""Which door a request means: nine paths, looked up and not matched one after the other.

Neighbours: ``app`` says what is behind each door and words what goes wrong there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

Answer = Callable[[Request], Awaitable[Response]]
_REST = "{address:path}"


@dataclass(frozen=True)
class Door:
    """One path, one method (HEAD comes with GET).

    Attributes:
        path: Its last part may be ``{address:path}``: whatever is there.
    """

    method: str
    path: str
    answer: Answer

    @property
    def methods(self) -> tuple[str, ...]:
        """All it takes."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


class _Request(Request):
    """A request behind the gate, which hands on a body as one message."""

    async def body(self) -> bytes:
        """All of it."""
        if not hasattr(self, "_body"):
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            self._body = message.get("body", b"")
        return self._body


class Table:
    """An app of doors.

    Args:
        worded: The answer to an error of a door, and whether the error is to go on: nobody foresaw it.
    """

    def __init__(self, doors: Sequence[Door], worded: Callable[[Request, Exception], tuple[Response, bool]]) -> None:
        self._doors = {one.path: one for one in doors if not one.path.endswith(_REST)}
        self._open = [(one.path.removesuffix(_REST), one) for one in doors if one.path.endswith(_REST)]
        self._worded = worded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = _Request(scope, receive)
        try:
            response = await self._response(request)
        except Exception as error:
            response, goes_on = self._worded(request, error)
            if goes_on:
                await response(scope, receive, send)
                raise
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        scope = request.scope
        door = self._behind(scope["path"])
        if door is None:
            return self._elsewhere(scope)
        scope["route"] = door
        if scope["method"] not in door.methods:
            raise HTTPException(405, headers={"Allow": ", ".join(door.methods)})
        if door.path.endswith(_REST):
            scope["path_params"] = {"address": scope["path"][len(door.path) - len(_REST) :]}
        return await door.answer(request)

    def _behind(self, path: str) -> Door | None:
        exact = self._doors.get(path)
        return exact or next((one for start, one in self._open if path.startswith(start)), None)

    def _elsewhere(self, scope: Scope) -> Response:
        """A slash too many, or one that is missing, is no other path."""
        path = scope["path"]
        meant = path.rstrip("/") if path.endswith("/") else f"{path}/"
        if self._behind(meant) is None:
            raise HTTPException(404)
        return RedirectResponse(str(URL(scope={**scope, "path": meant})))
