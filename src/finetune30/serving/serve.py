"""The service as a process: uvicorn, on one port, until a signal comes.

Promises: without a broker, on loopback, it needs no token; anywhere else it does, and in production nothing is
served over plain HTTP to other machines unless somebody said so. What is being computed when the signal comes is
answered. What is refused is refused before torch is loaded. Neighbours: the command line calls ``serve``.
"""

from __future__ import annotations

import gc
import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from finetune30.access import Access
from finetune30.errors import ConfigError, Finetune30Error, ModelError, NotFound, SettingsError
from finetune30.experiments import ExperimentStore, open_store
from finetune30.registry import Models
from finetune30.serving.books import Books
from finetune30.serving.guests import Guests
from finetune30.settings import Settings
from finetune30.standby import importing
from finetune30.web import journal
from finetune30.web.gate import Gate
from finetune30.web.listening import (
    address_of,
    allow_files,
    check_certificate,
    config_of,
    is_loopback,
    listen,
    signals_end,
)
from finetune30.web.rates import Rates

if TYPE_CHECKING:
    from finetune30.modeling.device import Compute
    from finetune30.serving.following import Following
    from finetune30.serving.measures import Measures

_LOG = logging.getLogger("finetune30.serving")
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - listening everywhere is no name to be called by


@dataclass(frozen=True)
class Service:
    """The parts, opened: what tests and the process share."""

    gate: Gate
    following: Following
    measures: Measures

    def close(self) -> None:
        """End the threads; what waits is computed first."""
        self.following.close()
        self.following.host.close()


def open_service(settings: Settings, address: str | None = None) -> Service:
    """Everything the settings ask for; nothing is loaded yet.

    Args:
        address: What requests ask that name no adapter; None is the newest successful run.
    Raises: StorageError, SettingsError, ConfigError.
    """
    with importing():
        from finetune30.serving.app import Doors, create_app
        from finetune30.serving.crew import crew_for, rows_for
        from finetune30.serving.following import Following
        from finetune30.serving.host import AdapterHost
        from finetune30.serving.lane import Lane, Limits
        from finetune30.serving.measures import Measures

    store = open_store(settings)
    measures = Measures()
    compute = _compute(settings)
    limits = Limits(
        batch_rows=rows_for(compute.device),
        batch_tokens=settings.serving_batch_tokens,
        waiting_rows=settings.serving_queue,
    )
    lane = Lane(limits, measures.queued.observe, crew_for(compute.device, beside=1))
    host = AdapterHost(compute, lane, settings.serving_memory_mb << 20, merges=settings.serving_merge)
    books = Books(store, Models(store.engine, settings.results_dir), settings.data_dir)
    following = Following(books, host, address, settings.serving_poll_s)
    access = _access(settings, store)
    doors = Doors(following, Guests(access), measures, settings.metrics_token)
    gate = Gate(
        create_app(doors, settings.cors_origins),
        hosts=_hosts(settings),
        origins=settings.cors_origins,
        rates=Rates(settings, reads=0, writes=settings.predictions_per_minute),
        note=lambda *_: None,
        secure=settings.tls_certfile is not None or settings.environment == "production",
    )
    return Service(gate, following, measures)


def serve(settings: Settings, address: str | None = None) -> int:
    """Serve until a signal comes; returns the exit code.

    Raises: SettingsError, StorageError, NotFound, ModelError before anything is served.
    """
    _refuse_unsafe(settings)
    listener = _bound(settings)
    _check(settings, address)
    service = open_service(settings, address)
    journal.keep()
    allow_files()
    try:
        _load_first(service.following, address)
        # What is there by now stays: looking through all of torch for garbage would hold up answers.
        gc.collect()
        gc.freeze()
        service.following.start()
        _LOG.info("serving on %s", address_of(listener, secure=settings.tls_certfile is not None))
        server = uvicorn.Server(config_of(service.gate, settings, lifespan="off"))
        with signals_end(server):
            server.run(sockets=[listener])
    finally:
        service.close()
    return 0 if server.started else 1


def _check(settings: Settings, address: str | None) -> None:
    """Refuse now, and not after seconds of loading, what can be seen from the records alone."""
    store = open_store(settings)
    try:
        _access(settings, store)
        if address is not None:
            found = Books(store, Models(store.engine, settings.results_dir)).find(address)
            if fault := found.fault():
                raise ModelError(f"its files are not those that were registered: {fault}", where=found.experiment_id)
    finally:
        store.close()


def _access(settings: Settings, store: ExperimentStore) -> Access | None:
    """Who may ask; None where nobody needs a token."""
    needs_none = settings.broker_url is None and is_loopback(settings.serving_host)
    if needs_none and settings.environment == "development":
        return None
    access = Access(settings, store.engine)
    _ = access.tokens  # a key that is missing or weak is told now
    return access


def _load_first(following: Following, address: str | None) -> None:
    """Have the default adapter ready before the first request; no run yet is no fault."""
    try:
        live = following.live(None)
    except NotFound:
        if address is not None:
            raise
        _LOG.info("there is no successful run yet; the first one will answer as soon as it is there")
        return
    except Finetune30Error as fault:
        if address is not None:
            raise
        _LOG.error("the newest run cannot answer: %s", fault.message)
        return
    _LOG.info("%s answers (%s)", live.found.experiment_id, following.host.compute.reason)


def _compute(settings: Settings) -> Compute:
    from finetune30.modeling.device import choose

    asked: dict[str, bool | str] = {"auto": "auto", "float32": False, "bfloat16": True}
    try:
        return choose(settings.serving_device, asked[settings.serving_precision])
    except ConfigError as cause:
        raise SettingsError(
            cause.message, where="SERVING_DEVICE", hint="expected auto, cpu, cuda, cuda:N or mps"
        ) from cause


def _hosts(settings: Settings) -> frozenset[str]:
    own = settings.serving_host if settings.serving_host not in _ANY else "localhost"
    return _LOCAL | {f"[{own}]" if ":" in own else own.lower(), *settings.allowed_hosts}


def _bound(settings: Settings) -> socket.socket:
    host, port = settings.serving_host, settings.serving_port
    try:
        return listen(host, port)
    except OSError as cause:
        raise SettingsError(
            f"cannot listen on {host} port {port}: {(cause.strerror or str(cause)).lower()}",
            where="SERVING_HOST, SERVING_PORT",
            hint="is another one running? finetune30 serve --port 8003 takes another port",
        ) from cause


def _refuse_unsafe(settings: Settings) -> None:
    check_certificate(settings)
    if settings.environment != "production" or settings.tls_certfile is not None or settings.plain_http:
        return
    if not is_loopback(settings.serving_host):
        raise SettingsError(
            f"production over plain HTTP on {settings.serving_host}: tokens could be read on their way",
            where="environment or .env",
            hint="set TLS_CERTFILE and TLS_KEYFILE; or SERVING_HOST=127.0.0.1 or PLAIN_HTTP=true with a proxy before "
            "it that speaks HTTPS",
        )
