"""A Python process that stands by: started early, it imports while others work, and answers one request.

Importing torch and its kin takes seconds on one core. Who will need a fresh process at the end
starts it at the beginning, when the other cores have nothing to do; and whoever imports them does
so without the garbage collector. Standard library only.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# GNU's own library counts turns of its loop, these are some 20 microseconds: without any, trainings of small models are
# half as slow again.
_TURNS = 2_000


@contextmanager
def importing() -> Iterator[None]:
    """For a block that imports heavy libraries: all they make stays, and nobody looks through it for garbage.

    Looking through it again and again is a fifth of what importing torch, transformers and peft costs.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def wait_asleep(environment: MutableMapping[str, str] = os.environ, turns: int = _TURNS) -> None:
    """Let threads that share a product sleep when they have waited for each other a moment; before torch is imported.

    By default they spin for milliseconds, on the cores that others need: where a neighbour takes one of them, each
    product waits until the kernel gives a core back to the thread that has work, which may be most of the time. What
    is computed is the same. Who has said how threads wait, in whatever spelling, has it their way.

    Args:
        turns: Of the loop in GNU's library, a hundred in a microsecond; LLVM's and Intel's count whole milliseconds.
    """
    if not any(name in environment for name in _WAITING):
        environment.update(GOMP_SPINCOUNT=str(turns), KMP_BLOCKTIME="1")


@dataclass(frozen=True)
class Answer:
    """What the process said.

    Attributes:
        value: The object of its last line of standard output; None if it gave none.
        said: The last line of standard error.
    """

    value: dict[str, Any] | None
    exit_code: int
    said: str


class Standby:
    """One ``python -m module`` that reads a JSON request from standard input, to its end.

    It ends by itself when the parent is gone: its standard input ends then.

    Args:
        environment: All it is told; None gives it what this process has.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self.module = module
        self._environment = environment
        self._child = self._start()

    def ask(self, request: dict[str, Any]) -> Answer:
        """Hand over the request and wait for the answer; once."""
        if self._child.poll() is not None:  # killed while it waited, perhaps for its memory: another one
            self.close()
            self._child = self._start()
        try:
            out, err = self._child.communicate(json.dumps(request))
        except BrokenPipeError:
            out, err = "", ""
        lines, said = out.splitlines(), err.strip().splitlines()
        try:
            value = json.loads(lines[-1])
        except (IndexError, ValueError):
            value = None
        return Answer(value, self._child.returncode, said[-1] if said else "no output")

    def close(self) -> None:
        """End it, whether it was asked or not."""
        self._child.kill()
        self._child.communicate()

    def __enter__(self) -> Standby:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            # -P: a calendar.py in the user's folder must not be imported instead of Python's own.
            [sys.executable, "-P", "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,  # Ctrl+C is for the parent, which decides
        )
