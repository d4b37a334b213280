"""People who are logged in to the page, and a way to look at one of its pages as they do.

    def test_a_newcomer_is_told_what_to_do(ana, run_page):
        page = run_page("experiments", ana, q="state=RUNNING")   # AppTest, already run; /experiments?q=…
        assert not page.exception

``service`` is the API behind it (``service.ended(…)`` lets a task have run); ``seat_of(person)`` seats whom you made.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the page is not installed: pip install 'finetune30[ui]'")

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from finetune30.access import Role
from finetune30.client import Client, Session
from finetune30.ui.pages import path_of
from finetune30.ui.seats import SEATS, Seat
from finetune30.ui.serve import SCRIPT
from tests.api.service import Person, Service, serving
from tests.ui.page import Page

_PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running API without rate limits, for all tests of the page."""
    with serving(tmp_path_factory.mktemp("ui"), {"WEBHOOK_HOSTS": "127.0.0.1"}) as found:
        yield found


@pytest.fixture
def seat_of(service: Service) -> Iterator[Callable[..., Seat]]:
    """Seats somebody (``service.person()``): at the API, or at one of another address."""
    seats: list[Seat] = []

    def seat(person: Person, language: str = "en", api_url: str | None = None, **options: Any) -> Seat:
        client = Client(api_url or service.url, session=Session(person.token, person.refresh_token), **options)
        who = client.me() if api_url is None else seat_of_same(person)
        seats.append(SEATS.open(client, who, language))
        return seats[-1]

    def seat_of_same(person: Person) -> Any:
        with Client(service.url, token=person.token) as client:
            return client.me()

    yield seat
    for one in seats:
        SEATS.close(one.id)
        one.client.close()


@pytest.fixture
def ana(service: Service, seat_of: Callable[..., Seat]) -> Seat:
    """A user nobody has seen before, with nothing yet."""
    return seat_of(service.person())


@pytest.fixture
def bo(service: Service, seat_of: Callable[..., Seat]) -> Seat:
    """Another one."""
    return seat_of(service.person())


@pytest.fixture
def root(service: Service, seat_of: Callable[..., Seat]) -> Seat:
    """An admin."""
    return seat_of(service.person(Role.ADMIN))


@pytest.fixture
def cut_off(service: Service, seat_of: Callable[..., Seat]) -> Seat:
    """A user whose API is down: nothing listens there."""
    return seat_of(service.person(), api_url=f"http://127.0.0.1:{_free_port()}", tries=1, patience_s=2)


@pytest.fixture(scope="session")
def page(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page as a process, before the same API."""
    found = Page(tmp_path_factory.mktemp("page"), service.url, _free_port())
    yield found
    found.stop()


@pytest.fixture
def run_page() -> Callable[..., AppTest]:
    """Looks at a page: ``run_page("run", ana, id=…)``, by the name it has in ``pages``; the rest is the URL's query."""

    def run(name: str, seat: Seat | None, /, **query: str) -> AppTest:
        page = AppTest.from_file(Path(SCRIPT), default_timeout=_PATIENCE_S)
        if seat is not None:
            page.session_state["seat"] = seat.id
        page.query_params |= query
        # As a browser that opens /<path> asks for it; AppTest itself can only do so for pages that are files.
        page._page_hash = calc_hash(path_of(name))
        return page.run()

    return run


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
