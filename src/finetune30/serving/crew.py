"""Threads that compute for the lane: how many, and how many cores each one's products use.

A product that is shared by threads waits for the last of them each time, and an encoder has two hundred products;
so cores are better used by a batch each. From three cores on one is left to what speaks HTTP, which is a fifth of the
work: of two it would be idle most of the time.
Neighbours: ``lane`` has the threads, ``serve`` and ``offline`` choose.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from finetune30.modeling.process import cores

# Beyond so many they wait for each other: Python runs in one of them at a time.
_MOST = 4
_TOGETHER = 1, 2, 4
# Rows of a batch at most. On a GPU four times as many take not twice as long.
_ROWS, _ROWS_GPU = 32, 128


@dataclass(frozen=True)
class Crew:
    """Of a lane.

    Attributes:
        workers: Threads, each with a batch of its own.
        threads: That share each product of a worker; None for as many as torch takes.
        together: Numbers of threads that may share a lone row: see ``timing``.
        gathers: A thread that is idle lets more rows come: see ``gathering``.
    """

    workers: int = 1
    threads: int | None = None
    together: tuple[int, ...] = ()
    gathers: bool = False

    def begin(self) -> None:
        """Called by each worker first."""
        if self.threads is not None:
            torch.get_num_threads()  # it settles this thread, or its first product would set the number back
            torch.set_num_threads(self.threads)


def crew_for(device: str, *, beside: int) -> Crew:
    """The crew of a machine: on a GPU one thread, on a CPU up to four that share the cores.

    Args:
        beside: Cores left to others, where two are left to compute.
    """
    if device != "cpu":
        return Crew()
    here = min(cores(), _asked() or cores())
    spare = max(min(here, 2), here - beside)
    workers = min(spare, _MOST)
    together = tuple(number for number in _TOGETHER if number <= here)
    return Crew(workers, spare // workers, together, gathers=beside > 0 and spare == here)


def rows_for(device: str) -> int:
    """Rows of a batch at most, on this device."""
    return _ROWS_GPU if device.startswith("cuda") else _ROWS


def _asked() -> int | None:
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else None
