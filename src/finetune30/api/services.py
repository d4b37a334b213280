"""What the routes work with, opened once: database, queue, users, tokens, audit, counters.

Neighbours: ``app`` keeps one of these in its state, ``deps`` hands it to routes.
"""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Event

from sqlalchemy import Connection, Engine
from starlette.requests import Request

from finetune30 import database
from finetune30.access import Access
from finetune30.api.checking import Checks
from finetune30.api.watch import Watch
from finetune30.errors import DiskFull, StorageError
from finetune30.experiments import Queue
from finetune30.jobs import Bell, Jobs, open_bell
from finetune30.registry import Models
from finetune30.settings import Settings
from finetune30.web.rates import Rates
from finetune30.webhooks import Webhooks

_LOGINS_AT_ONCE = 8


class PatientBell:
    """Rings when what a transaction wrote is committed: nobody is told of a job that may be taken back."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._within: ContextVar[tuple[Connection, Queue] | None] = ContextVar("within", default=None)

    @contextmanager
    def within(self, connection: Connection, queue: Queue) -> Iterator[None]:
        """What is rung in this block is rung after the commit of ``connection``'s transaction."""
        before = self._within.set((connection, queue))
        try:
            yield
        finally:
            self._within.reset(before)

    def ring(self, experiment_id: str, queue_name: str) -> bool:
        """Ring now, or later if a transaction is open."""
        within = self._within.get()
        if within is None:
            return self._bell.ring(experiment_id, queue_name)
        connection, queue = within

        def late() -> None:
            if not self._bell.ring(experiment_id, queue_name):
                with suppress(StorageError, DiskFull):  # it is due in a while anyway
                    queue.unrung(experiment_id)

        database.after_commit(connection, late)
        return True


@dataclass(frozen=True)
class Services:
    """All of it.

    Attributes:
        bell: The one that ``jobs`` rings.
        checks: Of what users upload.
        ending: Set when the process is to end: streams that go on for long end then.
        logins: Passwords that are looked at at once; the others wait here, not in the threads that all requests share.
    """

    settings: Settings
    jobs: Jobs
    bell: PatientBell
    access: Access
    rates: Rates
    watch: Watch
    webhooks: Webhooks
    checks: Checks
    ending: Event = field(default_factory=Event)
    logins: Semaphore = field(default_factory=lambda: Semaphore(_LOGINS_AT_ONCE))

    @property
    def engine(self) -> Engine:
        """The database."""
        return self.jobs.store.engine

    @property
    def models(self) -> Models:
        """The registry, in the same database."""
        return Models(self.engine, self.settings.results_dir)

    def close(self) -> None:
        """Give all connections back."""
        self.checks.close()
        self.jobs.close()


def open_services(settings: Settings) -> Services:
    """Everything the settings ask for; results folder and database are made where they are missing.

    Raises: StorageError, SettingsError.
    """
    bell = PatientBell(open_bell(settings))
    jobs = Jobs(settings, bell=bell)
    access = Access(settings, jobs.store.engine)
    _ = access.tokens, access.audit  # a key that is missing or weak is told now, not at the first login
    watch = Watch(jobs.store.engine, settings.broker_url)
    webhooks = Webhooks(settings, jobs.store.engine)
    return Services(settings, jobs, bell, access, Rates(settings), watch, webhooks, Checks(settings))


def of(request: Request) -> Services:
    """The services of the app that answers this request."""
    found: Services = request.app.state.services
    return found
