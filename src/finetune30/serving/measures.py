"""Figures for a monitor, by the names of text-embeddings-inference: its dashboards read them as they are.

Neighbours: the lane and the routes count, ``/metrics`` shows. No text, user or path is in them.
Source: https://huggingface.co/docs/text-embeddings-inference/metrics
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from finetune30.serving.following import Following

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = ("predict", "classify")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Counts:
    """Of the requests of one method."""

    requests: Counter
    successes: Counter
    duration: Histogram


class Measures:
    """Of one process.

    Attributes:
        of: By method.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        method = ("method",)
        count, seconds = self._counter, self._histogram
        requests = count("te_request_count", "Predictions asked for", method)
        successes = count("te_request_success", "Predictions answered", method)
        duration = seconds("te_request_duration", "Seconds from request to answer", method)
        self.failures = count("te_request_failure", "Predictions refused or failed, by error type", ("err",))
        # Looked up once: a label costs more than what is counted by it.
        self.of = {
            name: Counts(requests.labels(name), successes.labels(name), duration.labels(name)) for name in _METHODS
        }
        self.queued = seconds("te_request_queue_duration", "Seconds before the first text was computed")
        self.read = seconds("te_request_tokenization_duration", "Seconds of reading texts as tokens")
        self._gauges = {name: self._gauge(name, told) for name, told in _GAUGES.items()}

    def exposed(self, following: Following) -> bytes:
        """Everything, in the text format of Prometheus."""
        host, lane = following.host, following.host.lane
        figures = lane.figures
        values: dict[str, float] = {
            "te_queue_size": lane.waiting,
            "te_batch_next_size": figures.last_rows,
            "te_batch_inference_duration_sum": figures.busy_s,
            "te_batch_inference_count": figures.batches,
            "te_embed_count": figures.rows,
            "te_tokens": figures.tokens,
            "te_tokens_padded": figures.padded,
            "finetune30_adapters": len(host.there()),
            "finetune30_adapter_bytes": host.nbytes,
            "finetune30_adapter_loads": host.loads,
            "finetune30_adapter_evictions": host.evictions,
            "finetune30_adapter_swaps": following.swaps,
            "finetune30_adapters_merged": int(host.hot.live is not None),
            "finetune30_merged_texts": host.merged_rows,
            "finetune30_lane_seconds": figures.computing_s,
            "finetune30_adapters_refused": len(following.refused),
        }
        for name, value in values.items():
            self._gauges[name].set(value)
        return generate_latest(self.registry)

    def _counter(self, name: str, told: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, told, labels, registry=self.registry)

    def _histogram(self, name: str, told: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, told, labels, buckets=_SECONDS, registry=self.registry)

    def _gauge(self, name: str, told: str) -> Gauge:
        return Gauge(name, told, registry=self.registry)


_GAUGES = {
    "te_queue_size": "Texts that wait",
    "te_batch_next_size": "Texts of the last batch",
    "te_batch_inference_duration_sum": "Seconds of all batches; two at a time count twice",
    "te_batch_inference_count": "Batches computed",
    "te_embed_count": "Texts computed",
    "te_tokens": "Tokens computed",
    "te_tokens_padded": "Tokens computed, padding included",
    "finetune30_adapters": "Adapters in memory",
    "finetune30_adapter_bytes": "Bytes of the adapters in memory",
    "finetune30_adapter_loads": "Adapters loaded since the start",
    "finetune30_adapter_evictions": "Adapters let go for others since the start",
    "finetune30_adapter_swaps": "Names that came to mean another adapter since the start",
    "finetune30_adapters_merged": "Adapters that are merged into a copy of their base just now",
    "finetune30_merged_texts": "Texts computed on a merged copy since the start",
    "finetune30_lane_seconds": "Seconds in which any batch was computed",
    "finetune30_adapters_refused": "Names whose newest adapter is not fit, so an older one answers",
}
