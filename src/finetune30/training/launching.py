"""Starting torchrun's launcher on this machine, so that nothing of it is left behind.

The line to the processes is a socket that all of them inherit as standard input: while any of them
lives it is open, and when this process ends, however that happens, all of them see it close.
Neighbours: ``several`` and ``join`` start, ``launcher`` is what is started.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from finetune30.modeling.process import cores

_LAUNCHER = "finetune30.training.launcher"
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
# How long processes that were told to end may take; they do it by SIGKILL.
_END_S = 10.0


@contextmanager
def launched(
    folder: Path, role: str, rank: str, count: int, nodes: int, log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A launcher and the line to its processes; none of them is left behind."""
    ours, theirs = socket.socketpair()
    with log.open("ab") as output:
        launcher = subprocess.Popen(
            # -P: a calendar.py in the user's folder must not be imported instead of Python's own.
            [sys.executable, "-P", "-m", _LAUNCHER, str(folder), str(os.getpid()), role, rank],
            stdin=theirs.fileno(),
            stdout=output,
            stderr=output,
            env=_environment(count, nodes),
            start_new_session=True,  # Ctrl+C is for this process, which decides
        )
    theirs.close()
    try:
        yield launcher, ours
    finally:
        _end(launcher, ours)


def _end(launcher: subprocess.Popen[bytes], line: socket.socket) -> None:
    """Say to all that nobody listens any more, see the last of them go, then the launcher."""
    with suppress(OSError):
        line.shutdown(socket.SHUT_WR)
        line.settimeout(_END_S)
        while line.recv(65_536):
            pass
    line.close()
    launcher.kill()
    launcher.wait()


def _environment(count: int, nodes: int) -> dict[str, str]:
    own = {"OMP_NUM_THREADS": str(max(1, cores() // count)), "PYTHONUNBUFFERED": "1"}
    if nodes == 1:
        # Within one machine nothing goes through the network, whatever its name resolves to.
        own["GLOO_SOCKET_IFNAME"] = _LOOPBACK
    return {**own, **os.environ}
