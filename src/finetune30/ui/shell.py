"""What stands around every page: who is logged in, where one can go, and what happens when something goes wrong.

A page is a function without arguments; it asks ``here()`` for its seat and says its words with ``say``. Whatever our
errors it lets through are shown as one box with what to do next; any other fault gets a number that is in the log.
The same holds for what its widgets do when they are clicked: ``on_click=act(…)``.
Neighbours: ``entry/script`` is what Streamlit runs; ``pages`` are listed there; ``inert`` makes texts harmless.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import config
from streamlit.errors import StreamlitDuplicateElementKey
from streamlit.runtime.scriptrunner import get_script_run_ctx

from finetune30.errors import Denied, Finetune30Error, LoginNeeded, Missing, Refused, ServerFault, Unreachable
from finetune30.ui import away
from finetune30.ui.inert import inert as inert
from finetune30.ui.options import Options
from finetune30.ui.seats import SEATS, Seat, leave_soon
from finetune30.ui.words import LANGUAGES, words

_LOG = logging.getLogger("finetune30.ui")
_IMAGES = Path(__file__).with_name("images")
_WHO = "who looked at this page"
_UNTOLD = "what went wrong with what was clicked"
_AROUND: ContextVar[bool] = ContextVar("whether a guard is around this one", default=False)
OPTIONS = Options()


def configure(options: Options) -> None:
    """What the process was started with."""
    global OPTIONS
    OPTIONS = options


def here() -> Seat:
    """The seat of who looks at the page; without one the page ends here, and the browser goes to the login."""
    seat = found()
    if seat is None:
        _ended(None)
        st.stop()
    return seat


def found() -> Seat | None:
    """The seat, None without one. Tests name theirs in the session's state."""
    named = st.session_state.get("seat") if config.get_option("global.appTest") else None
    return SEATS.find(named or st.context.cookies.get(OPTIONS.cookie))


def say(key: str, **values: object) -> str:
    """A text in the language of who looks."""
    seat = found()
    return words(key, seat.language if seat else "en", **values)


def guarded(page: Callable[[], None]) -> Callable[[], None]:
    """A page, or a fragment of one, that shows no traceback whatever happens.

    It is for the eyes of whom it was drawn for: a fragment runs again by itself, and browsers change hands.
    """
    owner = found()

    @wraps(page)
    def shown() -> None:
        if found() is not owner:
            _of_another(owner)
            return
        inner = _AROUND.get()
        before = _AROUND.set(True)
        try:
            if not inner:
                told()
            page()
            if not inner:
                for place in list(st.session_state.get(_UNTOLD, ())):  # which the page has not drawn
                    told(place)
        except LoginNeeded:
            if owner is not None:
                SEATS.close(owner.id)
                owner.client.close()
            _ended(owner)
        except Finetune30Error as fault:
            show(fault)
        except Exception as fault:  # noqa: BLE001 - Streamlit's own (stop, rerun) are no Exceptions
            _show_number(fault)
        finally:
            _AROUND.reset(before)

    return shown


def act(does: Callable[..., object], *known: object, at: str = "") -> Callable[..., None]:
    """What a click or a change does, before the page is drawn again: every callback of a widget goes through here.

    It runs outside of the page, whose guard does not see it. What goes wrong is told by the page that is drawn next.
    A click on what was drawn for somebody else does nothing.

    Args:
        known: Given to it, before what Streamlit gives.
        at: The place where the page says ``told(at)``; above all of it without one.
    """
    owner = found()

    def done(*given: Any, **named: Any) -> None:
        if found() is not owner:
            return
        st.session_state.pop(_UNTOLD, None)
        try:
            does(*known, *given, **named)
        except Exception as fault:  # noqa: BLE001 - as in ``guarded``
            st.session_state[_UNTOLD] = {at: (fault, [])}

    return done


def told(at: str = "") -> None:
    """Say here what went wrong with what was clicked last.

    A part that is drawn anew every few seconds goes on saying it until more is drawn, or something else is done.
    """
    untold: dict[str, tuple[Exception, list[bool]]] = st.session_state.get(_UNTOLD, {})
    if at not in untold:
        return
    fault, said = untold[at]
    context = get_script_run_ctx()
    if context is None or not context.fragment_ids_this_run:
        del untold[at]
        if said:
            return
    said.append(True)
    if isinstance(fault, Finetune30Error):
        show(fault)
    else:
        _show_number(fault)


def _show_number(fault: Exception) -> None:
    """Nothing is known of it here; the log has all of it by its number."""
    number = secrets.token_hex(4)
    _LOG.error("a page failed", exc_info=fault, extra={"request_id": number})
    st.error(say("shell.fault", number=number), icon=":material/error:")
    _start_afresh()


def _of_another(owner: Seat | None) -> None:
    """Nothing of hers is drawn for who is here now; the page they would see begins anew."""
    if found() is None:
        _ended(owner)
        return
    st.session_state.clear()
    st.rerun(scope="app")


def _start_afresh() -> None:
    """A page that fails for what it was told, or keeps of it, would fail for ever."""
    with suppress(StreamlitDuplicateElementKey):  # another part of the page says so already
        st.button(say("shell.afresh"), key="afresh", icon=":material/restart_alt:", on_click=act(_forget))


def _forget() -> None:
    owner = st.session_state.get(_WHO)
    kept = {key: st.session_state[key] for key in ("seat",) if key in st.session_state}
    st.session_state.clear()
    st.session_state.update({**kept, _WHO: owner})
    st.query_params.clear()


def show(fault: Finetune30Error) -> None:
    """One box: what is, where, what to do next. A server that is away gets a calm one, with a button."""
    if isinstance(fault, LoginNeeded):
        raise fault  # ``guarded`` takes them to the login, whoever caught it
    if isinstance(fault, Unreachable | ServerFault):
        _LOG.warning("the API: %s", fault.message)
        st.warning(say("shell.away"), icon=":material/cloud_off:")
        try:
            again = st.button(say("shell.again"), key="again", icon=":material/refresh:")
        except StreamlitDuplicateElementKey:  # another part of the page says so already
            return
        if again:
            st.rerun()
        return
    if is_nothing(fault):
        nothing_there()
        return
    st.error(inert(": ".join(filter(None, (fault.where, fault.message)))), icon=":material/error:")
    if fault.hint:
        st.info(f"{say('shell.hint')}: {inert(fault.hint)}", icon=":material/lightbulb:")


def is_nothing(fault: Finetune30Error) -> bool:
    """Whether it is about something that is not there, or somebody else's, or could be nobody's by its id."""
    no_id = isinstance(fault, Refused) and (fault.where or "").startswith("path.")
    # A wrong password is denied as well, and what only an owner may do: these have words of their own.
    foreign = isinstance(fault, Denied) and "another user's" in fault.message
    return no_id or foreign or isinstance(fault, Missing)


def nothing_there() -> None:
    """The same sentence whether a thing is unknown or another user's, and a way back."""
    from finetune30.ui.pages import page_of

    st.info(say("shell.not_there"), icon=":material/search_off:")
    st.page_link(page_of("experiments"), label=say("shell.back"), icon=":material/arrow_back:")


def main() -> None:
    """A script run: the frame, and the page that was asked for."""
    from finetune30.ui.pages import navigation

    st.set_page_config(page_icon=_IMAGES / "icon.png", layout="wide")
    st.logo(_IMAGES / "wide.svg", size="large", icon_image=_IMAGES / "logo.svg")
    seat = here()
    _mine(seat)
    sections = navigation(seat)
    page = st.navigation(sections, position="hidden")
    st.set_page_config(page_title=f"{page.title} · finetune30")
    with st.sidebar:
        _menu(sections)
        _foot(seat)
    page.run()


def _mine(seat: Seat) -> None:
    """What a page left in the session's state is for the eyes of who was here then: browsers change hands."""
    if st.session_state.get(_WHO, seat.person.user_id) != seat.person.user_id:
        st.session_state.clear()
    st.session_state[_WHO] = seat.person.user_id


def _menu(sections: Mapping[str, Sequence[Any]]) -> None:
    """Not Streamlit's own, whose lists no screen reader understands."""
    for title, pages in sections.items():
        with st.container(gap="xsmall"):
            st.markdown(f"**{title}**")
            for one in pages:
                if one.visibility == "visible":
                    st.page_link(one, width="stretch")


def _foot(seat: Seat) -> None:
    # What the seat has is what is shown: another tab may have changed it.
    st.session_state["language"] = seat.language
    st.segmented_control(
        words("shell.language", seat.language),
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        required=True,
        key="language",
        on_change=act(_speak, seat),
        width="stretch",
    )
    role = say("shell.is_admin") if seat.is_admin else say("shell.is_user")
    st.markdown(f":material/person: {inert(seat.person.name)} · {role}")
    if st.button(say("shell.logout"), icon=":material/logout:", key="logout", width="stretch"):
        SEATS.close(seat.id, "left")
        leave_soon([seat])
        away.go(seat.way_out)
        st.stop()


def _speak(seat: Seat) -> None:
    seat.language = st.session_state["language"] or seat.language


def _ended(seat: Seat | None) -> None:
    st.info(words("shell.ended", seat.language if seat else "en"), icon=":material/lock:")
    away.go(seat.way_out if seat else "/logout?said=ended")
