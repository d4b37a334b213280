"""The line between a supervisor and the attempt process it started: JSON, one object a line.

Promises: nothing on either end ever hangs on the other. The attempt's end kills its own process
group when the supervisor is gone or when the lease may be over, even if it was frozen meanwhile. On
Linux the kernel does the former, so no library that holds Python's lock can put it off.
Standard library only: the attempt listens before it imports anything that takes seconds.
Neighbours: the attempt holds ``Line``, which is a ``Hold`` (``experiments.hold``) that knows neither
database nor broker; ``desk`` is the supervisor's end.

    attempt → supervisor   progress, event; planned, check, succeeded, failed, stopped (answered)
    supervisor → attempt   order, beat, stop; ok, lost (the answers)
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from finetune30.errors import LeaseLost

# The environment names the inherited file descriptors: the line, and a pipe that ends with the supervisor.
LINE_VARIABLE = "FINETUNE30_LINE"
GUARD_VARIABLE = "FINETUNE30_GUARD"
# Share of the lease after which an attempt that hears of no heartbeat must be dead.
GIVE_UP = 0.75
READ = 256 * 1024
_PROGRESS_S = 0.2
_MOST_EVENTS = 10_000
_F_SETSIG = 10  # fcntl does not export it


class Line:
    """The attempt's end, and its hold on the experiment. Made by ``connect``.

    Attributes:
        experiment_id: Whose row this attempt is at.
        attempt: Its number.
    """

    def __init__(self, sock: socket.socket, order: Mapping[str, Any], rest: bytes, die: Callable[[], None]) -> None:
        self.experiment_id = str(order["id"])
        self.attempt = int(order["attempt"])
        self._patience_s = GIVE_UP * float(order["lease_s"])
        self._sent = float(order["sent"])
        self._sock = sock
        self._die = die
        self._told: str | None = None
        self._stop_reason: str | None = None
        self._changed = threading.Condition()
        self._out: deque[dict[str, Any]] = deque()
        self._progress: dict[str, Any] | None = None
        self._answers: deque[dict[str, Any]] = deque()
        self._asking = threading.Lock()
        self._closed = False
        for work in (self._listen, self._speak, self._watch):
            threading.Thread(target=work, args=(rest,) if work == self._listen else (), daemon=True).start()

    @classmethod
    def from_environment(cls) -> tuple[dict[str, Any], Line]:
        """The order and the hold of the process the supervisor started. As ``connect``."""
        # Taken out: no grandchild may mistake the line for its own.
        guard = os.environ.pop(GUARD_VARIABLE, None)
        return cls.connect(int(os.environ.pop(LINE_VARIABLE)), guard=int(guard) if guard else None)

    @classmethod
    def connect(
        cls, fd: int, *, guard: int | None = None, die: Callable[[], None] | None = None
    ) -> tuple[dict[str, Any], Line]:
        """Wait for the order.

        Args:
            guard: A pipe whose other end the supervisor alone holds; this process keeps it open.
            die: What to do when the supervisor is gone or the lease may be over; kills the process
                group if not given, and is only given by tests.
        Returns: The order as it was sent, and the hold it speaks of.
        Raises: EOFError if the supervisor is gone before it gave one.
        """
        if guard is not None:
            _end_with(guard)
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        buffer = b""
        while b"\n" not in buffer:
            # A supervisor that died before the kernel was asked above shows here.
            if not (part := sock.recv(READ)):
                raise EOFError("the supervisor is gone")
            buffer += part
        first, _, rest = buffer.partition(b"\n")
        order: dict[str, Any] = json.loads(first)
        return order, cls(sock, order, rest, die or _kill_group)

    @property
    def loss(self) -> LeaseLost | None:
        """Why the experiment is no longer ours, None while it is. Asks the clock, not the supervisor."""
        if self._told is not None:
            return LeaseLost(f"{self.experiment_id}: {self._told}")
        if time.monotonic() - self._sent > self._patience_s:
            return LeaseLost(f"{self.experiment_id}: no heartbeat in time, another attempt may run")
        return None

    @property
    def stop_reason(self) -> str | None:
        """Why to stop at the next checkpoint: cancelled, paused, drained, timed out; None: go on."""
        return self._stop_reason

    def update(self, progress: Mapping[str, object]) -> None:
        """Tell how far it is; of several told at once the last counts. Never waits."""
        with self._changed:
            self._progress = {"kind": "progress", **progress}
            self._changed.notify_all()

    def event(self, kind: str, message: str, step: int | None = None) -> None:
        """Tell of a checkpoint, an evaluation or a warning. Never waits."""
        with self._changed:
            if len(self._out) < _MOST_EVENTS:  # a frozen supervisor must not cost memory
                self._out.append({"kind": "event", "event": kind, "message": message, "step": step})
                self._changed.notify_all()

    def planned(self, config: Mapping[str, object], fingerprint: str, dataset_hash: str) -> None:
        """Have the row say what exactly is trained. Raises: LeaseLost."""
        self._ask({"kind": "planned", "config": config, "fingerprint": fingerprint, "dataset_hash": dataset_hash})

    def check(self) -> None:
        """Have the database asked whether the experiment is still ours. Raises: LeaseLost."""
        self._ask({"kind": "check"})

    def succeeded(self, metrics: Mapping[str, object]) -> None:
        """Last word: the row says SUCCESS. Raises: LeaseLost."""
        self._ask({"kind": "succeeded", "metrics": metrics})

    def failed(self, error: Mapping[str, object]) -> None:
        """Last word: the row says FAILURE, and why. Raises: LeaseLost."""
        self._ask({"kind": "failed", "error": error})

    def stopped(self, reason: str) -> None:
        """Last word: stopped at a checkpoint, for the reason ``stop_reason`` gave. Raises: LeaseLost."""
        self._ask({"kind": "stopped", "reason": reason})

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was told is sent; a supervisor that does not listen is not waited for."""
        with self._changed:
            self._changed.wait_for(lambda: not self._out and self._progress is None, timeout=1)

    def _ask(self, request: dict[str, Any]) -> None:
        with self._asking, self._changed:
            if self._progress is not None:  # what was told before is heard before
                self._out.append(self._progress)
                self._progress = None
            self._out.append(request)
            self._changed.notify_all()
            while not self._answers:
                if loss := self.loss:
                    raise loss
                self._changed.wait(timeout=0.5)
            answer = self._answers.popleft()
        if answer["kind"] == "lost":
            self._told = str(answer.get("message") or "the lease is lost")
            raise LeaseLost(f"{self.experiment_id}: {self._told}")

    def _speak(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._out or self._progress is not None)
                message = self._out[0] if self._out else self._progress
                if not self._out:
                    self._progress = None
            try:
                self._sock.sendall(as_line(message))
            except OSError:
                return  # the listener sees the end, too
            with self._changed:
                if self._out and self._out[0] is message:
                    self._out.popleft()
                self._changed.notify_all()
            if message is not None and message["kind"] == "progress":
                time.sleep(_PROGRESS_S)

    def _listen(self, rest: bytes) -> None:
        try:
            while True:
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))
                if not (part := self._sock.recv(READ)):
                    break
                rest += part
        except (OSError, ValueError):
            pass
        self._die()  # nobody holds the lease any more

    def _hear(self, message: dict[str, Any]) -> None:
        with self._changed:
            match message["kind"]:
                case "beat":
                    self._sent = max(self._sent, float(message["sent"]))
                case "stop":
                    self._stop_reason = str(message["reason"])
                case "ok" | "lost":
                    self._answers.append(message)
            self._changed.notify_all()

    def _watch(self) -> None:
        while (left := self._sent + self._patience_s - time.monotonic()) >= 0:
            time.sleep(min(left + 0.01, 1.0))
        self._die()


def as_line(message: Mapping[str, Any] | None) -> bytes:
    """A message as it travels; NaN stays NaN, the row makes it null."""
    return json.dumps(message, ensure_ascii=True, default=_plain).encode() + b"\n"


def _plain(value: Any) -> object:
    """Numbers and paths of other libraries, as JSON can say them."""
    return value.item() if hasattr(value, "item") else str(value)


def _kill_group() -> None:
    """End this process and all it started, at once: no handler, no clean-up, no further write."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _end_with(guard: int) -> None:
    """Have the kernel kill this process group when the supervisor is gone; elsewhere the line's end tells.

    Not PR_SET_PDEATHSIG: it kills this process alone, before it can end what it started, and does so
    when the thread that started it ends.
    """
    os.set_inheritable(guard, False)
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox without it
            fcntl.fcntl(guard, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(guard, _F_SETSIG, int(signal.SIGKILL))
            fcntl.fcntl(guard, fcntl.F_SETFL, fcntl.fcntl(guard, fcntl.F_GETFL) | os.O_ASYNC)
