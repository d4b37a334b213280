"""Work of many owners in few threads, owner by owner: who brings a hundred things holds nobody else up.

A thread that is free takes the work of the owner at whose things the fewest threads are; of several, of the one
whose turn is longest due. Neighbours: ``checking`` has its uploads checked so, and its pages drawn.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_Work = tuple["Future[Any]", Callable[[], Any]]


class Turns:
    """A few threads for everybody.

    Args:
        at_once: Threads there are.
        name: Of the threads.
    """

    def __init__(self, at_once: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(at_once, name)
        self._lock = threading.Lock()
        self._lines: dict[str, deque[_Work]] = {}  # of those who wait; whose turn is longest due comes first
        self._served: Counter[str] = Counter()

    def submit(self, owner: str, work: Callable[[], T]) -> Future[T]:
        """Do it when it is the owner's turn.

        Raises: RuntimeError after ``end``.
        """
        future: Future[T] = Future()
        with self._lock:
            self._pool.submit(self._next)  # it waits for the lock
            self._lines.setdefault(owner, deque()).append((future, work))
        return future

    def end(self) -> None:
        """Begin nothing any more; what was not begun is cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting = [future for line in self._lines.values() for future, _ in line]
            self._lines.clear()
        for future in waiting:
            future.cancel()

    def wait(self) -> None:
        """Until what was begun is done."""
        self._pool.shutdown(wait=True)

    def _next(self) -> None:
        with self._lock:
            if not self._lines:
                return  # it ends
            owner = min(self._lines, key=lambda one: self._served[one])
            line = self._lines.pop(owner)
            future, work = line.popleft()
            if line:
                self._lines[owner] = line  # behind all others
            self._served[owner] += 1
        try:
            if future.set_running_or_notify_cancel():
                future.set_result(work())
        except BaseException as fault:  # noqa: BLE001 - it is told to who waits
            future.set_exception(fault)
        finally:
            with self._lock:
                self._served[owner] -= 1
                if not self._served[owner]:
                    del self._served[owner]
