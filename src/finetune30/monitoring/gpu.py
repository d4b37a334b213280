"""Memory and load of one NVIDIA device, from the driver itself.

Promise: no device, no driver, no library or a device that vanishes reads as None, never as an error.
Neighbours: ``performance`` calls the probe once a second. Apple's GPU shares the system's memory,
which ``performance`` measures anyway.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GpuSample:
    """One look at the device: bytes in use by anybody, share of the time it was busy (0 to 100)."""

    memory_bytes: int
    utilization_percent: float | None


def nvidia_probe(index: int = 0) -> Callable[[], GpuSample | None] | None:
    """A function that samples the device, or None where there is none.

    Args:
        index: As torch counts (``cuda:0``), that is among ``CUDA_VISIBLE_DEVICES``.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        device = _device(pynvml, _visible(index))
    except (pynvml.NVMLError, LookupError):
        return None

    def sample() -> GpuSample | None:
        try:
            used = pynvml.nvmlDeviceGetMemoryInfo(device).used
        except pynvml.NVMLError:
            return None
        try:
            busy = float(pynvml.nvmlDeviceGetUtilizationRates(device).gpu)
        except pynvml.NVMLError:  # a slice of a shared device has no load of its own
            busy = None
        return GpuSample(int(used), busy)

    return sample


def _visible(index: int) -> str:
    """The driver's name of torch's device: a number or a UUID. Raises LookupError if hidden."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return str(index) if visible is None else visible.split(",")[index].strip()


def _device(pynvml: Any, name: str) -> Any:
    if name.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)
