"""Raw output of an attempt: bounded, marked, never a reason to wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from finetune30.worker.capture import MARK, Capture


def run(code: str, capture: Capture) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=capture.write_fd, stderr=subprocess.STDOUT)
    capture.started()
    return process


def test_all_output_is_kept_marked_and_after_what_the_log_holds(tmp_path: Path) -> None:
    log = tmp_path / "logs.txt"
    log.write_text("before\n")
    capture = Capture(log)

    run("import sys; print('hello'); print('wörld', file=sys.stderr); sys.stdout.write('no end')", capture).wait()
    capture.finish(10)

    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "before"
    assert sorted(lines[1:]) == sorted([f"{MARK}wörld", f"{MARK}hello", f"{MARK}no end"])
    assert capture.last_line == "no end"


def test_output_can_neither_forge_nor_break_a_line(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "logs.txt")

    run(r"import os; os.write(1, b'10%\r20%\r30%\n\x1b[31mred\xff\xe2\x80\xa8line\n\n')", capture).wait()
    capture.finish(10)

    lines = (tmp_path / "logs.txt").read_text(encoding="utf-8").split("\n")
    assert lines == [f"{MARK}10%", f"{MARK}20%", f"{MARK}30%", f"{MARK}\\x1b[31mred�\\u2028line", ""]


def test_a_flood_is_cut_in_the_middle_and_costs_neither_disk_nor_memory(tmp_path: Path) -> None:
    log = tmp_path / "logs.txt"
    capture = Capture(log, head_bytes=64 * 1024, tail_bytes=16 * 1024)
    before = psutil.Process().memory_info().rss

    flood = "import os\nfor i in range(2048): os.write(1, (b'%06d ' % i + b'x' * 1016 + b'\\n') * 128)\nprint('last')"
    run(flood, capture).wait()  # 256 MiB
    capture.finish(60)

    said = log.read_text()
    assert len(said) < 200 * 1024
    assert said.startswith(f"{MARK}000000 x")
    assert said.endswith(f"{MARK}last\n")
    assert "MiB of output are not kept" in said
    assert psutil.Process().memory_info().rss - before < 64 * 2**20


def test_a_little_more_than_the_beginning_is_kept_whole(tmp_path: Path) -> None:
    log = tmp_path / "logs.txt"
    capture = Capture(log, head_bytes=1000, tail_bytes=100_000)

    run("for i in range(2000): print(i)", capture).wait()
    capture.finish(10)

    assert log.read_text() == "".join(f"{MARK}{i}\n" for i in range(2000))


def test_a_log_that_cannot_be_written_does_not_stop_the_process(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "gone" / "logs.txt", head_bytes=1000)

    process = run("print('x' * 1_000_000)", capture)

    assert process.wait() == 0
    capture.finish(10)


def test_who_still_holds_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "logs.txt")
    held = os.dup(capture.write_fd)
    capture.started()
    capture.finish(0.05)
    os.close(held)
    capture.finish(10)
