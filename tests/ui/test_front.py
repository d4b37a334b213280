"""What a browser, and who is no browser, gets from the page's server before it is logged in, and afterwards."""

from __future__ import annotations

import re
import secrets

import httpx
import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.api.service import PASSWORD, Service
from tests.ui.page import LOOK, Page


@pytest.fixture(scope="module")
def inside(page: Page, service: Service) -> httpx.Client:
    """A browser of somebody who is logged in."""
    return page.logged_in(service.person())


def seen(page: Page, browser: httpx.Client) -> str:
    return " ".join(str(message) for message in page.drawn(browser))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil@localhost", "", "localhost:x", "[::2]"]
)
@pytest.mark.parametrize("path", ["/", "/login", "/_stcore/health", "/static/js/x.js"])
def test_s102_a_foreign_host_gets_nothing(page: Page, host: str, path: str) -> None:
    answer = page.client.get(path, headers={"Host": host})

    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def test_s102_a_websocket_of_a_foreign_host_or_page_is_refused(page: Page, inside: httpx.Client) -> None:
    for origin in ("http://evil.example", f"https://localhost:{page.port}.evil.example", "null"):
        with pytest.raises(InvalidStatus, match="403"), page.connect(inside, origin=origin):
            pass


@pytest.mark.parametrize("path", ["/", "/run?id=abc", "/media/x.png", "/_stcore/host-config", "/nowhere", "/_stcore/x"])
def test_who_is_not_logged_in_gets_the_login_page_for_whatever_they_ask(page: Page, path: str) -> None:
    answer = page.client.get(path)

    assert answer.status_code == 303
    assert httpx.URL(answer.headers["location"]).path == "/login"


def test_who_is_not_logged_in_cannot_upload(page: Page) -> None:
    answer = page.client.put("/_stcore/upload_file/session/file", files={"file": ("a.csv", b"text,label")})

    assert answer.status_code == 401


NOTHING = (
    "/static/nope",
    "/static/index.html",
    "/_stcore//metrics",
    "/_stcore/./metrics",
    "//_stcore/metrics",
    "/run//x",
)


@pytest.mark.parametrize("path", NOTHING)
def test_what_is_not_there_is_not_streamlits_own_document(page: Page, inside: httpx.Client, path: str) -> None:
    for browser in (page.client, inside):
        answer = browser.get(httpx.URL(page.url).copy_with(raw_path=path.encode()))
        assert (answer.status_code, "<html" in answer.text) == (404, False)


def test_a_browser_that_names_two_seats_has_none(page: Page, inside: httpx.Client) -> None:
    name, value = f"finetune30_{page.port}", inside.cookies[f"finetune30_{page.port}"]
    browser = page.browser()

    assert browser.get("/", headers={"Cookie": f"{name}={value}"}).status_code == 200
    for twice in (f"{name}={value}; {name}=x", f"{name}=x; {name}={value}"):
        assert browser.get("/", headers={"Cookie": twice}).status_code == 303


@pytest.mark.parametrize(("frame", "code"), [("text", 1003), (b"\xff" * 100, 1007), (b"", 1007)])
def test_what_no_page_says_closes_its_connection_with_one_line(
    page: Page, inside: httpx.Client, frame: str | bytes, code: int
) -> None:
    with page.connect(inside) as connection:
        connection.send(frame)
        with pytest.raises(ConnectionClosedError):
            list(connection)

    assert connection.close_code == code
    assert "Traceback" not in page.text


CLOSED = (
    "/_stcore/agent/interact",
    "/_stcore/agent/mcp",
    "/_stcore/agent/openapi.json",
    "/_stcore/metrics",
    "/_stcore/script-health-check",
    "/auth/login",
    "/auth/logout",
    "/oauth2callback",
)


@pytest.mark.parametrize("path", CLOSED)
def test_doors_of_streamlit_we_do_not_use_are_closed_to_everybody(page: Page, inside: httpx.Client, path: str) -> None:
    for browser in (page.client, inside):
        assert browser.get(path).status_code == 404
        assert browser.post(path).status_code == 404


@pytest.mark.parametrize("path", ["/login", "/logout", "/", "/static/x", "/run", "/nowhere", "/_stcore/health"])
def test_s104_every_answer_says_what_browsers_may_do_with_it(page: Page, inside: httpx.Client, path: str) -> None:
    for browser in (page.client, inside):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "")
        assert not re.search(r"https?:|\*|script-src[^;]*'unsafe-inline'", policy)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers
        if not path.startswith("/static/"):
            assert headers["cache-control"].split(",")[0] in {"no-store", "no-cache"}


def test_the_document_of_the_page_is_in_its_language_and_loads_nothing_from_elsewhere(
    page: Page, inside: httpx.Client
) -> None:
    english, named = inside.get("/submit?x=1"), re.compile(r'(?:src|href)="([^"]+)"')

    assert '<html lang="en">' in english.text
    assert "agent" not in english.text
    assert "<script>" not in english.text
    places = named.findall(english.text)
    assert any(place.startswith("/static/js/index") for place in places)
    for place in places:
        assert place.startswith("/")
        assert inside.get(place).status_code == 200, place


def test_an_address_that_no_page_has_is_told_with_a_way_back(page: Page, inside: httpx.Client) -> None:
    answer = inside.get("/runs/abc")

    assert answer.status_code == 404
    assert "<title>No such page" in answer.text
    assert "There is no such page." in answer.text


def test_the_connection_of_an_open_page_whose_seat_is_gone_leads_to_the_login(page: Page) -> None:
    """As after a restart: else it tries for ever, and shows a dialog about another program."""
    assert [message.auth_redirect.url for message in page.drawn()] == ["/logout?said=ended"]


def test_the_page_is_drawn_for_who_is_logged_in_also_after_a_refresh_and_in_a_second_tab(
    page: Page, service: Service
) -> None:
    ana = service.person(name=f"ana{secrets.token_hex(4)}")
    browser = page.logged_in(ana)

    for _ in range(2):
        assert browser.get("/").status_code == 200
        assert ana.name in seen(page, browser)


def test_s106_two_browsers_see_each_their_own(page: Page, service: Service) -> None:
    ana, bo = (service.person(name=f"{name}{secrets.token_hex(4)}") for name in ("ana", "bo"))
    hers, his = seen(page, page.logged_in(ana)), seen(page, page.logged_in(bo))

    assert (ana.name in hers, bo.name in hers) == (True, False)
    assert (ana.name in his, bo.name in his) == (False, True)


def seen_over(connection: ClientConnection, until: str = "script_finished") -> list[ForwardMsg]:
    """What one look shows over a connection that stays open."""
    connection.send(LOOK.SerializeToString())
    found = [ForwardMsg.FromString(connection.recv(60))]
    while found[-1].WhichOneof("type") not in {until, "auth_redirect"}:
        found.append(ForwardMsg.FromString(connection.recv(60)))
    return found


def session_over(connection: ClientConnection) -> str:
    return str(seen_over(connection, "new_session")[-1].new_session.initialize.session_id)


def way_out_of(connection: ClientConnection) -> str:
    """Where it is sent by itself, and that it is closed then."""
    found = ForwardMsg()
    while found.WhichOneof("type") != "auth_redirect":
        found = ForwardMsg.FromString(connection.recv(60))
    with pytest.raises(ConnectionClosed):
        connection.recv(60)
    return str(found.auth_redirect.url)


def test_s106_who_logs_in_in_another_tab_closes_the_pages_of_who_was_there(page: Page, service: Service) -> None:
    ana, bo = service.person(), service.person()
    browser = page.logged_in(ana)
    with page.connect(browser) as connection:
        seen_over(connection)
        page.enter(browser, bo.name, PASSWORD)

        way = way_out_of(connection)

    assert way.startswith("/logout?said=ended")
    # Whoever follows it is in, as bo, where ana was.
    led = browser.get(way, headers={"Referer": f"{page.url}/models?name=x"})
    assert (led.status_code, led.headers["location"]) == (303, "/models?name=x")


def test_s106_logging_out_closes_all_pages_of_that_browser_and_no_others(page: Page, service: Service) -> None:
    ana = service.person()
    browser, other = page.logged_in(ana), page.logged_in(ana)
    with page.connect(browser) as first, page.connect(browser) as second, page.connect(other) as third:
        for one in (first, second, third):
            seen_over(one)
        browser.post("/logout", headers={"Origin": page.url})

        assert {way_out_of(first), way_out_of(second)} == {"/logout?said=left&language=en"}
        assert seen_over(third)[-1].WhichOneof("type") == "script_finished"


@pytest.mark.parametrize("is_open", [True, False])
def test_s106_nobody_takes_up_a_session_of_another_seat(page: Page, service: Service, is_open: bool) -> None:
    ana, bo = (service.person(name=f"{name}{secrets.token_hex(4)}") for name in ("ana", "bo"))
    hers, his = page.logged_in(ana), page.logged_in(bo)
    with page.connect(hers) as connection:
        session = session_over(connection)
        if not is_open:
            connection.close()
        with page.connect(his, subprotocols=["streamlit", "x", session]) as other:
            found = seen_over(other)
            theirs = next(one.new_session for one in found if one.WhichOneof("type") == "new_session")
            assert (ana.name in str(found), bo.name in str(found)) == (False, True)
            assert theirs.initialize.session_id != session
        if is_open:
            assert ana.name in str(seen_over(connection))


def test_a_page_whose_connection_broke_takes_its_session_up_again(page: Page, service: Service) -> None:
    browser = page.logged_in(service.person())
    with page.connect(browser) as connection:
        session = session_over(connection)
    with page.connect(browser, subprotocols=["streamlit", "x", session]) as again:
        assert session_over(again) == session


def xsrf(browser: httpx.Client) -> dict[str, str]:
    browser.get("/_stcore/health")
    return {"X-Xsrftoken": browser.cookies.get("_streamlit_xsrf") or ""}


def test_s107_files_go_to_a_page_of_ones_own_and_from_there(page: Page, service: Service) -> None:
    hers, his = page.logged_in(service.person()), page.logged_in(service.person())
    with page.connect(hers) as connection:
        place, file = f"/_stcore/upload_file/{session_over(connection)}/one", {"file": ("a.csv", b"x")}

        assert his.put(place, files=file, headers=xsrf(his)).status_code == 403
        assert his.delete(place, headers=xsrf(his)).status_code == 403
        assert hers.put(place, files=file, headers={**xsrf(hers), "Origin": "http://evil.example"}).status_code == 403
        assert hers.put(place, content=iter([b"x"]), headers=xsrf(hers)).status_code == 411
        assert hers.put(place, files=file, headers={**xsrf(hers), "Origin": page.url}).status_code == 204


def test_s107_the_files_of_a_browser_are_limited_until_they_are_taken_away(page: Page, service: Service) -> None:
    browser = page.logged_in(service.person())
    file = {"file": ("a.csv", b"x" * 900_000)}
    with page.connect(browser) as connection:
        place, token = f"/_stcore/upload_file/{session_over(connection)}", xsrf(browser)
        answers = [browser.put(f"{place}/{n}", files=file, headers=token).status_code for n in range(3)]
        assert answers == [204, 204, 413]
        assert browser.delete(f"{place}/0", headers=token).status_code == 204
        assert browser.put(f"{place}/3", files=file, headers=token).status_code == 204


def uploaded(page: Page, browser: httpx.Client, size: int, **headers: str) -> httpx.Response:
    """Sends a file as an open page does."""
    with page.connect(browser) as connection:
        told = ForwardMsg()
        connection.send(LOOK.SerializeToString())
        while told.WhichOneof("type") != "new_session":
            told = ForwardMsg.FromString(connection.recv())
        session = told.new_session.initialize.session_id
        file = {"file": ("a.csv", b"x" * size)}
        return browser.put(f"/_stcore/upload_file/{session}/one", files=file, headers=headers)


def test_s107_an_upload_over_the_limit_is_refused(page: Page, inside: httpx.Client) -> None:
    token = xsrf(inside)

    assert uploaded(page, inside, 1000, **token).status_code == 204
    assert uploaded(page, inside, (1 << 20) + 70_000, **token).status_code == 413


def test_s107_a_form_of_another_page_cannot_upload_although_a_file_of_settings_says_so(
    page: Page, inside: httpx.Client
) -> None:
    assert uploaded(page, inside, 1000).status_code == 403


def test_s107_nothing_of_a_streamlit_folder_where_it_is_started_counts(page: Page, inside: httpx.Client) -> None:
    shown = seen(page, inside)

    assert "0B6E99" in shown
    assert "ff0000" not in shown
    assert "gather_usage_stats: true" not in shown
    assert page.client.get("/elsewhere/_stcore/health").status_code == 303  # no page of ours is there
