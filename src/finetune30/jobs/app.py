"""The Celery application: messages that hold an id, and nothing that could be lost with one.

Promise: the broker carries hints, the database carries truth. So there is no result backend, a message
is acknowledged when it arrives, nobody on the broker can command a worker, and only the queues of
``QUEUES`` exist. Neighbours: ``bell`` sends through it, the worker receives through it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from finetune30.errors import SettingsError
from finetune30.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

TASK = "finetune30.train"
# Several programs may share one Redis.
KEY_PREFIX = "finetune30:"
# Of a message between its arrival and its acknowledgement, moments later. One number for everybody on the
# broker: the least one wins.
_VISIBILITY_S = 600
# While it is imported, Celery puts another module in its own place: two threads at once would meet half of it.
_importing = threading.Lock()


def make_app(settings: Settings) -> Celery:
    """The application for ``BROKER_URL``; nothing is connected yet.

    Raises: SettingsError without ``BROKER_URL``, or where Celery is not installed.
    """
    if settings.broker_url is None:
        raise SettingsError("BROKER_URL is not set, expected an address such as redis://host:6379/0")
    try:
        with _importing:
            from celery import Celery
            from kombu import Queue
    except ModuleNotFoundError as cause:
        raise SettingsError(
            f"BROKER_URL is set, but {cause.name} is not installed",
            where="environment or .env",
            hint="install it with: pip install 'finetune30[server]'; without BROKER_URL one machine needs no broker",
        ) from cause
    app = Celery("finetune30", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        # JSON only, and no queue that nobody declared.
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        task_queues=[Queue(name, routing_key=name) for name in settings.queues],
        task_default_queue=settings.queues[0],
        task_create_missing_queues=False,
        # No revoke, shutdown or pool_grow by anyone who reaches the broker.
        worker_enable_remote_control=False,
        # The row tells how a job ended.
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # Early acknowledgement: a late one would deliver a training of hours again after the visibility
        # timeout, and all of them at each lost connection. The lease of the row does better.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport(settings.broker_url),
        visibility_timeout=_VISIBILITY_S,
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
        worker_max_tasks_per_child=50,
        worker_soft_shutdown_timeout=settings.drain_s,
        worker_enable_soft_shutdown_on_idle=False,
        # The supervisor keeps the time; Celery's limits kill in the middle of a commit.
        task_time_limit=None,
        task_soft_time_limit=None,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
    )
    return app


def _transport(broker_url: str) -> dict[str, Any]:
    """What keeps a silent broker from holding us for ever."""
    if broker_url.startswith("amqp"):
        return {"confirm_publish": True}  # heartbeats are the protocol's own
    return {
        "visibility_timeout": _VISIBILITY_S,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": True,
        "global_keyprefix": KEY_PREFIX,
    }
