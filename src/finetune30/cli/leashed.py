"""A verb in a process that never outlives the one that started it: ``python -m finetune30.cli.leashed FD VERB …``.

FD is the reading end of a pipe whose other end only the parent holds: when that closes, this process and its
group are ended by SIGKILL. On Linux the kernel does the same, even while this process is stopped.
Neighbours: ``up`` starts its parts so. Standard library only, until the verb begins.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def _leash(pipe: int) -> None:
    os.set_inheritable(pipe, False)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # A parent that ended before that call is noticed here: the pipe is at its end.
    threading.Thread(target=_wait_for_the_end, args=(pipe,), name="leash", daemon=True).start()


def _wait_for_the_end(pipe: int) -> None:
    while os.read(pipe, 64):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Take the leash, then be the verb."""
    _leash(int(sys.argv[1]))
    sys.argv = ["finetune30", *sys.argv[2:]]
    from finetune30.cli import main as verb

    verb()


if __name__ == "__main__":
    main()
