"""``logs.txt``: what happened in a run, for people who read it while it grows.

Promises: one line an event whatever the text holds (a label with a line break or a terminal's escape
sequence cannot forge a line), each line is in the file when ``line`` returns, and what was said
before the run had a folder is not lost.
Neighbours: ``pipeline`` writes; ``finetune30 runs logs -f`` follows.
"""

from __future__ import annotations

import threading
import unicodedata
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO
from zoneinfo import ZoneInfo

from finetune30.settings import get_settings

# Control, surrogate, line and paragraph separators; and what reorders text on the screen.
_UNSAFE = {"Cc", "Cs", "Zl", "Zp"}
_REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


class RunLog:
    """Timestamped lines, kept in memory until ``open`` says where they go.

    Args:
        tz: Zone of the timestamps; by default the settings'.
    """

    def __init__(self, tz: str | None = None) -> None:
        self._zone = ZoneInfo(tz or get_settings().tz)
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._file: TextIO | None = None

    def open(self, path: Path) -> None:
        """Write to ``path`` from now on, after what it holds; the lines that waited come first.

        Raises: OSError, such as a full disk.
        """
        with self._lock:
            self._file = path.open("a", encoding="utf-8", newline="\n", buffering=1)
            self._file.writelines(self._waiting)
            self._waiting.clear()

    def line(self, text: str) -> None:
        """Add one line. Threads may call it.

        Raises: OSError, such as a full disk.
        """
        stamp = datetime.now(self._zone).isoformat(sep=" ", timespec="milliseconds")
        with self._lock:
            line = f"{stamp}  {one_line(text)}\n"
            if self._file is None:
                self._waiting.append(line)
            else:
                self._file.write(line)

    def close(self) -> None:
        """Let the file go; later lines wait for the next ``open``."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def one_line(text: str) -> str:
    """``text`` with everything that could break or forge a line written as an escape (``\\n``)."""
    return "".join(_escaped(letter) if _is_unsafe(letter) else letter for letter in text)


def _is_unsafe(letter: str) -> bool:
    return unicodedata.category(letter) in _UNSAFE or unicodedata.bidirectional(letter) in _REORDERING


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
