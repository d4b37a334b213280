"""Logging in and out at the page, as browsers do it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import pytest

from finetune30.access import Role
from finetune30.ui.door import inside
from tests.api.service import PASSWORD, Service, serving
from tests.ui.page import LOOK, PATIENCE_S, Page


def test_a_login_leads_back_to_where_one_wanted_to_go_and_its_cookie_is_hidden_from_scripts(
    page: Page, service: Service
) -> None:
    browser = page.browser()
    wanted = browser.get("/run?id=abc&tab=curves")
    form = browser.get(wanted.headers["location"])
    assert 'name="next" value="/run?id=abc&amp;tab=curves"' in form.text

    answer = page.enter(browser, service.person().name, PASSWORD, "/run?id=abc&tab=curves")

    assert answer.headers["location"] == "/run?id=abc&tab=curves"
    (cookie,) = (one for one in answer.headers.get_list("set-cookie") if one.startswith(f"finetune30_{page.port}="))
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert browser.get("/login?next=/data").headers["location"] == "/data"


def test_a_wrong_password_is_told_and_the_name_is_kept_inert(page: Page) -> None:
    answer = page.enter(page.browser(), '"><script>alert(1)</script>', "no")

    assert answer.status_code == 401
    assert "User name and password do not belong together." in answer.text
    assert 'value="&quot;&gt;&lt;script&gt;' in answer.text
    assert "<script" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_s103_a_form_of_another_page_logs_nobody_in_or_out(
    page: Page, service: Service, headers: dict[str, str]
) -> None:
    ana = service.person()
    assert page.enter(page.browser(), ana.name, PASSWORD, **headers).status_code == 403

    browser = page.logged_in(ana)
    browser.post("/logout", headers=headers)
    assert browser.get("/").status_code == 200


def test_a_link_logs_nobody_out_and_the_button_behind_it_does(page: Page, service: Service) -> None:
    ana = service.person()
    browser = page.logged_in(ana)

    asked = browser.get("/logout")
    assert "Do you want to log out?" in asked.text
    assert browser.get("/").status_code == 200

    gone = browser.post("/logout", headers={"Origin": page.url})
    assert gone.headers["location"] == "/logout?said=left"
    shown = browser.get(gone.headers["location"])
    assert f'finetune30_{page.port}=""' in shown.headers["set-cookie"]
    assert "You are logged out." in browser.get(shown.headers["location"]).text
    assert browser.get("/").status_code == 303
    # Its session at the API ended, too: the tokens open nothing any more.
    until = time.monotonic() + 30
    while "logout" not in {row.action for row in service.audit(user_id=ana.user.id)}:
        assert time.monotonic() < until


def test_an_open_page_whose_seat_is_gone_comes_back_to_where_it_was(page: Page) -> None:
    browser = page.browser()

    answer = browser.get("/logout?language=zh-TW", headers={"Referer": f"{page.url}/models?name=spam"})

    assert answer.headers["location"] == "/login?said=ended&language=zh-TW&next=%2Fmodels%3Fname%3Dspam"
    assert "登入已逾時" in browser.get(answer.headers["location"]).text


def test_both_languages_are_there_by_link_and_by_the_browsers_own(page: Page) -> None:
    assert '<html lang="zh-TW">' in page.client.get("/login?language=zh-TW").text
    assert '<html lang="zh-TW">' in page.client.get("/login", headers={"Accept-Language": "zh-Hant-TW,zh;q=0.9"}).text
    assert '<html lang="en">' in page.client.get("/login?language=<script>").text


def test_a_server_that_is_away_is_told_calmly_the_name_stays_and_the_address_is_believed_of_the_page(
    tmp_path: Path, free_port: int
) -> None:
    key = "Vd7Qe2Zr6Vt0Bk3Mp7Lc1Ys5Hd9Fgx4W"
    with serving(tmp_path / "api", {"PAGE_KEY": key, "WRITES_PER_MINUTE": 2}) as api:
        person = api.person()
        own = Page(tmp_path / "page", api.url, free_port, PAGE_KEY=key, FORWARDED_ALLOW_IPS="127.0.0.1")
        try:
            for last in range(1, 5):  # each from an address of its own, so that no limit of one is reached
                answer = own.enter(own.browser(), "nobody", "no", **{"X-Forwarded-For": f"203.0.113.{last}"})
                assert answer.status_code == 401
            for _ in range(2):
                own.enter(own.browser(), "nobody", "no", **{"X-Forwarded-For": "203.0.113.9"})
            often = own.enter(own.browser(), "nobody", "no", **{"X-Forwarded-For": "203.0.113.9"})
            assert (often.status_code, "Too many tries." in often.text) == (429, True)
            api.stop()
            answer = own.enter(own.browser(), person.name, PASSWORD)
        finally:
            own.stop()

    assert answer.status_code == 503
    assert "The server does not answer just now." in answer.text
    assert f'value="{person.name}"' in answer.text
    assert str(api.port) not in answer.text


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "//evil.example/x",
        "///evil.example/x",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "evil.example",
        "http:evil",
        "/x\r\nSet-Cookie: a=b",
        "//[",
        "/..//evil.example",
        "/.//evil.example",
        "/x/..//evil.example",
        "/%2e%2e//evil.example",
        "/%2f/evil.example",
        "/%5cevil.example",
        "/./login",
        "/login?next=/login",
        "/logout",
        "",
        None,
    ],
)
def test_a_login_leads_to_no_other_place(wanted: str | None) -> None:
    assert inside(wanted) == "/"


def test_a_body_that_is_far_too_large_or_no_form_is_no_login(page: Page) -> None:
    for body in (b"username=a&password=" + b"x" * 100_000, b"\xff\x00", b"", b"{}"):
        assert page.client.post("/login", content=body, headers={"Origin": page.url}).status_code in {401, 422}


def test_who_logs_in_again_gives_the_seat_before_back(page: Page, service: Service) -> None:
    browser = page.logged_in(service.person())
    before = browser.cookies[f"finetune30_{page.port}"]

    page.enter(browser, service.person(Role.ADMIN).name, PASSWORD)

    assert browser.cookies[f"finetune30_{page.port}"] != before
    assert page.browser().get("/", headers={"Cookie": f"finetune30_{page.port}={before}"}).status_code == 303


def test_an_address_that_is_none_is_not_from_here(page: Page) -> None:
    answer = page.browser().get("/logout", headers={"Referer": "http://["})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?said=ended&language=en&next=%2F")

    assert page.enter(page.browser(), "nobody", "no", Origin="http://[").status_code == 403
    assert "Traceback" not in page.text


class Other(BaseHTTPRequestHandler):
    """Something that is no API."""

    status = 200

    def do_POST(self) -> None:
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_what_is_no_answer_of_an_api_is_no_login(tmp_path: Path, free_port: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever).start()
        own = Page(tmp_path, f"http://127.0.0.1:{server.server_port}", free_port)
        try:
            for Other.status in (200, 302, 204):
                answer = own.enter(own.browser(), "ana", PASSWORD)
                assert answer.status_code in {502, 503}
                assert "set-cookie" not in answer.headers
        finally:
            own.stop()
            server.shutdown()


def test_logins_that_wait_for_a_slow_api_hold_up_nothing_else(tmp_path: Path, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent, ThreadPoolExecutor(60) as many:
        own = Page(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", free_port)
        try:
            tries = [many.submit(own.enter, own.browser(), "ana", PASSWORD) for _ in range(60)]
            first = [one.result() for one in islice(as_completed(tries), 40)]
            assert {(one.status_code, one.headers.get("retry-after")) for one in first} == {(503, "5")}
            assert not all(one.done() for one in tries)
            for path in ("/favicon.png", "/frame.js", "/frame.css", "/login"):
                assert own.client.get(path).status_code == 200
        finally:
            own.stop()


def test_the_page_ends_in_order_with_all_its_sessions(service: Service, tmp_path: Path, free_port: int) -> None:
    ana = service.person()
    own = Page(tmp_path, service.url, free_port)
    own.logged_in(ana)
    own.logged_in(ana)

    own.stop()

    assert own.process.returncode == 0
    assert [row.action for row in service.audit(user_id=ana.user.id)].count("logout") == 2
    assert "error" not in own.text.lower()


def test_right_passwords_are_not_counted_and_the_oldest_of_many_browsers_is_led_to_the_login(
    page: Page, service: Service
) -> None:
    ana = service.person()

    browsers = [page.logged_in(ana) for _ in range(21)]

    answers = [one.get("/experiments").status_code for one in browsers]
    assert answers == [303] + [200] * 20
    assert browsers[0].get("/experiments").headers["location"].startswith("/login")


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_the_page_in_order_and_frees_its_port(
    service: Service, tmp_path: Path, free_port: int, times: int
) -> None:
    own = Page(tmp_path, service.url, free_port)
    browser = own.logged_in(service.person())
    with own.connect(browser, max_queue=None) as connection:
        connection.send(LOOK.SerializeToString())
        connection.recv()
        for _ in range(times):
            own.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        code = own.process.wait(PATIENCE_S)

    assert code == 0
    assert "Traceback" not in own.text
    assert "error" not in own.text.lower()
    with socket.create_server(("127.0.0.1", free_port)):
        pass
    own.stop()
