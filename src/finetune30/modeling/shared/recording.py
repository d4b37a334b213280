"""What CUDA is asked for to record a pass and to replay it.

All recordings of a base go through one pool of memory: they are replayed one after the other, and what they give is
copied out before the next. Other threads load adapters meanwhile: their calls are theirs (``thread_local``), and what
is recorded is launched on a stream of its own. Neighbours: ``graphs`` decides what is recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import torch


class Recorder(Protocol):
    """Records what a function launches.

    Attributes:
        lock: Held while something is recorded or replayed, until what it gave is copied out.
    """

    lock: Any

    @property
    def nbytes(self) -> int:
        """Memory the recordings go through."""
        ...

    def warm(self, run: Callable[[], None]) -> None:
        """Run it as it will be recorded, so that whatever is made at the first call is there."""
        ...

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """Record it. Returned is what launches all of it again."""
        ...


class CudaRecorder:
    """Of one GPU."""

    def __init__(self, device: str) -> None:
        self.lock = threading.Lock()
        self.nbytes = 0
        self._device = torch.device(device)
        self._stream: Any = None
        self._pool: Any = None
        self._first: Any = None

    def warm(self, run: Callable[[], None]) -> None:
        """See ``Recorder``."""
        with self._beside():
            run()
            run()

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """See ``Recorder``."""
        with self._beside():
            if self._first is None:
                # A pool lives as long as a recording that uses it: this one stays.
                self._pool = torch.cuda.graph_pool_handle()
                self._first = self._recorded(lambda: torch.zeros(1, device=self._device))
            return self._recorded(run).replay  # type: ignore[no-any-return]

    def _recorded(self, run: Callable[[], object]) -> Any:
        before = torch.cuda.memory_reserved(self._device)
        graph: Any = torch.cuda.CUDAGraph()
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            run()
        except BaseException:
            with suppress(Exception):  # what went wrong first is told
                graph.capture_end()
            raise
        graph.capture_end()
        self.nbytes += max(0, torch.cuda.memory_reserved(self._device) - before)
        return graph

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """On a stream of its own, after what was launched before, and before what is launched after."""
        with torch.cuda.device(self._device):
            if self._stream is None:
                self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            try:
                with torch.cuda.stream(self._stream):
                    yield
            finally:
                current.wait_stream(self._stream)


def recorder_for(device: str) -> Recorder | None:
    """Of a device that can record; None for others."""
    return CudaRecorder(device) if device.startswith("cuda") else None
