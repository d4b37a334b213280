"""Processes that end with those they belong to, however these end.

Two ties: the system kills a child with its parent (Linux), and each process watches a socket that
only the process at the other end holds open, which works everywhere and across generations. No
orphan goes on training, and none writes a checkpoint into a run that somebody else resumed.
Standard library only. Neighbours: ``launcher`` and ``rank`` tie themselves to ``several``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LOOK_S = 0.1


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends.

    Args:
        parent: Its process id, as it told it: one that ended before this line is noticed, too.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        end()


def end() -> None:
    """End this process here and now, as a kill would: no handler, no clean-up, no last checkpoint."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_socket(line: socket.socket) -> None:
    """End when nobody is at the other end any more. Reads nothing: what comes is for another process."""
    _in_background(lambda: _until_closed(line))


def die_unless(alive: Callable[[], object], every_s: float) -> None:
    """End when a question, asked from time to time, raises."""
    _in_background(lambda: _while_answered(alive, every_s))


def _until_closed(line: socket.socket) -> None:
    with suppress(OSError):
        while line.recv(1, socket.MSG_PEEK):
            time.sleep(_LOOK_S)  # something waits there for another reader
    end()


def _while_answered(alive: Callable[[], object], every_s: float) -> None:
    with suppress(Exception):
        while True:
            alive()
            time.sleep(every_s)
    end()


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()
