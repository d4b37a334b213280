"""The raw output of an attempt process in ``logs.txt``, bounded.

Promises: whatever a process prints, it never waits for us, and neither disk nor memory fills: the
beginning is written as it comes, of the rest only the end, with a line that says how much is missing.
Each line is marked, and can neither forge nor break one of the run's own.
Neighbours: ``process`` gives it to the attempt as its output; ``monitoring.RunLog`` writes the same file.
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from pathlib import Path

from finetune30.monitoring.logs import one_line

HEAD_BYTES = 8 * 2**20
TAIL_BYTES = 512 * 2**10
MARK = "| "
_READ = 64 * 1024
_LONGEST_LINE = 16 * 1024
_ENDS = re.compile(rb"[\r\n]+")  # a progress bar draws with \r
_PLAIN = re.compile(r"[\t\x20-\x7e]*")


class Capture:
    """Reads a pipe to its end, from a thread of its own.

    Attributes:
        write_fd: The end for the process; ``started`` closes it here.
    """

    def __init__(self, path: Path, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._read_fd, self.write_fd = os.pipe()
        self._path = path
        self._room = head_bytes
        self._tail_bytes = tail_bytes
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._dropped = 0
        self._partial = b""
        self._last = b""
        self._thread = threading.Thread(target=self._drain, name=f"output to {path}", daemon=True)

    @property
    def last_line(self) -> str:
        """The last line with something in it, as one line of at most 200 letters."""
        return one_line(self._last.decode("utf-8", "replace"))[:200].strip()

    def started(self) -> None:
        """The process has its copy of the pipe."""
        os.close(self.write_fd)
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """All output is in the file when this returns; who still holds the pipe then is not waited for."""
        self._thread.join(timeout_s)

    def _drain(self) -> None:
        # Unbuffered and appending: a line is in the file at once, and whole beside the run's own.
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            file = -1  # the folder is gone or the disk is full; the process must not feel it
        try:
            while part := os.read(self._read_fd, _READ):
                self._take(part, file)
            self._end(file)
        finally:
            os.close(self._read_fd)
            if file >= 0:
                os.close(file)

    def _take(self, part: bytes, file: int) -> None:
        if self._room <= 0:
            self._keep_tail(part)
            return
        *lines, self._partial = _ENDS.split(self._partial + part)
        if len(self._partial) > _LONGEST_LINE:
            lines, self._partial = [*lines, self._partial], b""
        self._write(lines, file)
        self._room -= len(part)
        if self._room <= 0:
            self._keep_tail(self._partial)
            self._partial = b""

    def _keep_tail(self, part: bytes) -> None:
        self._tail.append(part)
        self._tail_size += len(part)
        while self._tail_size - len(self._tail[0]) >= self._tail_bytes:
            gone = len(self._tail.popleft())
            self._tail_size -= gone
            self._dropped += gone

    def _end(self, file: int) -> None:
        lines = _ENDS.split(self._partial + b"".join(self._tail))
        if self._dropped:
            lost = self._dropped + len(lines[0])
            lines = [f"... {lost / 2**20:,.1f} MiB of output are not kept ...".encode(), *lines[1:]]
        self._write(lines, file)

    def _write(self, lines: list[bytes], file: int) -> None:
        said = [line for line in lines if line.strip()]
        if not said:
            return
        self._last = said[-1][:1000]
        text = "".join(f"{MARK}{_safe(line.decode('utf-8', 'replace'))}\n" for line in said).encode()
        try:
            while file >= 0 and text:
                text = text[os.write(file, text) :]
        except OSError:
            pass  # a full disk: the process must not wait for it


def _safe(line: str) -> str:
    return line if _PLAIN.fullmatch(line) else one_line(line)
