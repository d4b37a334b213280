"""A worker, from its start to its end.

Promises: SIGTERM or Ctrl+C drains (each attempt writes a checkpoint and gives its row back for another
worker), a second one gives the rows back at once; what happens is told in a line each.
Neighbours: the command line calls ``serve``; ``polling`` or ``celery_worker`` is the bell.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from sqlalchemy import make_url

from finetune30.errors import Finetune30Error, StorageError, UsageError
from finetune30.experiments import ExperimentStore, Queue, open_both
from finetune30.jobs.bell import open_bell
from finetune30.jobs.keeper import Keeper
from finetune30.settings import Settings
from finetune30.webhooks import Postman, Webhooks
from finetune30.worker.limits import make_room
from finetune30.worker.office import Office, Orders
from finetune30.worker.polling import poll
from finetune30.worker.shop import Shop
from finetune30.worker.slots import Slots, find_gpus
from finetune30.worker.teller import teller

# -P: a calendar.py in the user's folder must not be imported instead of Python's own.
TRAINER = (sys.executable, "-P", "-m", "finetune30.worker.attempt")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_AGAIN_S = 1.0
# `timeout`, systemd and terminals signal a process and its group at the same moment: that is one wish.
_ONE_WISH_S = 1.0
_AFTER_S = 15.0  # beyond the time an attempt has to drain: it is killed and its row written
_LAST_S = 5.0


def serve(
    settings: Settings,
    concurrency: int | None = None,
    queues: Sequence[str] | None = None,
    trainer: Sequence[str] = TRAINER,
) -> int:
    """Carry out jobs until a signal comes; returns when nothing runs any more, with the exit code.

    Args:
        concurrency: Attempts at once; None: one a GPU, or one.
        queues: Those it serves; None: all there are.
        trainer: The command of an attempt process.
    Raises: UsageError, SettingsError before anything is begun.
    """
    slots = Slots(concurrency, find_gpus())
    make_room(slots.total)
    mine = _known(queues, settings)
    bell = open_bell(settings)
    say = teller(settings.zone)
    orders = Orders()
    with _listening(orders):
        opened = _open(settings, orders, say)
        if opened is None:
            return 0
        store, queue = opened
        office = Office(settings, store, queue, worker_name(), tuple(trainer), say, bell.ring, orders)
        shop = Shop(office, slots, mine)
        say(_introduction(settings, slots, mine, office.name))

        def sign() -> None:
            queue.seen(office.name, host=socket.gethostname(), slots=slots.total, busy=shop.busy, queues=mine)

        shop.look_over()  # before any message is heard
        with ExitStack() as stack:
            stack.callback(store.close)
            stack.enter_context(Keeper(queue, bell, settings, say, sign))
            stack.enter_context(Postman(Webhooks(settings, store.engine), say))
            with _hearing(settings, mine, shop, say):
                # With a broker, too, a worker looks by itself now and then: messages are only hints.
                poll(shop, orders, settings.poll_s if settings.broker_url is None else settings.ring_again_s)
                if shop.busy:
                    say(f"ending: {shop.busy} running, {settings.drain_s:g} s for a checkpoint each (again: at once)")
            _drain(shop, orders, settings, say)
            _take_leave(queue, office.name)
        say("the worker has ended")
    return 1 if shop.busy else 0


def worker_name() -> str:
    """This worker as lease owner; never the name of one before it, even in a container that restarts."""
    return f"worker:{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def _known(queues: Sequence[str] | None, settings: Settings) -> tuple[str, ...]:
    if queues is None:
        return tuple(settings.queues)
    unknown = [name for name in queues if name not in settings.queues]
    if unknown or not queues:
        raise UsageError(
            f"--queues names {', '.join(unknown) or 'none'}, expected some of {', '.join(settings.queues)}",
            hint="QUEUES (environment or .env) says which queues there are",
        )
    return tuple(dict.fromkeys(queues))


def _open(settings: Settings, orders: Orders, say: Callable[[str], None]) -> tuple[ExperimentStore, Queue] | None:
    """Store and queue, as soon as the database is there; None if the worker was to end before."""
    told = False
    while not orders.drain:
        try:
            return open_both(settings)
        except StorageError as fault:
            if settings.database_url is None:
                raise  # a results folder that cannot be used will not mend itself
            if not told:
                say(f"waiting for the database: {fault.message}")
            told = True
            time.sleep(_AGAIN_S)
    return None


@contextmanager
def _listening(orders: Orders) -> Iterator[None]:
    """Signals become orders. A handler may run anywhere: it only notes."""

    first = 0.0

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if not orders.drain:
            orders.drain, first = True, time.monotonic()
        elif time.monotonic() - first > _ONE_WISH_S:
            orders.at_once = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # nohup and its like ignore SIGHUP: that stays so.
    wanted = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _hearing(settings: Settings, queues: Sequence[str], shop: Shop, say: Callable[[str], None]) -> Iterator[None]:
    if settings.broker_url is None:
        yield
        return
    from finetune30.worker.celery_worker import CeleryWorker

    celery = CeleryWorker(settings, queues, shop, say)
    celery.start()
    try:
        yield
    finally:
        celery.stop(_LAST_S)


def _drain(shop: Shop, orders: Orders, settings: Settings, say: Callable[[str], None]) -> None:
    until = time.monotonic() + settings.drain_s + _AFTER_S
    hurried = False
    while shop.busy and time.monotonic() < until:
        shop.wait(0.2)
        if orders.at_once and not hurried:
            hurried, until = True, min(until, time.monotonic() + _AFTER_S)
            say("ending at once")
    if shop.busy:  # its database is away; the kernel ends the process with ours, the reaper finds the row
        say(f"{shop.busy} could not be given back in time")


def _take_leave(queue: Queue, name: str) -> None:
    """Say goodbye to the database, which may be away."""

    def leave() -> None:
        with suppress(Finetune30Error):
            queue.gone(name)

    farewell = threading.Thread(target=leave, daemon=True)
    farewell.start()
    farewell.join(_LAST_S)


def _introduction(settings: Settings, slots: Slots, queues: Sequence[str], name: str) -> str:
    bell = "embedded" if settings.broker_url is None else settings.broker_url.partition(":")[0]
    database = make_url(settings.resolved_database_url).render_as_string(hide_password=True)
    places = f"GPU {', '.join(slots.gpus)}" if slots.gpus else f"{slots.total} without GPU"
    return f"{name}: bell {bell}, database {database}, slots {places}, queues {', '.join(queues)}"
