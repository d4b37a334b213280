"""What a server says is told in order, faults and the end of it too; Ctrl+C needs no word of the server."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from finetune30.cli.heard import interruptible


def test_everything_is_told_in_order_and_then_the_end() -> None:
    assert list(interruptible(iter(range(1000)))) == list(range(1000))


def test_a_fault_comes_after_what_was_said_before() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("the line broke")

    told = interruptible(source())
    assert next(told) == 1
    with pytest.raises(ValueError, match="the line broke"):
        next(told)


def test_ctrl_c_is_heard_though_the_signal_breaks_no_wait_and_the_server_is_silent() -> None:
    # The signal is taken by another thread than the one that acts on it: as one that comes just before a wait.
    program = """
import signal, threading, time
from finetune30.cli.heard import interruptible

signal.signal(signal.SIGINT, signal.default_int_handler)

def silent():
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    time.sleep(600)
    yield

try:
    next(interruptible(silent()))
except KeyboardInterrupt:
    print("heard", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            out, _ = process.communicate(timeout=30)
        finally:
            process.send_signal(signal.SIGKILL)
    assert (out, process.returncode) == ("heard\n", 0)
