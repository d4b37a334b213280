"""The supervisor's end of the line to one attempt process.

Promise: whatever the process does (freeze, flood, send garbage, die), nothing here waits for it.
Neighbour: ``line`` is the attempt's end and says which messages there are.
"""

from __future__ import annotations

import json
import os
import select
import socket
from contextlib import suppress
from typing import Any

from finetune30.worker.line import GUARD_VARIABLE, LINE_VARIABLE, READ, as_line

# A message longer than this is no message: scores of a thousand labels fit many times.
LONGEST = 32 * 1024 * 1024


class Desk:
    """Sends without waiting, receives what has come. One thread uses it.

    Attributes:
        environment: Tells the attempt which of the file descriptors it inherits are for it.
        child_fds: To be inherited by the attempt; ``started`` closes them here.
        ended: The attempt's end is closed.
        fault: What it sent that is no message; nothing after that is read.
    """

    def __init__(self) -> None:
        self._sock, self._child = socket.socketpair()
        self._sock.setblocking(False)
        self._wakes, self._woken = socket.socketpair()
        self._wakes.setblocking(False)
        self._woken.setblocking(False)
        self._unsent = b""
        self._unread = b""
        self._guard, self._keep = os.pipe()  # nothing is ever written; it ends with this process
        self.child_fds = (self._child.fileno(), self._guard)
        self.environment = {LINE_VARIABLE: str(self._child.fileno()), GUARD_VARIABLE: str(self._guard)}
        self.ended = False
        self.fault: str | None = None

    def started(self) -> None:
        """The process has its copies: from now on its death closes the line."""
        self._child.close()
        if self._guard >= 0:
            os.close(self._guard)
        self._guard = -1

    def send(self, kind: str, **values: object) -> None:
        """Send, or keep for the next ``receive`` what a process that does not read leaves no room for."""
        if kind == "beat" and self._unsent:
            return  # it is frozen; it shall not find a queue of old ones
        self._unsent += as_line({"kind": kind, **values})
        self._flush()

    def receive(self, timeout_s: float) -> list[dict[str, Any]]:
        """Messages that came within ``timeout_s``; returns early with none when ``wake`` is called."""
        line = 0 if self.ended else select.POLLIN | (select.POLLOUT if self._unsent else 0)
        happened = self._wait(timeout_s, line)
        if happened.get(self._woken.fileno()):
            with suppress(BlockingIOError):
                self._woken.recv(4096)
        come = happened.get(self._sock.fileno(), 0)
        if come & select.POLLOUT:
            self._flush()
        return self._read() if come & ~select.POLLOUT else []

    def rest(self) -> list[dict[str, Any]]:
        """What a process that has ended had still said."""
        messages: list[dict[str, Any]] = []
        while not self.ended and self._sock.fileno() in self._wait(0, select.POLLIN):
            messages += self._read()
        return messages

    def wake(self) -> None:
        """Have ``receive`` return at once; for other threads."""
        with suppress(OSError):  # a full pipe wakes as well; a closed one needs no waking
            self._wakes.send(b"!")

    def close(self) -> None:
        """Let go of everything; once. A process that still runs is killed by it."""
        self.started()
        for sock in (self._sock, self._wakes, self._woken):
            sock.close()
        os.close(self._keep)

    def _wait(self, timeout_s: float, line: int) -> dict[int, int]:
        """What happened, by file descriptor; ``select.select`` could not watch numbers above 1023."""
        poller = select.poll()
        poller.register(self._woken, select.POLLIN)
        if line:
            poller.register(self._sock, line)
        return dict(poller.poll(max(0.0, timeout_s) * 1000))

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent, self.ended = b"", True

    def _read(self) -> list[dict[str, Any]]:
        try:
            part = self._sock.recv(READ)
        except BlockingIOError:
            return []
        except OSError:
            part = b""
        if not part:
            self.ended = True
        *lines, self._unread = (self._unread + part).split(b"\n")
        messages: list[dict[str, Any]] = []
        try:
            for line in lines:
                message = json.loads(line)
                if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
                    raise ValueError("no message")
                messages.append(message)
            if len(self._unread) > LONGEST:
                raise ValueError("too long")
        except (ValueError, RecursionError) as cause:
            self.fault, self.ended, self._unread = f"{cause}", True, b""
        return messages
