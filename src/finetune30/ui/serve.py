"""The page as a process: uvicorn, Streamlit's own app behind our front, until a signal comes.

Promises: what Streamlit would read of a ``.streamlit`` folder where it is started changes nothing that keeps the page
safe. Neighbours: ``cli.ui`` calls ``serve``.
"""

from __future__ import annotations

import logging
import socket
from pathlib import Path
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
from finetune30.ui.theme import THEME
from finetune30.web.listening import address_of, allow_files, listen

_LOG = logging.getLogger("finetune30.ui")
SCRIPT = Path(__file__).with_name("entry") / "script.py"
"""In a folder of its own: Streamlit would take files of a folder ``pages`` beside it for pages, and run them unguarded."""


def app_of(options: Options) -> Any:
    """The ASGI app; one a process, as Streamlit's is."""
    bootstrap.load_config_options({**_SAFE, **THEME, "server.maxUploadSize": options.upload_mb})
    shell.configure(options)
    return st.App(
        SCRIPT,
        routes=Door(options).routes(),
        middleware=[Middleware(Front, options=options)],
    )


def serve(options: Options) -> int:
    """Serve until a signal comes; returns the exit code.

    Raises: SettingsError where the port cannot be had.
    """
    listener = _bound(options)
    allow_files()
    config = uvicorn.Config(
        app_of(options),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        timeout_graceful_shutdown=5,
        ssl_certfile=options.tls_certfile,
        ssl_keyfile=options.tls_keyfile,
    )
    server = uvicorn.Server(config)
    _LOG.info("the page is at %s", address_of(listener, secure=options.secure))
    server.run(sockets=[listener])
    return 0 if server.started else 1


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
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.enableStaticServing": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "browser.gatherUsageStats": False,
    "global.developmentMode": False,
}
