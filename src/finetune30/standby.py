"""A Python process that stands by: started early, it has imported when it is needed, and answers one request.

Importing torch and its kin takes seconds on one core. Who will need a fresh process at the end makes it at the
beginning: a copy of itself (``Copy``) as it is when it has imported and nothing more, which costs nothing; or a new
interpreter that imports meanwhile, where a copy is not to be had or would know too much. Whoever imports them does so
without the garbage collector. Standard library only.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn

# A copy that has not computed its first product in so long never will.
_ABLE_S = 20.0
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# GNU's own library counts turns of its loop, these are some 20 microseconds: without any, trainings of small models are
# half as slow again.
_TURNS = 2_000


@contextmanager
def importing() -> Iterator[None]:
    """For a block that imports heavy libraries: all they make stays, and nobody looks through it for garbage.

    Looking through it again and again is a fifth of what importing torch, transformers and peft costs. Nor does anybody
    later, when it was this block that first imported torch: that would be two seconds of a short training.
    """
    collects, first = gc.isenabled(), "torch" not in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if first and "torch" in sys.modules:
            gc.freeze()
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


def may_copy() -> bool:
    """Whether this process, once it has imported, may be copied: it has not yet, and the system is good at it.

    Threads that share a product do not live on in a copy, so nothing may have been computed before.
    """
    return sys.platform == "linux" and "torch" not in sys.modules


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
        waits: Not started yet: ``imported`` will be called, else ``ask`` starts it.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None, *, waits: bool = False) -> None:
        self.module = module
        self._environment = environment
        self._child: subprocess.Popen[str] | Copy | None = None if waits else self._start()

    def imported(self) -> None:
        """This process has imported what that one needs, and done nothing with it: be a copy of it, if not started."""
        if self._child is None:
            with suppress(OSError):  # no memory for it, or not allowed: ``ask`` starts an interpreter
                self._child = Copy(self.module)

    def ask(self, request: dict[str, Any]) -> Answer:
        """Hand over the request and wait for the answer; once."""
        child = self._child
        lost = child is None or child.poll() is not None  # killed while it waited, perhaps for its memory
        if child is None or lost or (isinstance(child, Copy) and not child.is_able()):
            self.close()
            child = self._child = self._start()
        try:
            out, err = child.communicate(json.dumps(request))
        except BrokenPipeError:
            out, err = "", ""
        lines, said = out.splitlines(), err.strip().splitlines()
        try:
            value = json.loads(lines[-1])
        except (IndexError, ValueError):
            value = None
        return Answer(value, child.returncode, said[-1] if said else "no output")

    def close(self) -> None:
        """End it, whether it was asked or not."""
        if self._child is not None:
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


class Copy:
    """This process as it is now, for ``main`` of a module; it is asked as a ``subprocess.Popen`` of text is.

    It keeps no file, socket or lock of this process and is in no session with it.

    Attributes:
        pid: Its process.
        returncode: None until it was seen to have ended; below 0 the signal that ended it.
    """

    def __init__(self, module: str) -> None:
        self.returncode: int | Any = None
        questions, question = os.pipe()
        answer, answers = os.pipe()
        said = -1
        try:
            said = os.memfd_create("said")
            self.pid = _forked()
        except OSError:
            for one in (questions, question, answer, answers, said):
                with suppress(OSError):
                    os.close(one)
            raise
        if self.pid == 0:
            _live(module, questions, answers, said)
        os.close(questions)
        os.close(answers)
        self._question, self._answer = os.fdopen(question, "w"), os.fdopen(answer)
        self._said = os.fdopen(said)

    def is_able(self) -> bool:
        """Whether it has said that it can compute: threads that share a product may be lost in a copy."""
        return bool(select.select([self._answer], [], [], _ABLE_S)[0])

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        return self._reap(os.WNOHANG)

    def kill(self) -> None:
        """End it at once."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self, request: str = "") -> tuple[str, str]:
        """Say all of the request and hear all that it says until it ends; once, what is asked after that is nothing."""
        if self._question.closed:
            self._answer.close()
            self._said.close()
            self._reap(0)
            return "", ""
        with suppress(BrokenPipeError), self._question as question:
            question.write(request)
        with self._answer as answer, self._said as said:
            out = answer.read()
            self._reap(0)
            said.seek(0)
            return out, said.read()

    def _reap(self, how: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, how)
            except ChildProcessError:  # the system, or somebody else here, has asked: its answer says how it went
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _forked() -> int:
    """As ``os.fork``; the copy begins with all signals blocked, for their handlers are its parent's."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = -1
    try:
        with warnings.catch_warnings():
            # Python warns where there are other threads: ours wait for other processes and hold nothing it will want.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        return pid
    finally:
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _live(module: str, *streams: int) -> NoReturn:
    """The life of a copy, whose ``streams`` are its standard input, output and error."""
    code = 1
    try:
        os.setsid()  # Ctrl+C is for the parent, which decides
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - as many as there are, not as there may be
            if int(name) > 2:
                with suppress(OSError):
                    os.close(int(name))
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - inherited
        life = importlib.import_module(module)
        if hasattr(life, "rehearse"):
            life.rehearse()
        sys.stdout.write("\n")  # it is able
        sys.stdout.flush()
        code = int(life.main())
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as the parent would
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
