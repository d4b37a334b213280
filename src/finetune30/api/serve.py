"""The API as a process: uvicorn, on one port, until a signal comes.

Promises: in production nothing is served over plain HTTP to other machines unless somebody said so; whoever
is being answered when the signal comes is answered, for up to half a minute.
Neighbours: the command line calls ``serve``.
"""

from __future__ import annotations

import logging
import socket
import sys
from types import FrameType

import uvicorn

from finetune30 import database
from finetune30.access import Outcome
from finetune30.access.secret import weakness
from finetune30.api.app import create_app
from finetune30.api.deeds import NOBODY
from finetune30.api.services import Services, open_services
from finetune30.errors import SettingsError
from finetune30.settings import Settings
from finetune30.web import journal
from finetune30.web.listening import (
    address_of,
    allow_files,
    check_certificate,
    config_of,
    is_loopback,
    listen,
    signals_end,
)

_LOG = logging.getLogger("finetune30.api")


def serve(settings: Settings) -> int:
    """Serve until a signal comes; returns the exit code.

    Raises: SettingsError, StorageError before anything is served.
    """
    _refuse_unsafe(settings)
    found = open_services(settings)
    app = create_app(settings, found)
    listener = _bound(settings)
    _first_admin(found)
    journal.keep()
    allow_files()
    server = _Server(config_of(app, settings), found)
    _LOG.info("serving on %s", address_of(listener, secure=settings.tls_certfile is not None))
    with signals_end(server):
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _bound(settings: Settings) -> socket.socket:
    host, port = settings.api_host, settings.api_port
    try:
        return listen(host, port)
    except OSError as cause:
        raise SettingsError(
            f"cannot listen on {host} port {port}: {(cause.strerror or str(cause)).lower()}",
            where="API_HOST, API_PORT",
            hint="is another one running? finetune30 api --port 8001 takes another port",
        ) from cause


class _Server(uvicorn.Server):
    """Tells streams to end before it waits for them."""

    def __init__(self, config: uvicorn.Config, found: Services) -> None:
        super().__init__(config)
        self._found = found

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        self._found.ending.set()
        super().handle_exit(sig, frame)


def _refuse_unsafe(settings: Settings) -> None:
    check_certificate(settings)
    if settings.page_key is not None and (fault := weakness(settings.page_key)):
        raise SettingsError(f"PAGE_KEY {fault}", where="environment or .env")
    if settings.environment != "production":
        return
    if settings.debug:
        raise SettingsError(
            "DEBUG is set in production", where="environment or .env", hint="unset it; it is for one's own machine"
        )
    if settings.api_replicas > 1 and settings.resolved_database_url.startswith("sqlite:"):
        raise SettingsError(
            f"API_REPLICAS is {settings.api_replicas} and the database is SQLite, which one machine alone can use",
            where="environment or .env",
            hint="set DATABASE_URL to a PostgreSQL; or API_REPLICAS=1",
        )
    if settings.tls_certfile is not None or settings.plain_http:
        return
    if not is_loopback(settings.api_host):
        raise SettingsError(
            f"production over plain HTTP on {settings.api_host}: passwords could be read on their way",
            where="environment or .env",
            hint="set TLS_CERTFILE and TLS_KEYFILE; or API_HOST=127.0.0.1 or PLAIN_HTTP=true with a proxy before it "
            "that speaks HTTPS",
        )


def _first_admin(found: Services) -> None:
    """In development, where nobody can log in yet: an admin with a password that is told once, here."""
    if found.settings.environment == "production":
        return
    with database.write(found.engine) as connection:
        first = found.access.users.make_first_admin()
        if first is None:
            return
        made, password = first
        found.access.audit.record(
            connection,
            actor_id=None,
            actor_name=NOBODY,
            role="",
            action="user.add",
            target=made.id,
            outcome=str(Outcome.OK),
            address="",
            request_id="",
            detail={"name": made.name, "role": str(made.role), "first": True},
        )
    print(  # noqa: T201 - to the terminal once, never to a log of ours
        f"the first admin was made: name {made.name}, password {password}\n"
        f"it is told only this once; change it with: finetune30 user password {made.name}",
        file=sys.stderr,
        flush=True,
    )
