"""What stands around every page: who is logged in, where one can go, and what happens when something goes wrong.

A page is a function without arguments; it asks ``here()`` for its seat and says its words with ``say``. Whatever our
errors it lets through are shown as one box with what to do next; any other fault gets a number that is in the log.
Neighbours: ``script`` is what Streamlit runs; ``pages`` are listed here.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from functools import wraps

import streamlit as st

from finetune30.errors import Finetune30Error, LoginNeeded, ServerFault, Unreachable
from finetune30.ui.options import Options
from finetune30.ui.seats import COOKIE, SEATS, Seat
from finetune30.ui.words import LANGUAGES, words

_LOG = logging.getLogger("finetune30.ui")
OPTIONS = Options()


def configure(options: Options) -> None:
    """What the process was started with."""
    global OPTIONS  # noqa: PLW0603 - once, before the first page
    OPTIONS = options


def here() -> Seat:
    """The seat of who looks at the page; without one the page ends here, with a way to the login."""
    seat = found()
    if seat is None:
        st.info(words("shell.ended", "en") + " " + words("shell.ended", "zh-TW"))
        st.link_button(words("shell.login", "en") + " · " + words("shell.login", "zh-TW"), "/login")
        st.stop()
    return seat


def found() -> Seat | None:
    """The seat, None without one. Tests name theirs in the session's state, which browsers cannot write."""
    return SEATS.find(st.session_state.get("seat") or st.context.cookies.get(COOKIE))


def say(key: str, **values: object) -> str:
    """A text in the language of who looks."""
    seat = found()
    return words(key, seat.language if seat else "en", **values)


def guarded(page: Callable[[], None]) -> Callable[[], None]:
    """A page, or a fragment of one, that shows no traceback whatever happens."""

    @wraps(page)
    def shown() -> None:
        try:
            page()
        except LoginNeeded:
            seat = found()
            if seat is not None:
                SEATS.close(seat.id)
            st.info(words("shell.ended", seat.language if seat else "en"))
            st.link_button(words("shell.login", seat.language if seat else "en"), "/login")
        except Finetune30Error as fault:
            show(fault)
        except Exception:  # noqa: BLE001 - Streamlit's own (stop, rerun) are no Exceptions
            number = secrets.token_hex(4)
            _LOG.exception("a page failed", extra={"request_id": number})
            st.error(say("shell.fault", number=number))

    return shown


def show(fault: Finetune30Error) -> None:
    """One box: what is, where, what to do next. A server that is away gets a calm one, with a button."""
    if isinstance(fault, Unreachable | ServerFault):
        st.warning(say("shell.away"), icon=":material/cloud_off:")
        st.text(fault.message)
        if st.button(say("shell.again"), key="again"):
            st.rerun()
        return
    st.error(inert(": ".join(filter(None, (fault.where, fault.message)))), icon=":material/error:")
    if fault.hint:
        st.info(f"{say('shell.next')}: {inert(fault.hint)}", icon=":material/lightbulb:")


def inert(text: str) -> str:
    """A text somebody else wrote, for where Streamlit reads Markdown: nothing in it is markup, image, link or icon."""
    for sign in "\\`*_{}[]()<>#+-!|$~:":
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return text


def main() -> None:
    """A script run: the frame, and the page that was asked for."""
    from finetune30.ui.pages import navigation

    st.set_page_config(page_title="finetune30", page_icon=":material/tune:", layout="wide")
    seat = here()
    page = st.navigation(navigation(seat), position="sidebar")
    with st.sidebar:
        st.caption(inert(f"{seat.person.name} ({seat.person.role})"))
        codes = list(LANGUAGES)
        chosen = st.selectbox(
            say("shell.language"), codes, codes.index(seat.language), format_func=LANGUAGES.__getitem__
        )
        if chosen != seat.language:
            seat.language = chosen
            st.rerun()
        st.link_button(say("shell.logout"), "/logout", icon=":material/logout:")
    page.run()
