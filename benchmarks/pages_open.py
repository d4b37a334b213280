"""Open pages without browsers: what each says to the server and hears of it, in one thread for all of them.

A live page is drawn anew because its browser asks for it every two seconds; so do these. What a browser does with the
answer is left out: in life that is another machine's work. Neighbours: ``page`` measures beside them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

_PATIENCE_S = 60.0


class Pages:
    """So many people who look at one address of the page; each has logged in.

    Attributes:
        looks: How often a page was drawn so far, all together.
        heard: Bytes that came.
        client_s: Processor seconds of these clients; the page's own are its process's.
    """

    def __init__(self, url: str, people: list[tuple[str, str]], path: str) -> None:
        self.url, self.people = url, people
        self.page, _, self.query = path.strip("/").partition("?")
        self.looks = self.heard = 0
        self.client_s = 0.0
        self._drawn = threading.Semaphore(0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failed: BaseException | None = None

    def open(self) -> None:
        """All of them, each drawn once.

        Raises: RuntimeError if one is not.
        """
        self._cookies = [self._seat(*one) for one in self.people]
        self._thread.start()
        for _ in self.people:
            if not self._drawn.acquire(timeout=_PATIENCE_S) or self._failed is not None:
                raise RuntimeError(f"a page is not drawn: {self._failed}")

    def close(self) -> None:
        """All of them.

        Raises: RuntimeError if one ended before.
        """
        with suppress(RuntimeError):  # where all have ended their loop is closed
            self._loop.call_soon_threadsafe(self._all.cancel)
        self._thread.join(_PATIENCE_S)
        if self._failed is not None:
            raise RuntimeError(f"a page ended: {self._failed}")

    def _seat(self, name: str, password: str) -> str:
        with httpx.Client(base_url=self.url, timeout=_PATIENCE_S, trust_env=False) as browser:
            form = {"username": name, "password": password, "next": "/"}
            answer = browser.post("/login", data=form, headers={"Origin": self.url})
            if answer.status_code != 303:
                raise RuntimeError(f"{name} cannot log in: {answer.status_code}")
            return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._all = self._loop.create_task(self._look_together())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._all)
        rest = asyncio.all_tasks(self._loop)  # of connections that are being closed
        for one in rest:
            one.cancel()
        self._loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        self.client_s = time.thread_time()
        self._loop.close()

    async def _look_together(self) -> None:
        try:
            await asyncio.gather(*(self._look(cookie) for cookie in self._cookies))
            raise RuntimeError("the server closed it")
        except Exception as fault:  # noqa: BLE001 - told to whoever opened them
            self._failed = fault
            for _ in self.people:
                self._drawn.release()

    async def _look(self, cookie: str) -> None:
        place = f"ws://{urlsplit(self.url).netloc}/_stcore/stream"
        options: dict[str, Any] = {"origin": self.url, "additional_headers": {"Cookie": cookie}, "proxy": None}
        async with connect(place, subprotocols=["streamlit"], max_size=None, **options) as connection:  # type: ignore[list-item]
            await connection.send(self._asked())
            again: dict[str, asyncio.Task[None]] = {}
            first = True
            try:
                async for data in connection:
                    assert isinstance(data, bytes)
                    self.heard += len(data)
                    told = ForwardMsg.FromString(data)
                    kind = told.WhichOneof("type")
                    if kind == "new_session" and not told.metadata.run.fragment_ids:
                        self._hash = told.new_session.page_script_hash
                        _end(again)  # all of the page is drawn anew
                    elif kind == "auto_rerun" and told.auto_rerun.fragment_id not in again:
                        one = told.auto_rerun
                        repeat = self._repeat(connection, one.interval, one.fragment_id)
                        again[one.fragment_id] = asyncio.create_task(repeat)
                    elif kind == "script_finished":
                        self.looks += 1
                        if first:
                            first = False
                            self._drawn.release()
            finally:
                _end(again)

    async def _repeat(self, connection: ClientConnection, every_s: float, fragment: str) -> None:
        while True:
            await asyncio.sleep(every_s)
            await connection.send(self._asked(fragment))

    def _asked(self, fragment: str = "") -> bytes:
        asked = BackMsg()
        asked.rerun_script.query_string = self.query
        if fragment:
            asked.rerun_script.fragment_id = fragment
            asked.rerun_script.is_auto_rerun = True
            asked.rerun_script.page_script_hash = self._hash
        else:
            asked.rerun_script.page_name = self.page
        return bytes(asked.SerializeToString())


def _end(some: dict[str, asyncio.Task[None]]) -> None:
    for one in some.values():
        one.cancel()
    some.clear()


@contextmanager
def opened(url: str, people: list[tuple[str, str]], path: str) -> Iterator[Pages]:
    """Open while the block runs."""
    pages = Pages(url, people, path)
    pages.open()
    try:
        yield pages
    finally:
        pages.close()
