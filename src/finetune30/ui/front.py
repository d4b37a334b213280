"""Before everything the page answers: which hosts, which headers, and who is logged in.

A browser without a seat gets the login page for whatever it asks, and no script run, no upload and no file.
Neighbours: ``serve`` puts it before ``door`` and Streamlit; ``sockets`` are the connections of open pages.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from functools import cache
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import file_util

from finetune30.ui import porch
from finetune30.ui.index import document
from finetune30.ui.options import Options
from finetune30.ui.pages import PATHS
from finetune30.ui.seats import SEATS, Seat
from finetune30.ui.sockets import Sockets, Uploads, turn_away

LANGUAGE = "finetune30_language"
_IMAGES = Path(__file__).with_name("images")
# From memory: whoever waits for a slow login takes up no thread that these need.
_FILES = {
    f"/{name}": ((_IMAGES / file).read_bytes(), kind)
    for name, file, kind in (
        ("favicon.png", "icon.png", "image/png"),
        ("frame.js", "frame.js", "text/javascript"),
        ("frame.css", "frame.css", "text/css"),
    )
}
_DOOR = frozenset({"/login", "/logout"})
_HEALTH = "/_stcore/health"
_UPLOAD = "/_stcore/upload_file/"
_STREAMLIT = ("/media/", "/_stcore/host-config", _UPLOAD, "/_stcore/bidi-components/", "/component/")
# Streamlit's own doors, which we do not use: programs that drive it, its figures, logins elsewhere.
_CLOSED = ("/_stcore/agent/", "/_stcore/metrics", "/_stcore/script-health-check", "/auth/", "/oauth2callback")
_OURS = "/_stcore/"
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
        self._sockets = Sockets(app)
        self._uploads = Uploads(app, options.upload_mb << 20)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, send to the login page, or pass on."""
        if scope["type"] == "http":
            answer = self._answer(HTTPConnection(scope))
            await (answer or self._app)(scope, receive, self._dressed(scope, send))
        elif scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _answer(self, asked: HTTPConnection) -> ASGIApp | None:
        """What is answered here; None: it goes on to the door or to Streamlit."""
        path, method = asked.url.path, asked.scope["method"]
        if not _is_for_us(asked.headers, self._options.hosts):
            return PlainTextResponse("this page does not answer to this host; see ALLOWED_HOSTS\n", 400)
        if path in _FILES:
            return Response(*_FILES[path][:1], media_type=_FILES[path][1], headers={"Cache-Control": "max-age=3600"})
        if path in _DOOR or path == _HEALTH or path in _static():
            return None
        if path.startswith((*_CLOSED, "/static/")) or not _is_plain(path):
            return _nothing()
        seat = seat_of(asked, self._options)
        if seat is None:
            return _to_the_door(asked) if method in {"GET", "HEAD"} else PlainTextResponse("log in first\n", 401)
        if path.startswith(_STREAMLIT):
            return self._of_streamlit(asked, seat)
        if path.startswith(_OURS):
            return _nothing()
        return _page(path, seat) if method in {"GET", "HEAD"} else PlainTextResponse("GET only\n", 405)

    def _of_streamlit(self, asked: HTTPConnection, seat: Seat) -> ASGIApp | None:
        if asked.scope["method"] not in {"GET", "HEAD"} and not is_from_here(asked):
            return PlainTextResponse("not from another page\n", 403)
        if not asked.url.path.startswith(_UPLOAD):
            return None

        async def upload(scope: Scope, receive: Receive, send: Send) -> None:
            await self._uploads.serve(seat, scope, receive, send)

        return upload

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = HTTPConnection(scope)
        seat = seat_of(asked, self._options)
        if not _is_for_us(asked.headers, self._options.hosts) or not is_from_here(asked):
            await send({"type": "websocket.close", "code": 1008})
        elif seat is None:
            await turn_away(scope, receive, send, "/logout?said=ended")
        else:
            await self._sockets.serve(seat, scope, receive, send)

    def _dressed(self, scope: Scope, send: Send) -> Send:
        async def dressed(sent: Message) -> None:
            if sent["type"] == "http.response.start":
                headers = MutableHeaders(scope=sent)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https" and _has_a_name(Headers(scope=scope)):
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(sent)

        return dressed


def seat_of(asked: HTTPConnection, options: Options) -> Seat | None:
    """Whose browser asks. One that names two seats has none: somebody else may have given it the other."""
    said = ";".join(asked.headers.getlist("cookie"))
    named = [one for one in said.split(";") if one.partition("=")[0].strip() == options.cookie]
    return SEATS.find(asked.cookies.get(options.cookie)) if len(named) == 1 else None


def is_from_here(asked: HTTPConnection) -> bool:
    """Whether it was a page of ours that sent this, as far as browsers say; programs say nothing."""
    origin, site = asked.headers.get("origin"), asked.headers.get("sec-fetch-site")
    if site in {"cross-site", "same-site"}:
        return False
    if origin is None:
        return True
    found = split(origin)
    # A proxy may have ended the encryption; from a page without it nothing comes to one that has it.
    schemes = {"https"} if asked.url.scheme in {"https", "wss"} else {"http", "https"}
    return found is not None and found.netloc == asked.headers.get("host") and found.scheme in schemes


def split(url: str) -> SplitResult | None:
    """Its parts; None where it is no address."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


@cache
def _static() -> frozenset[str]:
    """Streamlit's own files; for whatever else is asked for below their folder it would send its document."""
    folder = Path(file_util.get_static_dir())
    found = (one.relative_to(folder).as_posix() for one in (folder / "static").rglob("*") if one.is_file())
    return frozenset(f"/{one}" for one in found)


def _is_plain(path: str) -> bool:
    """Whether it says what it is, without ``//`` and dots that others read otherwise."""
    return posixpath.normpath(path) == (path.rstrip("/") or "/") and not path.startswith("//")


def _has_a_name(headers: Headers) -> bool:
    """Whether the host is a name of its own: not localhost, which many services share, and no address."""
    found = _HOST.fullmatch(headers.get("host", ""))
    if found is None or "." not in found["name"] or found["name"].startswith("["):
        return False
    try:
        ipaddress.ip_address(found["name"])
    except ValueError:
        return not found["name"].endswith(".localhost")
    return False


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
