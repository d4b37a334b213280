"""What a run costs: processor, memory and GPU, sampled beside it.

Promise: switching it on changes nothing about the run; it costs a fraction of a percent of one core.
Neighbours: ``pipeline`` holds one around the training and keeps ``summary`` in ``metrics.json``;
``gpu`` makes the probe. Tokens per second are the trainer's to count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean
from types import TracebackType

import psutil

from finetune30.monitoring.gpu import GpuSample

# The system counts processor time in ticks of 10 ms: over less than this the share is noise.
_SHORTEST_S = 0.1


@dataclass(frozen=True)
class _Sample:
    cpu_percent: float | None
    memory_bytes: int
    system_memory_percent: float
    gpu: GpuSample | None


class PerformanceMonitor:
    """Samples this process and its children while the ``with`` block runs.

    Args:
        interval_s: Seconds between two samples.
        gpu: Looks at the GPU, see ``nvidia_probe``; None where there is none.
    """

    def __init__(self, interval_s: float = 1.0, gpu: Callable[[], GpuSample | None] | None = None) -> None:
        self._interval_s = interval_s
        self._gpu = gpu
        self._samples: list[_Sample] = []
        self._processes: dict[int, psutil.Process] = {}
        self._began_at = self._ended_at = time.monotonic()
        self._measured_at = -_SHORTEST_S
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="performance monitor", daemon=True)

    def __enter__(self) -> PerformanceMonitor:
        self._began_at = time.monotonic()
        self._find_processes()
        self._busy_percent()  # the first answer of psutil is always 0: it starts the measurement
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def summary(self) -> dict[str, float | int | None]:
        """Figures of the whole block, None where nothing could be measured.

        ``cpu_percent_*``: of one core, so 200 on two busy cores. ``memory_bytes_*``: resident memory
        of process and children; pages that they share count for each.
        ``system_memory_percent_max``: of the machine. ``gpu_*``: of the device, whoever uses it.
        ``samples``, ``cores`` (those this process may use), ``duration_s``.
        """
        if self._thread.is_alive():
            self._look()  # asked in the middle: up to date, and never without a sample
        samples = list(self._samples)
        gpu = [sample.gpu for sample in samples if sample.gpu]
        busy = [sample.utilization_percent for sample in gpu if sample.utilization_percent is not None]
        cpu = [sample.cpu_percent for sample in samples if sample.cpu_percent is not None]
        memory = [sample.memory_bytes for sample in samples]
        return {
            "cpu_percent_mean": fmean(cpu) if cpu else None,
            "cpu_percent_max": max(cpu, default=None),
            "memory_bytes_peak": max(memory, default=None),
            "memory_bytes_mean": round(fmean(memory)) if memory else None,
            "system_memory_percent_max": max((s.system_memory_percent for s in samples), default=None),
            "gpu_memory_bytes_peak": max((sample.memory_bytes for sample in gpu), default=None),
            "gpu_utilization_percent_mean": fmean(busy) if busy else None,
            "samples": len(samples),
            "cores": usable_cores(),
            "duration_s": self._ended_at - self._began_at,
        }

    def latest(self) -> dict[str, float]:
        """What the last look saw, under the names of ``summary``; without what could not be measured."""
        if not self._samples:
            return {}
        sample = self._samples[-1]
        seen = {
            "cpu_percent": sample.cpu_percent,
            "memory_bytes": sample.memory_bytes,
            "gpu_memory_bytes": sample.gpu.memory_bytes if sample.gpu else None,
            "gpu_utilization_percent": sample.gpu.utilization_percent if sample.gpu else None,
        }
        return {name: value for name, value in seen.items() if value is not None}

    def _watch(self) -> None:
        # At first soon, so that what lasts less than an interval is seen, too.
        wait_s = min(2 * _SHORTEST_S, self._interval_s)
        while not self._stop.wait(wait_s):
            self._look()
            wait_s = min(2 * wait_s, self._interval_s)

    def _look(self) -> None:
        with self._looking:
            self._find_processes()
            sample = _Sample(
                cpu_percent=self._busy_percent(),
                memory_bytes=sum(map(_resident_bytes, self._processes.values())),
                system_memory_percent=psutil.virtual_memory().percent,
                gpu=self._gpu() if self._gpu else None,
            )
            self._samples.append(sample)
            self._ended_at = time.monotonic()

    def _find_processes(self) -> None:
        me = psutil.Process()
        alive = {process.pid: process for process in (me, *me.children(recursive=True))}
        # psutil measures between two calls on one object, so known ones are kept; a number that
        # was given to a new process is told apart by psutil's equality (time of creation).
        known = self._processes
        self._processes = {pid: known[pid] if known.get(pid) == new else new for pid, new in alive.items()}

    def _busy_percent(self) -> float | None:
        """Processor use since the call before; a new child counts from the next call on."""
        if time.monotonic() - self._measured_at < _SHORTEST_S:
            return None
        self._measured_at = time.monotonic()
        total = 0.0
        for process in self._processes.values():
            with suppress(psutil.Error):  # it ended meanwhile
                total += process.cpu_percent(None)
        return total


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it ended meanwhile
        return 0


def usable_cores() -> int:
    """Cores this process may use; fewer than the machine has under taskset or in a container."""
    try:
        return len(psutil.Process().cpu_affinity())
    except AttributeError:  # macOS knows no affinity
        return psutil.cpu_count() or 1
