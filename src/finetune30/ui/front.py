"""Before everything the page answers: which hosts, which headers, and who is logged in.

A browser without a seat gets the login page for whatever it asks, and no script run, no upload and no file.
Neighbours: ``serve`` puts it before ``door`` and Streamlit.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finetune30.ui import porch
from finetune30.ui.away import message
from finetune30.ui.index import document
from finetune30.ui.options import Options
from finetune30.ui.pages import PATHS
from finetune30.ui.seats import SEATS, Seat

LANGUAGE = "finetune30_language"
_IMAGES = Path(__file__).with_name("images")
_FILES = {"/favicon.png": _IMAGES / "icon.png", "/frame.js": _IMAGES / "frame.js"}
_DOOR = frozenset({"/login", "/logout"})
_OPEN = ("/static/", "/_stcore/health")
_STREAMLIT = ("/static/", "/media/", "/_stcore/", "/component/")
# Streamlit's own doors, which we do not use: programs that drive it, its figures, logins elsewhere.
_CLOSED = ("/_stcore/agent/", "/_stcore/metrics", "/_stcore/script-health-check", "/auth/", "/oauth2callback")
_HOST = re.compile(r"(?P<name>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
# Streamlit writes styles into its page; scripts, pictures, fonts and connections are from here and nowhere else.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-src 'self' blob: data:; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # To us with path, so that a login leads back to it; to others nothing.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Front:
    """ASGI before ASGI."""

    def __init__(self, app: ASGIApp, options: Options) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, send to the login page, or pass on."""
        if scope["type"] == "http":
            answer = self._answer(HTTPConnection(scope))
            await (answer or self._app)(scope, receive, self._dressed(scope, send))
        elif scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _answer(self, asked: HTTPConnection) -> Response | None:
        """What is answered here; None: it goes on to the door or to Streamlit."""
        path, method = asked.url.path, asked.scope["method"]
        if not _is_for_us(asked.headers, self._options.hosts):
            return PlainTextResponse("this page does not answer to this host; see ALLOWED_HOSTS\n", 400)
        if path.startswith(_CLOSED):
            return _nothing()
        if path in _FILES:
            return FileResponse(_FILES[path], headers={"Cache-Control": "max-age=3600"})
        if path in _DOOR or path.startswith(_OPEN):
            return None
        seat = SEATS.find(asked.cookies.get(self._options.cookie))
        if seat is None:
            return _to_the_door(asked) if method in {"GET", "HEAD"} else PlainTextResponse("log in first\n", 401)
        if path.startswith(_STREAMLIT):
            return None
        return _page(path, seat) if method in {"GET", "HEAD"} else PlainTextResponse("GET only\n", 405)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = HTTPConnection(scope)
        if not _is_for_us(asked.headers, self._options.hosts) or not is_from_here(asked.headers):
            await send({"type": "websocket.close", "code": 1008})
        elif SEATS.find(asked.cookies.get(self._options.cookie)) is None:
            # An open page whose seat is gone, as after a restart: it would only try again and again.
            await receive()
            offered = scope.get("subprotocols") or [None]
            await send({"type": "websocket.accept", "subprotocol": offered[0]})
            await send({"type": "websocket.send", "bytes": message("/logout").SerializeToString()})
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._app(scope, receive, send)

    def _dressed(self, scope: Scope, send: Send) -> Send:
        async def dressed(sent: Message) -> None:
            if sent["type"] == "http.response.start":
                headers = MutableHeaders(scope=sent)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(sent)

        return dressed


def is_from_here(headers: Headers) -> bool:
    """Whether it was a page of ours that sent this, as far as browsers say; programs say nothing."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    said_so = origin is None or urlsplit(origin).netloc == headers.get("host")
    return said_so and site not in {"cross-site", "same-site"}


def _is_for_us(headers: Headers, hosts: frozenset[str]) -> bool:
    named = headers.getlist("host")
    found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
    return found is not None and found["name"].lower() in hosts


def _nothing() -> Response:
    return PlainTextResponse("there is nothing here\n", 404)


def _page(path: str, seat: Seat) -> Response:
    if path.strip("/") not in PATHS:
        return porch.nowhere(seat.language)
    answer = HTMLResponse(document(seat.language))
    answer.set_cookie(LANGUAGE, seat.language, max_age=365 * 86_400, samesite="lax")
    return answer


def _to_the_door(asked: HTTPConnection) -> Response:
    wanted = asked.url.path + (f"?{asked.url.query}" if asked.url.query else "")
    return RedirectResponse("/login" if wanted == "/" else f"/login?next={quote(wanted, safe='')}", 303)
