"""What a worker has to give: places for attempts, and the GPUs among them.

Promises: a GPU belongs to one attempt at a time, which sees no other; the GPUs are found without torch.
Neighbours: ``shop`` takes and gives back, ``queue.claim_next`` decides who gets what is free.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune30.errors import UsageError

# Without GPUs an attempt of many processes takes all places, and more than all it need not have.
_ANY = 1_000_000


@dataclass(frozen=True)
class Seat:
    """What one attempt got: so many places, or these GPUs; ``cores`` where the machine's are divided."""

    places: int
    gpus: tuple[str, ...] = ()
    cores: int | None = None

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """What an attempt must be told beside the environment ``given``."""
        told = {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}
        if self.cores is not None and "OMP_NUM_THREADS" not in given:
            told["OMP_NUM_THREADS"] = str(self.cores)
        return told


class Slots:
    """The places of one worker. One thread at a time uses it.

    Args:
        concurrency: Attempts at once; None: one a GPU, or one.
        gpus: As ``find_gpus`` gives them.
    Raises: UsageError for more places than GPUs, or less than one.
    """

    def __init__(self, concurrency: int | None, gpus: tuple[str, ...] = ()) -> None:
        self.total = len(gpus) or 1 if concurrency is None else concurrency
        if self.total < 1:
            raise UsageError(f"--concurrency is {self.total}, expected at least 1")
        if gpus and self.total > len(gpus):
            raise UsageError(
                f"--concurrency is {self.total}, expected at most {len(gpus)}: an attempt needs a GPU of its own",
                hint="leave --concurrency out to use every GPU, or hide them: CUDA_VISIBLE_DEVICES=",
            )
        self.gpus = gpus[: self.total]
        self._idle = list(self.gpus)
        self.free = self.total

    @property
    def offer(self) -> tuple[int, int]:
        """Devices free and in all, as ``claim_next`` counts them."""
        if self.gpus:
            return self.free, self.total
        return (_ANY if self.free == self.total else self.free), _ANY

    def take(self, devices: int) -> Seat:
        """Places for an attempt that ``claim_next`` chose for this offer."""
        places = min(max(devices, 1), self.total)
        self.free -= places
        if self.gpus:
            mine, self._idle = self._idle[:places], self._idle[places:]
            return Seat(places, tuple(mine))
        cores = max(1, _cores() * places // self.total) if self.total > 1 else None
        return Seat(places, cores=cores)

    def give_back(self, seat: Seat) -> None:
        """The attempt has ended."""
        self.free += seat.places
        self._idle.extend(seat.gpus)


def find_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The GPUs this process may use, by names that ``CUDA_VISIBLE_DEVICES`` takes; none is no error."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _by_library() or _by_program()
    names: list[str] = []
    for name in (part.strip() for part in visible.split(",")):
        if not name or name.startswith("-"):  # CUDA stops reading there
            break
        names.append(name)
    return tuple(names)


def _by_library() -> tuple[str, ...]:
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        try:
            devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            return tuple(name for device in devices for name in _names(pynvml, device))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return ()


def _names(pynvml: Any, device: Any) -> list[str]:
    """The device, or the slices it is cut into. By UUID: CUDA and the driver count in different orders."""
    try:
        cut = bool(pynvml.nvmlDeviceGetMigMode(device)[0])
    except pynvml.NVMLError:
        cut = False  # cannot be
    if not cut:
        return [pynvml.nvmlDeviceGetUUID(device)]
    slices: list[str] = []
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(device, number)
        except pynvml.NVMLError:
            continue  # fewer slices than there could be
        slices.append(pynvml.nvmlDeviceGetUUID(part))
    return slices


def _by_program() -> tuple[str, ...]:
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in said.splitlines() if line.startswith("GPU-"))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
