"""Logging in and out: plain pages with a form, before Streamlit is reached.

Why not on the page itself: only an answer of HTTP can set a cookie that scripts cannot read, and with it a refresh or a
second tab finds its seat again. A GET ends nothing, so no link elsewhere logs anybody out.
Neighbours: ``front`` sends browsers here, ``porch`` draws, ``seats`` keeps who came in.
"""

from __future__ import annotations

import posixpath
from urllib.parse import parse_qs, quote, unquote

import anyio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from finetune30.client import Client
from finetune30.errors import Finetune30Error, Limited, LoginNeeded
from finetune30.ui import porch
from finetune30.ui.front import LANGUAGE, is_from_here, seat_of, split
from finetune30.ui.options import Options
from finetune30.ui.seats import SEATS, Seat, leave_soon
from finetune30.ui.words import preferred

_LARGEST = 8 * 1024
# As long as a session of the API lives at most; the seat ends sooner where nobody looks.
_COOKIE_S = 14 * 86_400
_AT_ONCE = 20
"""Logins that wait for the API: more are asked to try again, and nothing else waits for them."""


class Door:
    """``/login`` and ``/logout``."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._waiting = 0

    def routes(self) -> list[Route]:
        """Both."""
        return [
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.enter, methods=["POST"]),
            Route("/logout", self.turn, methods=["GET"]),
            Route("/logout", self.leave, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form; whoever is in already goes on."""
        wanted = inside(request.query_params.get("next"))
        if self._seat(request) is not None:
            return RedirectResponse(wanted, 303)
        said = request.query_params.get("said")
        return porch.login(_language(request), wanted, told=said if said in {"left", "ended"} else "")

    async def enter(self, request: Request) -> Response:
        """Name and password: a seat, or why not."""
        language = _language(request)
        given = parse_qs((await _body(request)).decode("utf-8", "replace"), keep_blank_values=True)
        name, password, wanted = (given.get(key, [""])[0] for key in ("username", "password", "next"))
        wanted = inside(wanted)
        if not is_from_here(request):
            return porch.login(language, wanted, name, fault="elsewhere", status=403)
        if self._waiting >= _AT_ONCE:
            answer = porch.login(language, wanted, name, fault="away", status=503)
            answer.headers["Retry-After"] = "5"
            return answer
        return await self._let_in(request, name, password, wanted)

    async def _let_in(self, request: Request, name: str, password: str, wanted: str) -> Response:
        language = _language(request)
        self._waiting += 1
        try:
            seat = await anyio.to_thread.run_sync(
                self._open, name, password, language, request, limiter=anyio.CapacityLimiter(1)
            )
        except LoginNeeded:
            return porch.login(language, wanted, name, fault="refused", status=401)
        except Limited as fault:
            return porch.login(language, wanted, name, fault="often", status=429, said=fault.message)
        except Finetune30Error as fault:
            status = getattr(fault, "status", None)
            # What is no answer of an API is not ours: 200 or 302 would say that somebody is in.
            code = 503 if status is None or status >= 500 else 502 if status < 400 else status
            said = "away" if code >= 500 else "other"
            return porch.login(language, wanted, name, fault=said, status=code, said=fault.message)
        finally:
            self._waiting -= 1
        self._give_back(request, "ended")
        answer = RedirectResponse(wanted, 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            self._options.cookie, seat.id, max_age=_COOKIE_S, httponly=True, samesite="lax", secure=secure, path="/"
        )
        answer.set_cookie(LANGUAGE, language, max_age=365 * 86_400, samesite="lax", path="/")
        return answer

    async def turn(self, request: Request) -> Response:
        """Where open pages go whose seat is gone; whoever still has one is asked."""
        language, said = _language(request), request.query_params.get("said")
        wanted = _before(request)
        if self._seat(request) is not None:
            # A page of who was here before: in another tab somebody has logged in since.
            return RedirectResponse(wanted, 303) if said in {"left", "ended"} else porch.logout(language)
        if said == "left":
            wanted = "/"
        told = "left" if said == "left" else "ended"
        answer = RedirectResponse(f"/login?said={told}&language={language}&next={quote(wanted, safe='')}", 303)
        secure = request.url.scheme == "https"
        answer.delete_cookie(self._options.cookie, path="/", secure=secure, httponly=True, samesite="lax")
        return answer

    async def leave(self, request: Request) -> Response:
        """The seat is given back, the tokens end."""
        if is_from_here(request):
            self._give_back(request, "left")
        return RedirectResponse("/logout?said=left", 303)

    def _seat(self, request: Request) -> Seat | None:
        return seat_of(request, self._options)

    def _give_back(self, request: Request, said: str) -> None:
        seat = self._seat(request)
        if seat is not None and SEATS.close(seat.id, said) is seat:
            leave_soon([seat])

    def _open(self, name: str, password: str, language: str, request: Request) -> Seat:
        options, address = self._options, request.client.host if request.client else "127.0.0.1"
        client = Client(
            options.api_url,
            options.serving_url,
            timeout_s=5,
            tries=2,
            patience_s=8,
            forwarded_for=address if options.page_key else None,
            trusted_key=options.page_key,
        )
        try:
            client.login(name, password)
            return SEATS.open(client, client.me(), language)
        except BaseException:
            client.close()
            raise


def inside(wanted: str | None) -> str:
    """Where to go on: a path of this page, nowhere else, and not the door again."""
    wanted = wanted or "/"
    # As browsers read it: // and /\\ begin another host, however many there are; line breaks and tabs they leave out.
    if not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted or not wanted.isprintable():
        return "/"
    path = unquote(wanted.partition("?")[0].partition("#")[0])
    # Browsers leave out parts that are dots, and what is left may begin another host.
    if "//" in path or "\\" in path or posixpath.normpath(path) != (path.rstrip("/") or "/"):
        return "/"
    return "/" if path.rstrip("/") in {"/login", "/logout"} else wanted


def _before(request: Request) -> str:
    """The page that led here, where it is one of ours."""
    before = split(request.headers.get("referer", ""))
    if before is None or before.netloc != request.headers.get("host"):
        return "/"
    return inside(before.path + (f"?{before.query}" if before.query else ""))


def _language(request: Request) -> str:
    asked = request.query_params.get("language") or request.cookies.get(LANGUAGE)
    return preferred(asked, request.headers.get("accept-language"))


async def _body(request: Request) -> bytes:
    found = b""
    async for part in request.stream():
        found += part
        if len(found) > _LARGEST:
            return b""
    return found
