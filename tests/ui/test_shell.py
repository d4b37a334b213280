"""What stands around every page: who is here, where one can go, what happens when something goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from finetune30 import errors
from finetune30.access import Role
from finetune30.ui import shell
from finetune30.ui.inert import inert
from finetune30.ui.pages import _SECTIONS
from finetune30.ui.seats import SEATS, Seat
from finetune30.ui.words import words
from tests.api.service import Service

Run = Callable[..., AppTest]
MARKUP = "<script>alert(1)</script> ![x](http://evil/p.png) [a](javascript:alert(1)) :material/home: www.evil.example"
NAMES = [name for some in _SECTIONS.values() for name, *_ in some]


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """What the page ``compare`` draws in this test, instead of what it draws else."""

    def set_to(draw: Callable[[], Any]) -> None:
        monkeypatch.setattr("finetune30.ui.pages.compare.page", draw)

    return set_to


def failing(fault: BaseException) -> Callable[[], Any]:
    def draw() -> None:
        st.title("before")
        raise fault

    return draw


def texts(page: AppTest) -> str:
    return " ".join(str(one.value) for kind in ("error", "warning", "info", "markdown") for one in page.get(kind))


@pytest.mark.parametrize("name", NAMES)
def test_every_page_has_one_title_for_a_newcomer(root: Seat, run_page: Run, name: str) -> None:
    root.language = "zh-TW"

    page = run_page(name, root)

    assert not page.exception
    assert len(page.title) == 1


@pytest.mark.parametrize("name", NAMES)
def test_no_page_breaks_where_the_api_is_down(cut_off: Seat, run_page: Run, name: str) -> None:
    page = run_page(name, cut_off)

    assert not page.exception
    assert words("shell.fault", "en", number="")[:20] not in texts(page)


def test_only_admins_see_the_page_for_admins(ana: Seat, root: Seat, run_page: Run) -> None:
    assert len(run_page("admin", root)._registered_pages) == len(NAMES)
    others = run_page("admin", ana)  # an address typed by hand leads to the first page
    assert [info["url_pathname"] for info in others._registered_pages.values() if info["url_pathname"] == "admin"] == []


def test_nobody_sees_nothing_and_is_led_to_the_login(run_page: Run) -> None:
    page = run_page("models", None)

    assert not page.exception
    assert not page.title
    assert not page.sidebar.button
    assert "Your session has ended." in page.info[0].value


def test_a_language_chosen_on_the_page_is_that_of_all_tabs_and_texts(ana: Seat, run_page: Run) -> None:
    first, second = run_page("submit", ana), run_page("data", ana)
    assert first.sidebar.button(key="logout").label == "Log out"

    first.sidebar.segmented_control(key="language").set_value("zh-TW").run()
    second.run()

    assert ana.language == "zh-TW"
    assert first.sidebar.button(key="logout").label == second.sidebar.button(key="logout").label == "登出"


def test_log_out_ends_the_seat_and_its_session_at_the_api(ana: Seat, service: Service, run_page: Run) -> None:
    page = run_page("submit", ana)
    token = ana.client.session.token if ana.client.session else ""
    assert service.client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200

    page.sidebar.button(key="logout").click().run()

    assert SEATS.find(ana.id) is None
    assert not page.title
    for _ in range(200):
        if service.client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401:
            break
    else:
        pytest.fail("the session goes on")


def test_a_session_that_ended_elsewhere_leads_to_the_login(
    service: Service, seat_of: Callable[..., Seat], run_page: Run, drawing: Callable[..., None]
) -> None:
    person = service.person()
    seat = seat_of(person, "zh-TW")
    person.post("/logout")
    drawing(lambda: seat.client.me())

    page = run_page("compare", seat)

    assert not page.exception
    assert words("shell.ended", "zh-TW") in texts(page)
    assert SEATS.find(seat.id) is None


def test_a_server_that_is_down_is_told_calmly_twice_on_a_page_with_one_button(
    cut_off: Seat, run_page: Run, drawing: Callable[..., None]
) -> None:
    def draw() -> None:
        for _ in range(2):
            shell.guarded(lambda: cut_off.client.me() and None)()

    drawing(draw)

    page = run_page("compare", cut_off)

    assert not page.exception
    assert [one.value for one in page.warning] == [words("shell.away", "en")] * 2
    assert [one.label for one in page.main.button] == ["Try again"]
    assert "127.0.0.1" not in texts(page)


def test_our_errors_are_one_box_with_what_to_do_next_and_inert(
    ana: Seat, run_page: Run, drawing: Callable[..., None]
) -> None:
    drawing(failing(errors.ConfigError(MARKUP, where="lora.r", hint=MARKUP)))

    page = run_page("compare", ana)

    assert not page.exception
    assert page.error[0].value == inert(f"lora.r: {MARKUP}")
    assert page.info[0].value == f"What to do next: {inert(MARKUP)}"


def test_s107_any_other_fault_is_a_number_and_no_traceback(
    ana: Seat, run_page: Run, drawing: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    drawing(failing(RuntimeError("secret words of a driver")))

    page = run_page("compare", ana)

    assert not page.exception
    assert [one.value for one in page.title] == ["before"]
    (record,) = (one for one in caplog.records if one.message == "a page failed")
    assert page.error[0].value == words("shell.fault", "en", number=record.request_id)  # type: ignore[attr-defined]
    assert "secret" not in texts(page)


def test_s107_streamlits_own_way_to_stop_and_to_run_again_goes_through_the_guard(
    ana: Seat, run_page: Run, drawing: Callable[..., None]
) -> None:
    def draw() -> None:
        st.session_state["runs"] = st.session_state.get("runs", 0) + 1
        if st.session_state["runs"] < 3:
            st.rerun()
        st.title("third")
        st.stop()

    drawing(draw)

    page = run_page("compare", ana)

    assert [one.value for one in page.title] == ["third"]
    assert not page.error


def test_s105_a_name_with_markup_is_text_at_the_foot_of_the_menu(ana: Seat, run_page: Run) -> None:
    ana.person = ana.person.model_copy(update={"name": MARKUP})

    page = run_page("submit", ana)

    (*_, foot) = (one.value for one in page.sidebar.markdown)
    assert foot == f":material/person: {inert(MARKUP)} · user"


def test_s106_what_a_page_left_in_a_browser_is_gone_for_the_next_person(
    ana: Seat, bo: Seat, run_page: Run, drawing: Callable[..., None]
) -> None:
    drawing(lambda: st.title(st.session_state.setdefault("draft", f"of {shell.here().person.name}")))
    page = run_page("compare", ana)
    assert page.title[0].value == f"of {ana.person.name}"

    page.session_state["seat"] = bo.id
    page.run()
    page.session_state["seat"] = bo.id  # AppTest keeps here what a browser has in its cookie
    page.run()

    assert page.title[0].value == f"of {bo.person.name}"


def test_a_seat_named_in_the_state_of_a_session_counts_in_tests_only(
    ana: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(st.session_state, "seat", ana.id)

    assert shell.found() is None


def test_an_admin_is_called_one(service: Service, seat_of: Callable[..., Seat], run_page: Run) -> None:
    page = run_page("submit", seat_of(service.person(Role.ADMIN), "zh-TW"))

    assert page.sidebar.markdown[-1].value.endswith("系統管理員")


def test_s106_a_fragment_is_drawn_for_nobody_else(
    ana: Seat, bo: Seat, run_page: Run, drawing: Callable[..., None]
) -> None:
    kept: list[Callable[[], None]] = []

    def draw() -> None:
        if not kept:
            kept.append(shell.guarded(lambda: st.text("of ana") and None))
        kept[0]()
        st.title(shell.here().person.name)

    drawing(draw)
    page = run_page("compare", ana)
    assert [one.value for one in page.text] == ["of ana"]

    other = run_page("compare", bo)

    assert not other.text
    other = run_page("compare", None)
    assert not other.text


def _only_a_fragment(kept: list) -> None:  # type: ignore[type-arg]
    """As Streamlit runs a fragment again: without ``main``, which would look who is here."""
    import streamlit as st

    from finetune30.ui import shell

    if not kept:
        st.session_state["draft"] = "of ana"
        kept.append(shell.guarded(lambda: st.text(st.session_state["draft"]) and None))
    kept[0]()
    st.title("below")


def test_s106_what_the_page_around_a_fragment_kept_is_gone_for_who_is_there_now(ana: Seat, bo: Seat) -> None:
    page = AppTest.from_function(_only_a_fragment, args=([],))
    page.session_state["seat"] = ana.id
    page.run()
    assert [one.value for one in page.text] == ["of ana"]

    page.session_state["seat"] = bo.id
    page.run()

    assert not page.text
    assert "draft" not in page.session_state


def test_s106_a_session_that_ended_closes_the_seat_it_was_of_and_no_other(
    service: Service, bo: Seat, seat_of: Callable[..., Seat], run_page: Run, drawing: Callable[..., None]
) -> None:
    person = service.person()
    hers = seat_of(person)
    person.post("/logout")

    def draw() -> None:
        st.session_state["seat"] = hers.id
        fragment = shell.guarded(lambda: hers.client.me() and None)
        st.session_state["seat"] = bo.id
        fragment()

    drawing(draw)
    run_page("compare", bo)

    assert SEATS.find(bo.id) is bo


def test_a_page_that_fails_can_be_begun_afresh(ana: Seat, run_page: Run, drawing: Callable[..., None]) -> None:
    def draw() -> None:
        st.session_state.setdefault("draft", st.query_params.get("set"))
        if st.session_state["draft"] == "wrong":
            raise RuntimeError
        st.title("well")

    drawing(draw)
    page = run_page("compare", ana, set="wrong")
    assert not page.title

    page.button(key="afresh").click().run()

    assert [one.value for one in page.title] == ["well"]


def raising(fault: Exception) -> Callable[[], None]:
    def raise_it() -> None:
        raise fault

    return raise_it


def acting(does: Callable[[], object], place: str = "") -> Callable[[], None]:
    """A page with one button, whose faults are told at a place of their own, if it has one."""

    def draw() -> None:
        st.title("page")
        if place:
            shell.told(place)
        st.text("below")
        st.button("go", key="go", on_click=shell.act(does, at=place))

    return draw


def order(page: AppTest) -> list[str]:
    return [one.type for one in page.main if one.type in {"title", "text", "warning", "error", "info"}]


def test_s107_a_server_that_is_away_in_a_callback_is_told_as_anywhere_and_the_page_stays(
    cut_off: Seat, run_page: Run, drawing: Callable[..., None]
) -> None:
    drawing(acting(lambda: cut_off.client.me()))
    page = run_page("compare", cut_off)
    assert not page.warning

    page.button(key="go").click().run()

    assert not page.exception
    assert [one.value for one in page.warning] == [words("shell.away", "en")]
    assert [one.value for one in page.title] == ["page"]
    page.run()
    assert not page.warning  # it is said once


@pytest.mark.parametrize("place", ["", "here"])
def test_s107_a_refusal_in_a_callback_is_told_where_it_belongs_and_inert(
    ana: Seat, run_page: Run, drawing: Callable[..., None], place: str
) -> None:
    drawing(acting(raising(errors.StateError(MARKUP, hint=MARKUP)), place))
    page = run_page("compare", ana)

    page.button(key="go").click().run()

    assert not page.exception
    assert page.error[0].value == inert(MARKUP)
    assert order(page) == (["title", "error", "info", "text"] if place else ["error", "info", "title", "text"])


def test_s107_what_no_part_of_the_page_tells_is_told_below_it(
    ana: Seat, run_page: Run, drawing: Callable[..., None]
) -> None:
    def draw() -> None:
        st.title("page")
        st.button("go", key="go", on_click=shell.act(raising(errors.StateError("no")), at="elsewhere"))

    drawing(draw)
    page = run_page("compare", ana)

    page.button(key="go").click().run()

    assert order(page)[-2:] == ["title", "error"]


def test_s107_any_other_fault_of_a_callback_is_a_number_and_no_traceback(
    ana: Seat, run_page: Run, drawing: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    drawing(acting(raising(RuntimeError("secret words of a driver"))))
    page = run_page("compare", ana)

    page.button(key="go").click().run()

    assert not page.exception
    (record,) = (one for one in caplog.records if one.message == "a page failed")
    assert page.error[0].value == words("shell.fault", "en", number=record.request_id)  # type: ignore[attr-defined]
    assert record.exc_info is not None
    assert "secret" not in texts(page)
    assert [one.value for one in page.title][-1] == "page"


def test_a_session_that_ended_elsewhere_leads_to_the_login_from_a_callback(
    service: Service, seat_of: Callable[..., Seat], run_page: Run, drawing: Callable[..., None]
) -> None:
    person = service.person()
    seat = seat_of(person)
    drawing(acting(lambda: seat.client.me()))
    page = run_page("compare", seat)
    person.post("/logout")

    page.button(key="go").click().run()

    assert not page.exception
    assert words("shell.ended", "en") in texts(page)
    assert SEATS.find(seat.id) is None


def test_s106_a_click_on_what_was_drawn_for_somebody_else_does_nothing(
    ana: Seat, bo: Seat, run_page: Run, drawing: Callable[..., None]
) -> None:
    done: list[str] = []
    drawing(acting(lambda: done.append("of ana")))
    page = run_page("compare", ana)
    page.button(key="go").click().run()
    assert done == ["of ana"]

    page.session_state["seat"] = bo.id
    page.button(key="go").click().run()

    assert done == ["of ana"]
