"""The bell of many machines: a Celery worker that hears "there is work".

It runs in a thread of our process with Celery's thread pool of one: the task looks for one job, then
waits while all places are taken, so that a busy worker leaves messages to idle ones (early
acknowledgement, no prefetch). Attempts run in the shop, not in the pool: neither a lost connection
nor Celery's own end touches them. Prefork would put a second process between the signal and the
attempt, and fork a process with threads.
Promise: no message stops it (malformed, oversized, unknown: dropped and counted), nor any broker.
Neighbours: ``jobs.app`` configures Celery, ``shop`` does the work.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from celery import bootsteps, signals
from celery.worker import state

from finetune30.experiments.record import ID_SHAPE
from finetune30.jobs.app import TASK, make_app
from finetune30.settings import Settings
from finetune30.worker.shop import Shop

_AGAIN_S = 1.0
_LONGEST_LINE = 300


class CeleryWorker:
    """Listens from ``start`` to ``stop``; one of them a process, because Celery has one state.

    Args:
        say: Told what goes wrong, in a line, and not each time.
    """

    def __init__(self, settings: Settings, queues: Sequence[str], shop: Shop, say: Callable[[str], None]) -> None:
        self._shop = shop
        self._say = say
        self._queues = list(queues)
        self._stopping = threading.Event()
        self._log = _Teller(say)
        self._app = make_app(settings)
        self._app.task(self._hear, name=TASK, ignore_result=True, typing=False)
        self._app.steps["consumer"].add(_tolerance(self._log))
        self._thread = threading.Thread(target=self._listen, name="celery", daemon=True)

    def start(self) -> None:
        """Listen, from a thread."""
        signals.setup_logging.connect(_leave_logging_alone)
        signals.worker_ready.connect(self._log.forget)
        for name in ("celery", "kombu"):
            logger = logging.getLogger(name)
            logger.addHandler(self._log)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Hear nothing more; a broker that hangs is not waited for."""
        self._stopping.set()
        state.should_stop = 0
        self._thread.join(timeout_s)

    def _hear(self, *arguments: object, **_named: object) -> None:
        """There is work, says a message; which, the database says."""
        match arguments:
            case (str(experiment_id),) if ID_SHAPE.fullmatch(experiment_id):
                self._shop.take_one()
                self._shop.wait_for_room()
            case _:
                self._log.count("a message without an experiment's id was dropped")

    def _listen(self) -> None:
        while not self._stopping.is_set():
            worker = self._app.Worker(
                pool="threads",
                concurrency=1,
                queues=self._queues,
                loglevel="WARNING",
                quiet=True,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            )
            try:
                worker.start()
            except (Exception, SystemExit) as fault:  # noqa: BLE001 - it must listen again, whatever it was
                self._log.count(f"listening to the broker ended: {type(fault).__name__}: {fault}")
            self._stopping.wait(_AGAIN_S)


class _Teller(logging.Handler):
    """Celery's warnings as lines of ours: no traceback, and of the same kind the 1st, 10th, 100th, …"""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._times: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record, or only count it."""
        self.count(record.getMessage(), kind=str(record.msg))

    def count(self, text: str, kind: str | None = None) -> None:
        """Tell ``text`` unless its kind was told lately."""
        times = self._times[kind or text] = self._times.get(kind or text, 0) + 1
        if str(times).strip("0") == "1":
            again = f" ({times} times)" if times > 1 else ""
            self._say(f"broker: {' '.join(text.split())[:_LONGEST_LINE]}{again}")

    def forget(self, **_: object) -> None:
        """All is well: what happens next is news."""
        if self._times:
            self._say("broker: listening again")
        self._times.clear()


def _leave_logging_alone(**_: object) -> None:
    """Celery sets up no logging where somebody listens to this signal."""


def _tolerance(log: _Teller) -> type[Any]:
    """A step of Celery's consumer: what is no message at all is dropped instead of ending the worker."""

    class Tolerance(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            channel = consumer.task_consumer.channel
            handlers = getattr(channel, "handlers", {})  # Redis; others check messages themselves
            if "BRPOP" in handlers:
                handlers["BRPOP"] = _dropping(handlers["BRPOP"], channel, log)

    return Tolerance


def _dropping(read: Callable[[], Any], channel: Any, log: _Teller) -> Callable[[], Any]:
    from queue import Empty

    passing = (Empty, *channel.connection_errors, *channel.connection.channel_errors)

    def tolerant() -> Any:
        before = set(channel.qos._delivered)
        try:
            return read()
        except passing:
            raise
        except Exception as fault:  # noqa: BLE001 - a message can be anything
            for tag in set(channel.qos._delivered) - before:
                channel.basic_reject(tag, requeue=False)
            log.count(f"a message was dropped: {type(fault).__name__}: {fault}", kind="dropped")
            return True

    return tolerant
