"""The bell of many machines: a Celery worker that hears "there is work".

It runs in a thread of our process, without a pool: a message is acknowledged as it comes, and the shop
looks for the job whose turn it is. While all places are taken nothing is read from Redis, so a busy
worker leaves messages to idle ones. Attempts are the shop's: neither a lost connection nor Celery's
own end touches them. Celery's pools would count every message as a task that runs for hours, and a
malformed one as a task that never ends.
Promise: no message stops it (malformed, oversized, unknown: dropped and counted), nor any broker.
Neighbours: ``jobs.app`` configures Celery, ``shop`` does the work, ``teller`` says what goes wrong.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty
from types import MethodType
from typing import Any

from celery import bootsteps, signals
from celery.worker import state

from finetune30.experiments.record import ID_SHAPE
from finetune30.jobs.app import TASK, make_app
from finetune30.settings import Settings
from finetune30.worker.shop import Shop
from finetune30.worker.teller import BrokerTeller

_AGAIN_S = 1.0
_LOGGER = logging.getLogger("celery.finetune30")


class CeleryWorker:
    """Listens from ``start`` to ``stop``; one of them a process, because Celery has one state.

    Args:
        say: Told what goes wrong, in a line, and not each time.
    """

    def __init__(self, settings: Settings, queues: Sequence[str], shop: Shop, say: Callable[[str], None]) -> None:
        self._shop = shop
        self._queues = list(queues)
        self._stopping = threading.Event()
        self._rung = threading.Event()
        self._hub: Any = None
        self._teller = BrokerTeller(say)
        self._app = make_app(settings)
        self._app.conf.worker_redirect_stdouts = False  # Celery would log what we say, and we say what it logs
        self._app.task(_never, name=TASK, ignore_result=True, Strategy=self._strategy)
        self._app.steps["consumer"].add(_manners(self._at_connection))
        self._threads = [
            threading.Thread(target=self._listen, name="celery", daemon=True),
            threading.Thread(target=self._take, name="bell", daemon=True),
        ]

    def start(self) -> None:
        """Listen, from a thread."""
        self._quieten()
        signals.worker_ready.connect(self._teller.all_is_well)
        self._shop.on_freed = self._look_up
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Hear nothing more; a broker that hangs is not waited for."""
        self._stopping.set()
        self._rung.set()
        state.should_stop = 0
        self._look_up()
        self._threads[0].join(timeout_s)

    def _quieten(self) -> None:
        signals.setup_logging.connect(_leave_logging_alone)
        for name in ("celery", "kombu"):
            logger = logging.getLogger(name)
            logger.addHandler(self._teller)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
        # That root runs it (as in most containers; only JSON is read) and what Celery 6 will do.
        warnings.filterwarnings("ignore", module=r"celery\.")

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                worker = self._app.Worker(
                    pool="solo",
                    queues=self._queues,
                    loglevel="WARNING",
                    quiet=True,
                    without_gossip=True,
                    without_mingle=True,
                    without_heartbeat=True,
                )
                worker.start()
            except (Exception, SystemExit) as fault:  # noqa: BLE001 - it must listen again, whatever it was
                self._teller.tell(f"listening ended: {type(fault).__name__}: {fault}")
            self._stopping.wait(_AGAIN_S)

    def _strategy(self, _task: Any, _app: Any, consumer: Any) -> Callable[..., None]:
        """How a message that names our task is taken: acknowledged, and at once forgotten."""

        def take(message: Any, payload: Any, *_: object) -> None:
            try:
                arguments = (payload if payload is not None else message.payload)[0]
            except Exception:  # noqa: BLE001 - a message can be anything
                arguments = None
            message.ack_log_error(_LOGGER, consumer.connection_errors)
            match arguments:
                case [str(experiment_id)] if ID_SHAPE.fullmatch(experiment_id):
                    self._rung.set()
                case _:
                    self._teller.tell("a message without an experiment's id was dropped")

        return take

    def _take(self) -> None:
        # Not in Celery's thread: a database that hangs must not hang the connection to the broker.
        while not self._stopping.is_set():
            self._rung.wait()
            self._rung.clear()  # first: a message that comes while we look is another hint
            self._shop.take_one()
            self._look_up()

    def _look_up(self) -> None:
        """Have Celery see now that there is room."""
        if self._hub is not None:
            self._hub.call_soon(_nothing)

    def _at_connection(self, consumer: Any) -> None:
        """Teach a new connection to wait for room, and to drop what is no message at all."""
        self._hub = consumer.hub
        channel = consumer.task_consumer.channel
        handlers = getattr(channel, "handlers", {})
        if "BRPOP" not in handlers:
            return  # not Redis: there, few messages come ahead of their time, and are checked elsewhere
        handlers["BRPOP"] = _dropping(handlers["BRPOP"], channel, self._teller)
        may = channel.qos.can_consume
        channel.qos.can_consume = MethodType(
            lambda _qos: not self._shop.closed and not self._rung.is_set() and may(), channel.qos
        )


def _manners(at_connection: Callable[[Any], None]) -> type[Any]:
    """A step of Celery's consumer, after it has subscribed to the queues."""

    class Manners(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            at_connection(consumer)

    return Manners


def _dropping(read: Callable[[], Any], channel: Any, teller: BrokerTeller) -> Callable[[], Any]:
    """``read`` of a Redis channel, for which an error is either the connection's or the message's."""
    from redis.exceptions import ConnectionError, ResponseError, TimeoutError

    # Not all that kombu takes for a lost connection: a KeyError is a message without its parts.
    connection = (Empty, OSError, ConnectionError, ResponseError, TimeoutError)

    def tolerant() -> Any:
        before = set(channel.qos._delivered)
        try:
            return read()
        except connection:
            raise
        except Exception as fault:  # noqa: BLE001 - as above
            for tag in set(channel.qos._delivered) - before:
                with suppress(Exception):  # its tag may be of no type that Redis takes
                    channel.basic_reject(tag, requeue=False)
                channel.qos._delivered.pop(tag, None)
            teller.tell(f"a message was dropped: {type(fault).__name__}: {fault}", kind="dropped")
            return True

    return tolerant


def _never() -> None:
    """The task's body: its messages never become tasks."""


def _nothing() -> None: ...


def _leave_logging_alone(**_: object) -> None:
    """Celery sets up no logging where somebody listens to this signal."""
