"""The page behind a proxy that speaks HTTPS; and the memory that files take there, of one browser and of all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.api.service import PASSWORD, Service
from tests.servers import free_port
from tests.ui.page import PATIENCE_S, Page
from tests.ui.test_front import session_over, xsrf

HOST = "page.example.org"
SECURE = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
HSTS = "strict-transport-security"
# Each browser may hold two; ten of the largest is what the page holds of all.
FILE = {"file": ("a.csv", b"x" * 1_040_000)}


@pytest.fixture(scope="module")
def proxied(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page whose every neighbour on this machine is its proxy."""
    variables = {"FORWARDED_ALLOW_IPS": "127.0.0.1", "ALLOWED_HOSTS": f"{HOST},app.localhost,192.0.2.1"}
    found = Page(tmp_path_factory.mktemp("proxied"), service.url, free_port(), **variables)
    yield found
    found.stop()


def form(page: Page, name: str, **headers: str) -> httpx.Response:
    given = {"username": name, "password": PASSWORD, "next": "/"}
    return page.browser().post("/login", data=given, headers={**SECURE, **headers})


@pytest.mark.parametrize("path", ["/login", "/favicon.png", "/nowhere", "/_stcore/health"])
def test_s104_behind_https_browsers_are_told_to_come_that_way_only(proxied: Page, path: str) -> None:
    told = proxied.client.get(path, headers=SECURE).headers

    assert told[HSTS] == "max-age=31536000"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": HOST},
        {"Host": HOST, "X-Forwarded-Proto": "http"},
        {**SECURE, "Host": "localhost"},  # many services share it
        {**SECURE, "Host": "app.localhost"},
        {**SECURE, "Host": "192.0.2.1"},
        {**SECURE, "Host": "127.0.0.1:8501"},
    ],
)
def test_s104_nobody_is_told_so_without_it_or_for_a_name_that_is_not_the_pages_own(
    proxied: Page, headers: dict[str, str]
) -> None:
    answer = proxied.client.get("/login", headers=headers)

    assert answer.status_code == 200
    assert HSTS not in answer.headers


def test_s104_whoever_is_no_proxy_of_ours_says_nothing_of_the_scheme(page: Page) -> None:
    answer = page.client.get("/login", headers={"X-Forwarded-Proto": "https"})
    left = page.browser().get("/logout", headers={"X-Forwarded-Proto": "https"})

    assert HSTS not in answer.headers
    assert "secure" not in left.headers["set-cookie"].lower()


def test_s103_behind_https_a_form_without_it_logs_nobody_in(proxied: Page, service: Service) -> None:
    ana = service.person().name

    assert form(proxied, ana, Origin=f"http://{HOST}").status_code == 403
    assert form(proxied, ana, Origin=f"https://{HOST}:444").status_code == 403
    entered = form(proxied, ana, Origin=f"https://{HOST}")

    assert entered.status_code == 303
    cookies = entered.headers.get_list("set-cookie")
    assert all("secure" in one.lower() for one in cookies if "httponly" in one.lower())
    assert any("httponly" in one.lower() for one in cookies)


def test_s102_behind_https_a_page_without_it_opens_no_connection(proxied: Page) -> None:
    def opened(origin: str) -> None:
        with proxied.connect(origin=origin, additional_headers={"X-Forwarded-Proto": "https"}):
            pass

    with pytest.raises(InvalidStatus) as refused:
        opened(proxied.url)
    assert refused.value.response.status_code == 403
    opened(proxied.url.replace("http://", "https://"))


def test_s107_files_of_all_browsers_are_limited_and_a_seat_that_ends_frees_its_own(
    proxied: Page, service: Service
) -> None:
    with ExitStack() as stack:

        def sender() -> tuple[httpx.Client, str, dict[str, str]]:
            browser = proxied.logged_in(service.person())
            # As a browser does it takes in whatever is said, so that a closing is heard behind it.
            session = session_over(stack.enter_context(proxied.connect(browser, max_queue=None)))
            return browser, f"/_stcore/upload_file/{session}", xsrf(browser)

        def sent(who: Any, name: str) -> int:
            browser, place, token = who
            return int(browser.put(f"{place}/{name}", files=FILE, headers=token).status_code)

        senders = [sender() for _ in range(6)]
        assert [sent(one, name) for one in senders[:5] for name in ("a", "b")] == [204] * 10
        assert sent(senders[5], "a") == 503

        senders[0][0].post("/logout", headers={"Origin": proxied.url})

        until = time.monotonic() + PATIENCE_S
        while sent(senders[5], "a") == 503:
            assert time.monotonic() < until, "what the seat held is not freed"
            time.sleep(0.2)
        assert sent(senders[5], "b") == 204
        assert sent(senders[1], "c") == 413  # its own limit stays
