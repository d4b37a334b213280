"""Several processes run as one: one log, one end.

A part that ends unexpectedly is started again, ever later; one that refuses its settings (exit code 2) ends
all. The first signal lets every part end in order, the second ends them at once, and none outlives this
process. Neighbours: ``up`` says which parts, ``leashed`` holds each of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import IO

_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 30.0
# A part that ran so long is started again without delay growing.
_STEADY_S = 60.0
_LOOK_S = 0.1
# ``timeout`` and others signal a process and its group: the same wish, twice.
_SAME_WISH_S = 1.0
_BAD_INPUT = 2
_EXIT_BY_SIGNAL = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@dataclass(frozen=True)
class Part:
    """A verb that is run as a process of its own.

    Attributes:
        wait_s: Started so much later than the others, that these have the machine for themselves at first.
    """

    name: str
    verb: tuple[str, ...]
    wait_s: float = 0.0


class _Log:
    """Lines of all parts, each with its name before it; never half a line."""

    def __init__(self, names: Sequence[str]) -> None:
        self._width = max(map(len, names))
        self._lock = threading.Lock()
        self.closed = False

    def line(self, name: str, line: bytes) -> None:
        prefix = f"{name:<{self._width}} | ".encode()
        with self._lock:
            try:
                sys.stdout.buffer.write(prefix + line.rstrip(b"\r\n") + b"\n")
                sys.stdout.buffer.flush()
            except OSError:  # nobody reads any more; the parts must not block because of that
                self.closed = True

    def follow(self, name: str, stream: IO[bytes]) -> None:
        for line in stream:
            self.line(name, line)


class _Running:
    """One part: its process, and when to start it again."""

    def __init__(self, part: Part, log: _Log) -> None:
        self.part = part
        self.process: subprocess.Popen[bytes] | None = None
        self.delay_s = _FIRST_DELAY_S
        self.due = time.monotonic() + part.wait_s
        self._log = log
        self._began = 0.0
        self._leash = -1
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the process; from the main thread, whose end is the kernel's signal to the part."""
        held, self._leash = os.pipe()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "finetune30.cli.leashed", str(held), *self.part.verb],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(held,),
                start_new_session=True,  # Ctrl+C is for us, and we decide
            )
        finally:
            os.close(held)
        self._began = time.monotonic()
        self._reader = threading.Thread(
            target=self._log.follow, args=(self.part.name, self.process.stdout), name=self.part.name, daemon=True
        )
        self._reader.start()

    def ended(self) -> int | None:
        """The exit code of a process that has ended since the last look."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        if self._reader is not None:
            self._reader.join(timeout=2)  # a grandchild may hold the pipe
        os.close(self._leash)
        self.process = None
        if time.monotonic() - self._began > _STEADY_S:
            self.delay_s = _FIRST_DELAY_S
        self.due = time.monotonic() + self.delay_s
        return code

    def postpone(self) -> None:
        """The next delay is longer."""
        self.delay_s = min(2 * self.delay_s, _LONGEST_DELAY_S)

    def send(self, number: int) -> None:
        """A signal to the process, SIGKILL to all of its group."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)


class _Signals:
    """Those that ask us to end, in the order they came; what comes together is one."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self._last = -_SAME_WISH_S
        self._before: Mapping[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> _Signals:
        self._before = {number: signal.signal(number, self._note) for number in _EXIT_BY_SIGNAL}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if time.monotonic() - self._last >= _SAME_WISH_S:
            self._last = time.monotonic()
            self.came.append(number)


def run_together(parts: Sequence[Part], drain_s: float) -> int:
    """Run the parts until a signal, and end them; the exit code.

    Args:
        drain_s: How long the parts may take to end in order.
    """
    log = _Log(["up", *(part.name for part in parts)])
    running = [_Running(part, log) for part in parts]

    def say(text: str) -> None:
        log.line("up", text.encode())

    with _Signals() as signals:
        try:
            refused = _keep_up(running, signals, log, say)
            return _wind_down(running, signals, drain_s, say, refused)
        finally:
            for one in running:
                one.send(signal.SIGKILL)


def _keep_up(running: Sequence[_Running], signals: _Signals, log: _Log, say: Callable[[str], None]) -> bool:
    """Until somebody wants the end; True if a part refused to run."""
    while not signals.came and not log.closed:
        for one in running:
            if one.process is None and time.monotonic() >= one.due:
                one.start()
                say(f"{one.part.name} runs (process {one.process.pid if one.process else 0})")
            code = one.ended()
            if code == _BAD_INPUT:
                say(f"{one.part.name} refuses to run, see above")
                return True
            if code is not None:
                say(f"{one.part.name} ended unexpectedly ({_how(code)}); starting it again in {one.delay_s:g} s")
                one.postpone()
        time.sleep(_LOOK_S)
    return False


def _wind_down(
    running: Sequence[_Running], signals: _Signals, drain_s: float, say: Callable[[str], None], refused: bool
) -> int:
    """End every part in order; at once on a second signal, or when that takes too long."""
    say("stopping; trainings write a checkpoint first. Press Ctrl+C again to stop at once")
    asked, until = len(signals.came), time.monotonic() + drain_s
    for one in running:
        one.send(signal.SIGTERM)
    clean, killed = True, False
    while any(one.process for one in running):
        hurried = len(signals.came) > min(asked, 1)
        if not killed and (hurried or time.monotonic() > until):
            killed = True
            say("stopping at once" if hurried else f"not ended after {drain_s:g} s, stopping at once")
            for one in running:
                one.send(signal.SIGKILL)
        for one in running:
            if (code := one.ended()) is not None:
                clean = clean and code in (0, -signal.SIGTERM)
                say(f"{one.part.name} ended" + ("" if code == 0 else f" ({_how(code)})"))
        time.sleep(_LOOK_S)
    if refused:
        return _BAD_INPUT
    if killed and signals.came:
        return _EXIT_BY_SIGNAL[signal.Signals(signals.came[-1])]
    return 0 if clean else 1


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
