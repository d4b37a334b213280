"""One attempt process: started in a session of its own, and ended with everything it started.

Promises: no secret of the service reaches it; what it prints is kept; when ``end`` returns nothing of
it runs any more, not even what left its process group.
Neighbours: ``supervisor`` watches, ``capture`` keeps the output, ``desk`` is the line to it,
``surroundings`` what it may see.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from finetune30.worker.capture import Capture
from finetune30.worker.desk import Desk
from finetune30.worker.slots import Seat
from finetune30.worker.surroundings import surroundings

# By this, everything an attempt started is found.
MARKER = "FINETUNE30_ATTEMPT"
# Where memory runs out, the kernel shall take a training and not who watches it.
_OOM_SCORE = "500"
_GONE_S = 5.0


class AttemptProcess:
    """A running attempt.

    Args:
        command: The program and its arguments.
        mark: Names the attempt; no other one of this machine has it, of whatever database.
        log: Where its output goes; it runs in the folder of that, where no file of the worker's is at
            hand (its ``.env``) and no folder of the worker's is taken for a name of the hub.
    Raises: OSError if it cannot be started.
    """

    def __init__(self, command: Sequence[str], mark: str, seat: Seat, desk: Desk, log: Path) -> None:
        self._mark = mark
        self._capture = Capture(log)
        given = surroundings(os.environ)
        told = {**given, **seat.environment(given), **desk.environment, MARKER: mark, "PYTHONUNBUFFERED": "1"}
        try:
            self._child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=self._capture.write_fd,
                stderr=subprocess.STDOUT,
                env=told,
                cwd=log.parent,
                pass_fds=desk.child_fds,
                start_new_session=True,  # Ctrl+C is for the worker, which tells
            )
        finally:
            self._capture.started()
            desk.started()
        self.pid = self._child.pid
        with suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")

    @property
    def last_line(self) -> str:
        """The last line it printed."""
        return self._capture.last_line

    def exited(self) -> bool:
        """It has ended by itself. Its number stays taken until ``end``: its group can be killed safely."""
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        return self._child.poll() is not None

    def terminate(self) -> None:
        """Ask it to end."""
        self._child.terminate()

    def kill(self) -> None:
        """End it and its group at once; it writes nothing more."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Kill whatever is left, wait for it; the exit code, negative for a signal."""
        self.kill()
        code = self._child.wait()
        until = time.monotonic() + _GONE_S
        while (strays := self._strays()) and time.monotonic() < until:
            for stray in strays:
                with suppress(psutil.Error):
                    stray.kill()
            time.sleep(0.02)
        self._capture.finish(timeout_s=0.1 if strays else 1.0)
        return code

    def _strays(self) -> list[psutil.Process]:
        """What it started and what still runs: of its session, or with its mark."""
        return [process for process in psutil.process_iter() if process.pid != self.pid and self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return os.getsid(process.pid) == self.pid or process.environ().get(MARKER) == self._mark
        except (psutil.Error, OSError):
            return False
