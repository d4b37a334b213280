"""Before everything the page answers: which hosts, which headers, and who is logged in.

A browser without a seat gets the login page for whatever it asks, and no script run, no upload and no file.
Neighbours: ``serve`` puts it before ``door`` and Streamlit.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finetune30.ui.options import Options
from finetune30.ui.seats import COOKIE, SEATS

OPEN = ("/login", "/static/", "/_stcore/health", "/favicon.png", "/media/")
"""Paths for everybody: the door, and what is the same for all."""
# Streamlit's page has inline styles and its plots are made by scripts that compile; nothing comes from elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-src 'self' blob: data:; frame-ancestors 'none'"
)


class Front:
    """ASGI before ASGI."""

    def __init__(self, app: ASGIApp, options: Options) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, send to the login page, or pass on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, self._dressed(scope, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, self._dressed(scope, send))

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        hosts = connection.headers.getlist("host")
        if len(hosts) != 1 or _name_of(hosts[0]) not in self._options.hosts:
            return PlainTextResponse("this page does not answer to this host; see ALLOWED_HOSTS\n", 400)
        if connection.scope["type"] == "websocket" and not _is_from_here(connection.headers):
            return PlainTextResponse("only this page's own scripts may do this\n", 403)
        path = connection.url.path
        if path.startswith(OPEN) or SEATS.find(connection.cookies.get(COOKIE)) is not None:
            return None
        if connection.scope["type"] == "http" and connection.scope["method"] != "GET":
            return PlainTextResponse("log in first\n", 401)
        wanted = path + (f"?{connection.url.query}" if connection.url.query else "")
        return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)

    def _dressed(self, scope: Scope, send: Send) -> Send:
        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
                if self._options.secure:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        return dressed


def _name_of(host: str) -> str:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return f"[{name}]" if ":" in name else name.lower()


def _is_from_here(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")
