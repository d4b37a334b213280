"""What an attempt told and its row does not have yet: progress, and events.

Promise: an event goes to the row once and in order, and none is dropped because the attempt ended:
it stays here until a write that carried it was answered. (A write whose answer a broken connection
swallowed is the exception: it is made again.)
Neighbours: ``supervisor`` adds, ``clerk`` carries, from its one thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from finetune30.experiments.record import Beat, Note

_MOST_EVENTS = 1000


class News:
    """Filled by one thread, carried by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: dict[str, object] | None = None
        self._events: list[Note] = []

    def __bool__(self) -> bool:
        return self._progress is not None or bool(self._events)

    def progress(self, values: dict[str, object]) -> None:
        """Of several the last counts."""
        with self._lock:
            self._progress = values

    def event(self, note: Note) -> None:
        """Keep an event; a flood of them is cut."""
        with self._lock:
            if len(self._events) < _MOST_EVENTS:
                self._events.append(note)

    def carry(self, write: Callable[[dict[str, object] | None, list[Note]], Beat]) -> Beat:
        """Have ``write`` note all there is; what it raises leaves everything here."""
        with self._lock:
            progress, events = self._progress, list(self._events)
        answer = write(progress, events)
        with self._lock:
            del self._events[: len(events)]
            if self._progress is progress:
                self._progress = None
        return answer
