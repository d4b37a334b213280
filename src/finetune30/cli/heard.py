"""Ctrl+C while a verb waits for what a server says next: it is heard within a moment, whenever it is pressed.

Python acts on a signal between two steps, or when one breaks a wait. A signal that comes just before a wait on the
network begins breaks nothing, and is acted on when the server says its next word. So a thread waits for the server,
and this one in short turns for the thread.
Neighbours: ``server`` follows a task so.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

_TURN_S = 0.5
T = TypeVar("T")


@dataclass(frozen=True)
class _Word(Generic[T]):
    value: T


@dataclass(frozen=True)
class _End:
    fault: BaseException | None = None


def interruptible(source: Iterator[T]) -> Iterator[T]:
    """What ``source`` gives, from a thread; the thread is left behind by who leaves before the end.

    Raises: what ``source`` raises, and KeyboardInterrupt.
    """
    heard: queue.SimpleQueue[_Word[T] | _End] = queue.SimpleQueue()

    def listen() -> None:
        try:
            for value in source:
                heard.put(_Word(value))
        except BaseException as fault:  # noqa: BLE001 - it is raised where somebody can answer it
            heard.put(_End(fault))
        else:
            heard.put(_End())

    threading.Thread(target=listen, name="listening", daemon=True).start()
    while True:
        try:
            word = heard.get(timeout=_TURN_S)
        except queue.Empty:
            continue
        if isinstance(word, _Word):
            yield word.value
        elif word.fault is not None:
            raise word.fault
        else:
            return
