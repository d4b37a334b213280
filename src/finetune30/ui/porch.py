"""How the pages before the page look: log in, log out. They need no script, and none may run in them.

Neighbours: ``door`` says what stands in them.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import quote

from starlette.responses import HTMLResponse

from finetune30.ui.words import LANGUAGES, words

_IMAGES = Path(__file__).with_name("images")


def login(
    language: str, wanted: str, name: str = "", *, fault: str = "", told: str = "", said: str = "", status: int = 200
) -> HTMLResponse:
    """The form.

    Args:
        wanted: Where to go on afterwards.
        name: Who tried before.
        fault: Why it did not work, of the words for the door; ``said`` is what the API says of it.
        told: What else there is to know, of the same words.
    """
    message = ""
    if fault:
        more = f"<br><small>{html.escape(said)}</small>" if said else ""
        message = f'<p class="fault" role="alert">{_say(fault, language)}{more}</p>'
    elif told:
        message = f'<p class="told" role="status">{_say(told, language)}</p>'
    first, second = ("", " autofocus") if name else (" autofocus", "")
    return _page(
        language,
        f"""{message}
<form method="post" action="/login">
<input type="hidden" name="next" value="{html.escape(wanted)}">
<label for="username">{_say("name", language)}</label>
<input id="username" name="username" value="{html.escape(name)}" maxlength="200" autocomplete="username"
 autocapitalize="none" spellcheck="false" required{first}>
<label for="password">{_say("password", language)}</label>
<input id="password" name="password" type="password" maxlength="1024" autocomplete="current-password" required{second}>
<button>{_say("enter", language)}</button>
</form>
<p class="first">{_say("first", language)}</p>""",
        lambda code: f"/login?language={code}&next={quote(wanted, safe='')}",
        status,
    )


def logout(language: str) -> HTMLResponse:
    """Asks once more: anybody may have made the link that led here."""
    return _page(
        language,
        f"""<p class="told">{_say("sure", language)}</p>
<form method="post" action="/logout"><button>{_say("leave", language)}</button></form>
<p class="first"><a href="/">{_say("stay", language)}</a></p>""",
        lambda code: f"/logout?language={code}",
        200,
    )


def nowhere(language: str) -> HTMLResponse:
    """For an address that no page has."""
    return _page(
        language,
        f"""<p class="told">{_say("nowhere", language)}</p><p><a href="/">{_say("home", language)}</a></p>""",
        lambda code: f"/?language={code}",
        404,
        title="nowhere_title",
    )


def _page(language: str, inner: str, here: Callable[[str], str], status: int, title: str = "title") -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    others = "".join(
        f'<a href="{html.escape(here(code))}" lang="{code}" hreflang="{code}"'
        f"{' aria-current=true' if code == language else ''}>{named}</a>"
        for code, named in LANGUAGES.items()
    )
    body = f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_say(title, language)}</title>
<link rel="icon" href="/favicon.png">
<style nonce="{nonce}">{_file("porch.css")}</style>
</head>
<body>
<main>
<header>{_file("logo.svg")}<div><h1>finetune30</h1><p>{_say("welcome", language)}</p></div></header>
{inner}
<nav aria-label="{_say("languages", language)}">{others}</nav>
</main>
</body>
</html>
"""
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return HTMLResponse(body, status, {"Content-Security-Policy": policy})


def _say(key: str, language: str) -> str:
    return html.escape(words(f"door.{key}", language))


@cache
def _file(name: str) -> str:
    return (_IMAGES / name).read_text(encoding="utf-8")
