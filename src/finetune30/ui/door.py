"""Logging in and out: plain pages with a form, before Streamlit is reached.

Why not on the page itself: only an answer of HTTP can set a cookie that scripts cannot read, and with it a refresh or a
second tab finds its seat again. Neighbours: ``front`` sends browsers here, ``seats`` keeps who came in.
"""

from __future__ import annotations

import html
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from finetune30.client import Client
from finetune30.errors import Finetune30Error, LoginNeeded
from finetune30.ui.options import Options
from finetune30.ui.seats import COOKIE, SEATS, Seat
from finetune30.ui.words import LANGUAGES, preferred, words

_LARGEST = 8 * 1024


class Door:
    """``/login`` and ``/logout``."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def routes(self) -> list[Route]:
        """Both."""
        return [
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.enter, methods=["POST"]),
            Route("/logout", self.leave, methods=["POST", "GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form."""
        wanted = _inside(request.query_params.get("next"))
        if SEATS.find(request.cookies.get(COOKIE)) is not None:
            return RedirectResponse(wanted, 303)
        return self._page(_language(request), wanted)

    async def enter(self, request: Request) -> Response:
        """Name and password: a seat, or why not."""
        language = _language(request)
        given = parse_qs((await _body(request)).decode("utf-8", "replace"), keep_blank_values=True)
        name, password, wanted = (given.get(key, [""])[0] for key in ("username", "password", "next"))
        wanted = _inside(wanted)
        if not _is_from_here(request):
            return self._page(language, wanted, name, words("door.elsewhere", language), 403)
        try:
            seat = await run_in_threadpool(self._seat, name, password, language, _address_of(request))
        except LoginNeeded:
            return self._page(language, wanted, name, words("door.refused", language), 401)
        except Finetune30Error as fault:
            return self._page(language, wanted, name, fault.message, getattr(fault, "status", None) or 503)
        answer = RedirectResponse(wanted, 303)
        answer.set_cookie(
            COOKIE, seat.id, max_age=24 * 3600, httponly=True, samesite="lax", secure=self._options.secure, path="/"
        )
        answer.set_cookie("finetune30_language", language, max_age=365 * 24 * 3600, samesite="lax", path="/")
        return answer

    async def leave(self, request: Request) -> Response:
        """The seat is given back, the tokens end."""
        if _is_from_here(request):
            seat = SEATS.close(request.cookies.get(COOKIE))
            if seat is not None:
                await run_in_threadpool(_end, seat)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    def _seat(self, name: str, password: str, language: str, address: str) -> Seat:
        options = self._options
        behind = {"forwarded_for": address, "trusted_key": options.page_key} if options.page_key else {}
        client = Client(options.api_url, options.serving_url, timeout_s=15, tries=2, patience_s=8, **behind)
        try:
            client.login(name, password)
            return SEATS.open(client, client.me(), language)
        except BaseException:
            client.close()
            raise

    def _page(self, language: str, wanted: str, name: str = "", fault: str = "", status: int = 200) -> Response:
        def say(key: str) -> str:
            return html.escape(words(f"door.{key}", language))

        others = " · ".join(
            f'<a href="/login?language={code}&amp;next={html.escape(wanted)}" lang="{code}">{named}</a>'
            for code, named in LANGUAGES.items()
        )
        told = f'<p role="alert">{html.escape(fault)}</p>' if fault else ""
        body = f"""<!doctype html><html lang="{language}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{say("title")}</title>
<main><h1>finetune30</h1><p>{say("welcome")}</p>{told}<form method="post" action="/login">
<input type="hidden" name="next" value="{html.escape(wanted)}"><input type="hidden" name="language" value="{language}">
<label>{say("name")} <input name="username" value="{html.escape(name)}" autocomplete="username" required autofocus></label>
<label>{say("password")} <input name="password" type="password" autocomplete="current-password" required></label>
<button>{say("enter")}</button></form><nav>{others}</nav></main></html>"""
        return HTMLResponse(body, status)


def _end(seat: Seat) -> None:
    try:
        seat.client.logout()
    except Finetune30Error:
        pass  # the API is away; its session ends by itself
    finally:
        seat.client.close()


def _language(request: Request) -> str:
    asked = request.query_params.get("language") or request.cookies.get("finetune30_language")
    return preferred(asked, request.headers.get("accept-language"))


async def _body(request: Request) -> bytes:
    found = b""
    async for part in request.stream():
        found += part
        if len(found) > _LARGEST:
            return b""
    return found


def _inside(wanted: str | None) -> str:
    """Where to go on: a path of this page, nowhere else."""
    found = urlsplit(wanted or "/")
    good = not found.scheme and not found.netloc and found.path.startswith("/") and "\\" not in found.path
    return wanted or "/" if good and not found.path.startswith("//") else "/"


def _is_from_here(request: Request) -> bool:
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _address_of(request: Request) -> str:
    return request.client.host if request.client else "127.0.0.1"
