"""A Chromium before the page: the machine's own, driven by Playwright; tests skip where one of them is not there.

A ``Visit`` is one person's browser: cookies of its own, and a list of every request that went elsewhere. No other
machine has an address here. Requests are not held up to be looked at: that turns Chromium's cache off, and each page
costs twice. Elements are found by the words somebody reads, or by the key the page gave them. Neighbours: ``world``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import pytest

from finetune30.ui.words import words
from tests.ui.world import PASSWORD

PATIENCE_MS = 90_000
# Of a table: what a click finds there is known some moments after it is seen.
_HEAD_PX, _ROW_PX, _DRAWN_MS = 36, 35, 700
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium's own, not the page's: it is started as root in a container, and calls home by itself.
_OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
_NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"


def chromium() -> str | None:
    """Its program: ``FINETUNE30_CHROMIUM``, else the one on the PATH."""
    return os.environ.get("FINETUNE30_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


def missing() -> str | None:
    """What keeps this machine from driving a browser; None where nothing does."""
    if find_spec("playwright") is None:
        return "Playwright is not installed: pip install playwright"
    if chromium() is None:
        return "there is no Chromium on the PATH: apt-get install chromium, or name one in FINETUNE30_CHROMIUM"
    return None


@contextmanager
def launched() -> Iterator[Any]:
    """A browser without a window, Playwright's ``Browser``; ended with the block.

    Skips the test where there is none.
    """
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*_OPTIONS, _NOWHERE])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One person's browser at the page, with one tab to begin with.

    Attributes:
        tab: Playwright's ``Page``.
        elsewhere: Addresses that were asked for and are not the page's.
        faults: What the browser's console said was wrong, scripts that failed among it.
    """

    def __init__(self, browser: Any, url: str, language: str = "en", **options: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 900}, "locale": language, **options}
        self.url, self.language = url, language
        self.elsewhere: list[str] = []
        self.faults: list[str] = []
        self._context = browser.new_context(base_url=url, **options)
        self._context.set_default_timeout(PATIENCE_MS)
        self._context.on("request", self._note)
        self._context.on("weberror", lambda error: self.faults.append(str(error.error)))
        self._context.on("console", self._hear)
        self.tab = self.open_tab()

    def say(self, key: str, **values: object) -> str:
        """A text of the page, in this person's language."""
        return words(key, self.language, **values)

    def open_tab(self) -> Any:
        """A further tab, Playwright's ``Page``."""
        tab = self._context.new_page()
        tab.on("websocket", lambda socket: self._note_address(socket.url))
        return tab

    def log_in(self, name: str, password: str = PASSWORD) -> None:
        """From the login page to the first page."""
        self.tab.goto("/")
        self.tab.get_by_label(self.say("door.name"), exact=True).fill(name)
        self.tab.get_by_label(self.say("door.password"), exact=True).fill(password)
        self.tab.get_by_role("button", name=self.say("door.enter"), exact=True).click()
        self.heading().wait_for()

    def go(self, path: str) -> None:
        """Open an address of the page, and wait until it is drawn."""
        self.tab.goto(path)
        self.heading().wait_for()
        self.drawn()

    def heading(self, name: str | None = None) -> Any:
        """The page's title."""
        return self.tab.get_by_role("heading", level=1, name=name) if name else self.tab.locator("h1").first

    def key(self, name: str, tab: Any = None) -> Any:
        """The element, or the container, that the page gave this key."""
        return (tab or self.tab).locator(f".st-key-{re.sub(r'[^A-Za-z0-9_-]', '-', name)}").first

    def link(self, key: str, tab: Any = None) -> Any:
        """The link of this text, on the page itself and not in its menu."""
        main = (tab or self.tab).get_by_test_id("stMain")
        return main.get_by_role("link", name=self.say(key)).first

    def press(self, key: str) -> None:
        """Click the button of this key."""
        self.key(key).locator("button").first.click()

    def mark(self, key: str, row: int) -> None:
        """Click the mark of a row in the table of this key; rows are counted from 0. Tables are drawn, not elements."""
        canvas = self.key(key).locator("canvas").first
        canvas.scroll_into_view_if_needed()
        self.tab.wait_for_timeout(_DRAWN_MS)
        box = canvas.bounding_box()
        self.tab.mouse.click(box["x"] + 16, box["y"] + _HEAD_PX + _ROW_PX * (row + 0.5))
        self.tab.wait_for_timeout(_DRAWN_MS)
        self.drawn()

    def point(self, key: str, row: int, right_px: float) -> None:
        """Click in a row of the table of this key, so far from its left edge."""
        canvas = self.key(key).locator("canvas").first
        canvas.scroll_into_view_if_needed()
        self.tab.wait_for_timeout(_DRAWN_MS)
        box = canvas.bounding_box()
        self.tab.mouse.click(box["x"] + right_px, box["y"] + _HEAD_PX + _ROW_PX * (row + 0.5))
        self.tab.wait_for_timeout(_DRAWN_MS)

    def menu(self, name: str) -> None:
        """Go to a page by its name in the menu."""
        self.tab.get_by_test_id("stSidebar").get_by_role("link", name=self.say(f"shell.{name}")).click()
        self.heading(self.say(f"shell.{name}")).wait_for()
        self.drawn()

    def sees(self, key: str, **values: object) -> None:
        """Wait until this text of the page is shown."""
        self.tab.get_by_text(self.say(key, **values)).first.wait_for()

    def drawn(self) -> None:
        """Wait until nothing is being drawn any more."""
        self.tab.wait_for_function(
            "() => { const app = document.querySelector('[data-testid=stApp]');"
            " return app && app.getAttribute('data-test-script-state') !== 'running'"
            " && !document.querySelector('[data-testid=stSkeleton], [data-stale=true]'); }"
        )

    def close(self) -> None:
        """End it."""
        self._context.close()

    def _note(self, request: Any) -> None:
        self._note_address(request.url)

    def _note_address(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme not in ("data", "blob") and address.netloc != urlsplit(self.url).netloc:
            self.elsewhere.append(url)

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)
