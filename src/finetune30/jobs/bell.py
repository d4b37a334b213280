"""The bell: "there is work", said to workers elsewhere.

Promise: ringing never raises and is over within about two seconds, whatever the broker does: refuse,
be silent, or answer nobody's name. Who rings in vain need not worry: the keeper rings again, because
the row, committed before, says so. Neighbours: ``app`` says how messages look, ``jobs`` and ``keeper`` ring.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Protocol

from finetune30.jobs.app import TASK, make_app
from finetune30.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

PATIENCE_S = 2.0
# Of one connection and one answer; two of them fit into the patience.
_SOCKET_S = 0.9


class Bell(Protocol):
    """Something that wakes workers."""

    def ring(self, experiment_id: str, queue_name: str, /) -> bool:
        """Say that a job waits in a queue; True if the message was taken. Never raises."""
        ...


class Silent:
    """The bell of one machine: its workers ask the database by themselves."""

    def ring(self, _experiment_id: str, _queue_name: str) -> bool:
        """Nobody needs to be told."""
        return True


class CeleryBell:
    """Sends the id through the broker.

    A thread of its own does it: an address that is being looked up, or a connection that hangs, has no
    other limit.
    """

    def __init__(self, settings: Settings) -> None:
        self._app = _impatient(make_app(settings))
        self._wanted: queue.SimpleQueue[_Ring] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._process: int | None = None

    def ring(self, experiment_id: str, queue_name: str) -> bool:
        """Publish; False if that failed or took longer than ``PATIENCE_S``."""
        ring = _Ring(experiment_id, queue_name)
        with self._lock:
            self._start()
            self._wanted.put(ring)
        if not ring.over.wait(PATIENCE_S):
            ring.given_up = True  # those behind it need not wait for what nobody waits for any more
        return ring.taken

    def _start(self) -> None:
        if self._process == os.getpid():
            return
        self._process, self._wanted = os.getpid(), queue.SimpleQueue()  # a fork inherits no thread
        threading.Thread(target=_publish, args=(self._app, self._wanted), name="bell", daemon=True).start()


class _Ring:
    """One wish to ring, and how it went."""

    def __init__(self, experiment_id: str, queue_name: str) -> None:
        self.experiment_id = experiment_id
        self.queue_name = queue_name
        self.over = threading.Event()
        self.taken = False
        self.given_up = False


def open_bell(settings: Settings) -> Bell:
    """The bell the settings ask for.

    Raises: SettingsError where ``BROKER_URL`` is set and Celery is not installed.
    """
    return Silent() if settings.broker_url is None else CeleryBell(settings)


def _impatient(app: Celery) -> Celery:
    """The application for somebody whom a person waits for: short, and no second try."""
    options = dict(app.conf.broker_transport_options)
    if "socket_timeout" in options:
        options |= {"socket_timeout": _SOCKET_S, "socket_connect_timeout": _SOCKET_S, "retry_on_timeout": False}
    app.conf.update(broker_transport_options=options, broker_connection_timeout=_SOCKET_S, task_publish_retry=False)
    return app


def _publish(app: Celery, wanted: queue.SimpleQueue[_Ring]) -> None:
    while True:
        ring = wanted.get()
        if ring.given_up:
            continue
        try:
            # A connection for each message: nothing half read or half dead is met by the next one.
            with app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=0)
                app.send_task(
                    TASK, args=[ring.experiment_id], queue=ring.queue_name, connection=connection, retry=False
                )
            ring.taken = True
        except Exception:  # noqa: BLE001, S110 - brokers and drivers raise anything, and the keeper rings again
            pass
        finally:
            ring.over.set()
