"""The line between two real processes: words, answers, fences, ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune30.worker.desk import Desk

BEGIN = """
import os, signal, subprocess, sys, threading, time
from finetune30.errors import LeaseLost
from finetune30.worker.line import Line
order, hold = Line.from_environment()
def note(text): os.write(1, f"{text}\\n".encode())
"""
PATIENCE_S = 20.0


class Attempt:
    """A child at the other end of a desk; its output is in a file."""

    def __init__(self, home: Path, code: str) -> None:
        self.desk = Desk()
        self.out = home / "out.txt"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BEGIN + code],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.desk.environment},
                pass_fds=self.desk.child_fds,
                start_new_session=True,
            )
        self.desk.started()

    def order(self, lease_s: float = 60.0, **more: object) -> None:
        self.desk.send("order", id="x", attempt=2, lease_s=lease_s, sent=time.monotonic(), config={"a": 1}, **more)

    def hear(self, kind: str) -> dict[str, Any]:
        """The next message of this kind."""
        return self.until(lambda: next((one for one in self.desk.receive(0.1) if one["kind"] == kind), None), kind)

    def said(self) -> list[str]:
        return self.out.read_text().splitlines()

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while not (value := holds()):
            assert time.monotonic() < deadline, f"waited in vain: {what}; it said {self.said()}"
            time.sleep(0.01)
        return value


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[str], Attempt]]:
    made: list[Attempt] = []

    def start(code: str) -> Attempt:
        made.append(Attempt(tmp_path, code))
        return made[-1]

    yield start
    for attempt in made:
        attempt.process.kill()
        attempt.process.wait()
        attempt.desk.close()


def test_what_an_attempt_says_arrives_in_order_and_is_answered(
    begin: Callable[[str], Attempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in os.environ if "FINETUNE" in one]:  # such as where the tests' browser is
        monkeypatch.delenv(name)
    attempt = begin("""
with hold:
    note(f"{order['config']} {hold.experiment_id} {hold.attempt} {[k for k in os.environ if 'FINETUNE' in k]}")
    hold.update({"step": 1, "total": 3, "loss": float("nan"), "eta_s": None})
    hold.event("checkpoint", "checkpoint-1 saved", 1)
    hold.planned({"r": 4}, "f", "d")
    hold.update({"step": 2})
    hold.update({"step": 3})
    try:
        hold.check()
    except LeaseLost as loss:
        note(loss)
    note(hold.loss)
""")
    attempt.order()

    heard = []
    while not attempt.desk.ended:
        for message in attempt.desk.receive(0.1):
            heard.append(message)
            if message["kind"] == "planned":
                attempt.desk.send("ok")
            if message["kind"] == "check":
                attempt.desk.send("lost", message="taken over by w2")

    assert [one["kind"] for one in heard if one["kind"] != "progress"] == ["event", "planned", "check"]
    assert heard[-2] == {"kind": "progress", "step": 3}
    planned = next(one for one in heard if one["kind"] == "planned")
    assert planned == {"kind": "planned", "config": {"r": 4}, "fingerprint": "f", "dataset_hash": "d"}
    assert attempt.process.wait() == 0
    assert attempt.said() == ["{'a': 1} x 2 []", "x: taken over by w2", "x: taken over by w2"]


def test_a_wish_to_stop_is_seen_without_asking(begin: Callable[[str], Attempt]) -> None:
    attempt = begin("""
while hold.stop_reason is None:
    time.sleep(0.01)
hold.stopped(hold.stop_reason)
""")
    attempt.order()
    attempt.desk.send("stop", reason="drained")

    assert attempt.hear("stopped")["reason"] == "drained"
    attempt.desk.send("ok")
    assert attempt.process.wait() == 0


def test_an_attempt_that_hears_of_no_heartbeat_ends_itself_and_its_children(begin: Callable[[str], Attempt]) -> None:
    attempt = begin("""
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
note(child.pid)
time.sleep(60)
""")
    attempt.order(lease_s=2.0)
    (pid,) = attempt.until(attempt.said, "its child is there")
    for _ in range(8):  # 2.4 s: longer than it would live without
        time.sleep(0.3)
        attempt.desk.send("beat", sent=time.monotonic())
    assert attempt.process.poll() is None

    assert attempt.process.wait() == -signal.SIGKILL
    attempt.until(lambda: gone(int(pid)), "its child is gone")


def test_an_attempt_that_was_frozen_past_the_lease_does_nothing_when_it_wakes(begin: Callable[[str], Attempt]) -> None:
    attempt = begin("""
while True:
    at = time.monotonic()
    if hold.loss:
        break
    note(f"step {at}")
    time.sleep(0.01)
""")
    attempt.order(lease_s=1.0)
    attempt.until(attempt.said, "it works")
    os.killpg(attempt.process.pid, signal.SIGSTOP)
    time.sleep(1.5)
    woken = time.monotonic()
    os.killpg(attempt.process.pid, signal.SIGCONT)

    attempt.process.wait()

    assert [line for line in attempt.said() if float(line.split()[1]) > woken] == []


@pytest.mark.parametrize("busy", ["time.sleep(60)", "import ctypes; ctypes.PyDLL(None).sleep(60)"])
def test_nothing_of_an_attempt_survives_its_supervisor(begin: Callable[[str], Attempt], busy: str) -> None:
    """Not even where a library holds Python's lock (the second case)."""
    attempt = begin(f"""
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
note(child.pid)
{busy}
""")
    attempt.order()
    (pid,) = attempt.until(attempt.said, "its child is there")

    attempt.desk.close()  # as the kernel does for a supervisor that was killed
    attempt.desk = Desk()

    assert attempt.process.wait() == -signal.SIGKILL
    attempt.until(lambda: gone(int(pid)), "its child is gone")


def test_a_supervisor_that_dies_before_it_gave_an_order_leaves_nothing(begin: Callable[[str], Attempt]) -> None:
    attempt = begin("note('ordered')")
    attempt.desk.close()
    attempt.desk = Desk()

    assert attempt.process.wait() != 0
    assert "ordered" not in attempt.said()


def test_an_attempt_never_waits_for_a_supervisor_that_does_not_listen(begin: Callable[[str], Attempt]) -> None:
    attempt = begin("""
for step in range(200_000):
    hold.update({"step": step})
    hold.event("warning", "x" * 100, step)
note("done")
os._exit(0)
""")
    attempt.order()

    assert attempt.process.wait(PATIENCE_S) == 0
    assert attempt.said() == ["done"]


def test_a_supervisor_never_waits_for_an_attempt_that_does_not_read(begin: Callable[[str], Attempt]) -> None:
    attempt = begin("note('here'); time.sleep(60)")
    attempt.order()
    attempt.until(attempt.said, "it is there")
    os.killpg(attempt.process.pid, signal.SIGSTOP)

    for _ in range(20_000):
        attempt.desk.send("beat", sent=0.0)
    attempt.desk.send("stop", reason="cancelled")
    assert attempt.desk.receive(0) == []


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe\n", b"[1]\n", b'{"kind": 3}\n', b"{\n", b"[" * 100_000 + b"\n", b"null\n"]
)
def test_what_is_no_message_is_told_and_ends_the_listening(garbage: bytes) -> None:
    desk = Desk()
    os.write(desk.child_fds[0], garbage + b'{"kind": "progress"}\n')

    assert desk.receive(1) == []
    assert desk.fault
    assert desk.ended
    desk.close()


def test_waking_the_supervisor_ends_its_wait() -> None:
    desk = Desk()
    desk.wake()
    assert desk.receive(PATIENCE_S) == []
    desk.close()


def test_the_line_imports_only_the_standard_library() -> None:
    heavy = "('pydantic', 'sqlalchemy', 'psutil', 'torch', 'numpy')"
    code = f"import sys, finetune30.worker.line; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
