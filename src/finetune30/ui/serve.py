"""The page as a process: uvicorn, Streamlit's own app behind our front, until a signal comes.

Promises: what Streamlit would read of a ``.streamlit`` folder where it is started changes nothing that keeps the page
safe. Neighbours: ``cli.ui`` calls ``serve``.
"""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from streamlit.web import bootstrap

from finetune30.errors import SettingsError
from finetune30.ui import shell
from finetune30.ui.door import Door
from finetune30.ui.front import Front
from finetune30.ui.options import Options
from finetune30.ui.seats import SEATS
from finetune30.ui.theme import THEME
from finetune30.web.listening import address_of, allow_files, listen, signals_end

SCRIPT = Path(__file__).with_name("entry") / "script.py"
"""In a folder of its own: files of a folder ``pages`` beside it Streamlit takes for pages, and runs them unguarded."""
_LOG = logging.getLogger("finetune30.ui")
_SWEEP_EVERY_S = 60.0
_LAST_S = 5.0
"""For the sessions at the API to end when the page does."""


def app_of(options: Options) -> Any:
    """The ASGI app; one a process, as Streamlit's is."""
    bootstrap.load_config_options({**_SAFE, **THEME, "server.maxUploadSize": options.upload_mb})
    shell.configure(options)
    return st.App(
        SCRIPT,
        routes=Door(options).routes(),
        middleware=[Middleware(Front, options=options)],
    )


def serve(options: Options, told: Callable[[str], object] = lambda _: None) -> int:
    """Serve until a signal comes; returns the exit code.

    Args:
        told: Called with the page's address, as soon as it answers there.
    Raises: SettingsError where the port cannot be had.
    """
    listener = _bound(options)
    allow_files()
    address = address_of(listener, secure=options.tls_certfile is not None).replace("127.0.0.1", "localhost")
    server = _Server(_config_of(options), lambda: told(address))
    over = threading.Event()
    threading.Thread(target=_sweep, args=(over,), name="sweeping", daemon=True).start()
    try:
        with signals_end(server):
            server.run(sockets=[listener])
    finally:
        over.set()
        SEATS.close_all(_LAST_S)
    return 0 if server.started else 1


def _sweep(over: threading.Event) -> None:
    """Seats end after a day without a look also where nobody comes any more; what they left in memory is freed."""
    while not over.wait(_SWEEP_EVERY_S):
        try:
            SEATS.sweep()
        except Exception:  # noqa: BLE001 - without this thread no seat would ever end
            _LOG.exception("seats were not looked through")
        gc.collect()


class _Server(uvicorn.Server):
    """Says when it answers; however many signals come, it ends in order, which takes some seconds at most."""

    def __init__(self, config: uvicorn.Config, told: Callable[[], object]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self._told()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn calls it
        """End. uvicorn's own drops everything at a second Ctrl+C, with a traceback."""
        self.should_exit = True


def _config_of(options: Options) -> uvicorn.Config:
    return uvicorn.Config(
        app_of(options),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(options.proxies),
        forwarded_allow_ips=list(options.proxies),
        loop="finetune30.web.guard:Loop",
        http="finetune30.web.guard:Guarded",
        ws="websockets-sansio",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        limit_concurrency=4000,
        ssl_certfile=options.tls_certfile,
        ssl_keyfile=options.tls_keyfile,
    )


def _bound(options: Options) -> socket.socket:
    try:
        return listen(options.host, options.port)
    except OSError as cause:
        raise SettingsError(
            f"cannot listen on {options.host} port {options.port}: {(cause.strerror or str(cause)).lower()}",
            where="UI_HOST, UI_PORT",
            hint="is another one running? finetune30 ui --port 8502 takes another port",
        ) from cause


_SAFE: dict[str, Any] = {
    "server.headless": True,
    "server.enableXsrfProtection": True,
    "server.enableCORS": True,
    "server.corsAllowedOrigins": [],
    "server.enableStaticServing": False,
    "server.enableAgentApi": False,
    "server.scriptHealthCheckEnabled": False,
    "server.baseUrlPath": "",
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.allowRunOnSave": False,
    "server.trustedUserHeaders": "{}",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "client.allowedOrigins": [],
    "client.showSidebarNavigation": True,
    # A whole collection after each look took a quarter of it; ``_sweep`` has one a minute.
    "runner.postScriptGC": False,
    "runner.magicEnabled": False,
    "browser.gatherUsageStats": False,
    "global.developmentMode": False,
}
