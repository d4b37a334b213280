"""The end of a text file, without reading the rest; a file that is not there is empty.

Neighbours: the routes of tasks show logs with it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MOST_BYTES = 1 << 20


def last_lines(path: Path, count: int, most_bytes: int = _MOST_BYTES) -> str:
    """At most ``count`` lines from the end, and at most a MiB unless said otherwise."""
    try:
        # A link or a pipe in a run's folder is nobody's log.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            return ""
        opened.seek(max(0, found.st_size - most_bytes))
        lines = opened.read(most_bytes).splitlines(keepends=True)
    if found.st_size > most_bytes:
        lines = lines[1:]  # it begins somewhere
    return b"".join(lines[-count:]).decode("utf-8", "replace")
