"""The web page as a process of its own, asked over real HTTP and websockets; started where somebody left bad settings.

Neighbours: ``conftest`` starts one for a whole run of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from tests.api.service import PASSWORD, Person

PATIENCE_S = 60.0
LOOK = BackMsg()
LOOK.rerun_script.query_string = ""
HOSTILE = """
[server]
enableXsrfProtection = false
enableCORS = false
enableStaticServing = true
enableAgentApi = true
scriptHealthCheckEnabled = true
maxUploadSize = 4000
baseUrlPath = "elsewhere"
fileWatcherType = "auto"
corsAllowedOrigins = ["https://evil.example"]
[client]
showErrorDetails = "full"
toolbarMode = "developer"
[browser]
gatherUsageStats = true
[theme]
primaryColor = "#ff0000"
"""


class Page:
    """``finetune30 ui`` while it runs."""

    def __init__(self, home: Path, api_url: str, port: int, **variables: str) -> None:
        folder = home / ".streamlit"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(HOSTILE)
        self.port = port
        self._browsers: list[httpx.Client] = []
        self.log = home / "page.log"
        given = {"UI_PORT": str(port), "API_URL": api_url, "UI_UPLOAD_MAX_MB": "1", "HOME": str(home), **variables}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "finetune30", "ui"],
                env={**os.environ, **given},
                cwd=home,
                stderr=log,
                stdout=log,
            )
        self.client = self.browser()
        until = time.monotonic() + PATIENCE_S
        while "the web page is at" not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < until, self.text
            time.sleep(0.05)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://localhost:{self.port}"

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8")

    def browser(self, **headers: str) -> httpx.Client:
        """Cookies of its own."""
        self._browsers.append(httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False, headers=headers))
        return self._browsers[-1]

    def logged_in(self, person: Person, path: str = "/") -> httpx.Client:
        """A browser of somebody who has logged in."""
        browser = self.browser()
        answer = self.enter(browser, person.name, PASSWORD, path)
        assert (answer.status_code, answer.headers.get("location")) == (303, path), answer.text
        return browser

    def enter(self, browser: httpx.Client, name: str, password: str, path: str = "/", **headers: str) -> httpx.Response:
        """Send the form."""
        form = {"username": name, "password": password, "next": path}
        return browser.post("/login", data=form, headers={"Origin": self.url, **headers})

    @contextmanager
    def connect(self, browser: httpx.Client | None = None, **options: Any) -> Iterator[ClientConnection]:
        """As an open page does: the connection over which it is drawn."""
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items()) if browser else ""
        options = {
            "subprotocols": ["streamlit"],
            "origin": self.url,
            "additional_headers": {"Cookie": cookies} if cookies else {},
            **options,
        }
        place = f"ws://localhost:{self.port}/_stcore/stream"
        with connect(place, proxy=None, **options) as connection:
            yield connection

    def drawn(self, browser: httpx.Client | None = None) -> list[ForwardMsg]:
        """All that a first look at the first page shows; who is sent away sees no more."""
        found: list[ForwardMsg] = []
        with self.connect(browser) as connection:
            if browser is not None:
                connection.send(LOOK.SerializeToString())
            for data in connection:
                found.append(ForwardMsg.FromString(data))
                if found[-1].WhichOneof("type") == "script_finished":
                    break
        return found

    def stop(self) -> None:
        """End it."""
        for one in self._browsers:
            one.close()
        self.process.terminate()
        self.process.wait(PATIENCE_S)
