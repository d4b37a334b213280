"""Counters for a monitor: requests by route and status, how long they took, what waits and who works.

No user, no id and no path of the disk is in them. Neighbours: ``journal`` counts, ``/metrics`` shows.
"""

from __future__ import annotations

from finetune30.api.services import Services

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Figures:
    """Of one process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        labels = ("method", "route")
        self._requests = Counter(
            "finetune30_requests", "Requests answered", (*labels, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "finetune30_request_seconds", "Time to answer", labels, buckets=_SECONDS, registry=self.registry
        )
        self.experiments = Gauge("finetune30_experiments", "Experiments", ("status",), registry=self.registry)
        self.workers = Gauge("finetune30_workers", "Workers that live", registry=self.registry)
        self.slots = Gauge("finetune30_worker_slots", "Trainings they can run at once", registry=self.registry)

    def note(self, method: str, route: str | None, status: int, took_s: float) -> None:
        """Count a request; one without a route counts as ``none``, or a scanner would make a thousand counters."""
        where = route or "none"
        method = method if method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS") else "OTHER"
        self._requests.labels(method, where, str(status)).inc()
        self._seconds.labels(method, where).observe(took_s)


def exposed(figures: Figures, services: Services) -> tuple[bytes, str]:
    """Everything, in the text format of Prometheus."""
    from prometheus_client import generate_latest

    for status, count in services.jobs.store.statistics()["by_status"].items():
        figures.experiments.labels(status).set(count)
    alive = [worker for worker in services.jobs.queue.workers() if worker.alive]
    figures.workers.set(len(alive))
    figures.slots.set(sum(worker.slots for worker in alive))
    return generate_latest(figures.registry), MEDIA_TYPE
