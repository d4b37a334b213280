"""What training asks of its process: memory that stays, room for kernels, as many threads as there are cores.

Three settings of libraries below torch whose defaults cost a fifth of the speed on a CPU.
Called before the first product; calling it again changes nothing. Neighbours: ``engine`` computes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of mallopt(3)
_NEVER = 1 << 30
# Each length of a batch needs some thirty kernels; 1024, the default, holds those of thirty lengths.
KERNELS = 8192
# Descriptions of products that are kept beside their kernels to answer: those of the last few batches.
# Each is 258 KiB; of all others it is found again through the kernel, in two microseconds.
FEW_DESCRIPTIONS = 128


def tune(descriptions: int = KERNELS) -> None:
    """Settle the process for training or predicting on a CPU.

    Args:
        descriptions: Of products that torch keeps for each thread, beside the kernels themselves, which all share.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
    os.environ.setdefault("LRU_CACHE_CAPACITY", str(descriptions))
    _keep_freed_memory()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), cores()))


def cores() -> int:
    """Cores this process may use: those it is bound to, and of a container those it is given time on.

    A thread too many is worse than one too few: at every product all wait for the one without a core.
    """
    try:
        bound = len(psutil.Process().cpu_affinity())
    except AttributeError:  # macOS knows no affinity
        bound = psutil.cpu_count(logical=False) or 1
    return max(1, min(bound, _granted(Path("/sys/fs/cgroup/cpu.max")) or bound))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute small things in the calling thread alone: shared, each would wait until others' threads have a core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def give_back() -> None:
    """Give the system what was freed and kept: for after a load, whose passing copies are many times what stays."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _granted(quota: Path) -> int | None:
    """Whole cores that a cgroup's ``cpu.max`` ("200000 100000", or "max 100000") gives; None without a limit."""
    with suppress(OSError, ValueError):
        time, period = quota.read_text(encoding="ascii").split()
        return None if time == "max" else max(1, int(time) // int(period))
    return None


def _keep_freed_memory() -> None:
    """Let malloc keep what a step frees: the next step asks for the same, and fresh pages cost more than sums.

    glibc gives large blocks back to the system at once, and each page of the next step is then
    zeroed by the kernel on first touch. Other C libraries have no such switch and are left alone.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - only glibc has it
        library.mallopt(_MMAP_THRESHOLD, _NEVER)
        library.mallopt(_TRIM_THRESHOLD, _NEVER)
