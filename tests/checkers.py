"""The processes that check saved adapters, for trainings within the tests' process: copies of one that has imported.

The product makes its check a copy of the training's process where that has just imported (``standby.Copy``); the
tests' own process has long computed, so each of its trainings would start an interpreter that imports for four
seconds. Here one does so for all of them: each check is still a process of its own that never saw what was trained,
and whoever tests the start of one asks for the fixture ``new_interpreters``.

``python -m tests.checkers``: its standard input is a socket; each message is environment and folder, with the four
descriptors of a copy: standard input, output, error, and where its pid and its end are told.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from finetune30.modeling import parity
from finetune30.standby import Copy, Standby, _live

# What libraries read when they are imported, and Python itself.
_READ_ONCE = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TORCH", "PYTHON", "OMP_", "LD_")
_NUMBER = struct.Struct("i")
_MOST = 150_000


class Checkers:
    """A process that has imported what a check needs; it is started when the first one is asked for."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def new(self, standby: Standby) -> Copy | None:
        """A copy of it; None where it would not be what ``standby`` asks for."""
        environment = dict(os.environ if standby._environment is None else standby._environment)
        if standby.module != parity.__name__:
            return None
        if self._line is None:
            self._line = self._start(environment)
        if _read_once(environment) != self._told or self._process is None or self._process.poll() is not None:
            return None
        return _Checker(self._line, environment)

    def _start(self, environment: Mapping[str, str]) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=theirs,
                env={**environment, "PYTHONPATH": path},
                cwd=root,
                start_new_session=True,
            )
        self._told = _read_once(environment)
        return ours

    def close(self) -> None:
        """End it."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class _Checker(Copy):
    """One copy; its parent tells us how it ended."""

    def __init__(self, line: socket.socket, environment: Mapping[str, str]) -> None:
        self.returncode = None
        message = json.dumps({"environment": environment, "folder": str(Path.cwd())}).encode()
        assert len(message) < _MOST
        questions, question = os.pipe()
        answer, answers = os.pipe()
        self._end, end = os.pipe()
        said = os.memfd_create("said")
        socket.send_fds(line, [message], [questions, answers, said, end])
        for ours in (questions, answers, end):
            os.close(ours)
        self._question, self._answer, self._said = os.fdopen(question, "w"), os.fdopen(answer), os.fdopen(said)
        (self.pid,) = _NUMBER.unpack(os.read(self._end, _NUMBER.size))

    def _reap(self, how: int) -> int | None:
        if self.returncode is None and (how == 0 or select.select([self._end], [], [], 0)[0]):
            (self.returncode,) = _NUMBER.unpack(os.read(self._end, _NUMBER.size))
            os.close(self._end)
        return self.returncode


def _read_once(environment: Mapping[str, str]) -> dict[str, str]:
    # Whether use is told to the hub, which is off in tests, is settled by our own process after its start.
    return {n: value for n, value in environment.items() if n.startswith(_READ_ONCE) and "TELEMETRY" not in n}


def main() -> None:
    """Make copies until nobody can ask for one any more."""
    parity.load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    line = socket.socket(fileno=0)
    while True:
        message, streams, _, _ = socket.recv_fds(line, _MOST, 4)
        if not message:
            return
        if os.fork() == 0:
            _look_after(json.loads(message), *streams)
        for stream in streams:
            os.close(stream)


def _look_after(asked: dict[str, dict[str, str]], questions: int, answers: int, said: int, end: int) -> None:
    """Between the one that imported and the copy: it tells of pid and end, and ends."""
    with ExitStack() as last:
        last.callback(os._exit, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pid = os.fork()
        if pid == 0:
            os.environ.clear()
            os.environ.update(asked["environment"])
            os.chdir(str(asked["folder"]))
            _live(parity.__name__, questions, answers, said)
        for stream in (questions, answers, said):
            os.close(stream)
        os.write(end, _NUMBER.pack(pid))
        os.write(end, _NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))


if __name__ == "__main__":
    main()
