"""A process that stands by answers once, is replaced if it died, and never outlives its parent."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import psutil
import pytest
import typer

import finetune30.cli.train as train
from finetune30 import standby
from finetune30.cli.worker import worker
from finetune30.settings import Settings, secret_variables
from finetune30.standby import _WAITING, Copy, Standby, importing, wait_asleep
from finetune30.worker.surroundings import surroundings

ECHO = "import json, sys; r = json.load(sys.stdin); print('noise'); print(json.dumps({'got': r['x']}))"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module on the path that answers with what it was asked."""
    (tmp_path / "echo_once.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return "echo_once"


def test_it_answers_with_the_object_of_its_last_line(module: str) -> None:
    with Standby(module) as process:
        answer = process.ask({"x": 5})
    assert (answer.value, answer.exit_code) == ({"got": 5}, 0)


def test_the_process_that_checks_an_adapter_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = [name for name, field in Settings.model_fields.items() if not field.repr]
    shaped = {"database_url": "postgresql://u:canary@h/d", "broker_url": "redis://:canary@h/0"}
    for name in (*ours, *map(str.upper, ours), "HF_TOKEN"):
        monkeypatch.setenv(name, shaped.get(name.lower(), "canary" * 6))
    (tmp_path / "told.py").write_text(
        "import json, os\nprint(json.dumps({'names': [name for name in os.environ if 'canary' in os.environ[name]]}))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(train, "CHECKER", "told")

    with train._checker() as process:
        answer = process.ask({})

    assert answer.value == {"names": ["HF_TOKEN"]}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Standby]:
    """Makes a copy of a process that runs these lines and then waits for what it is asked."""

    def make(main: str) -> Standby:
        (tmp_path / "copied_main.py").write_text("import json, os, sys\ndef main() -> int:\n" + indent(main, "    "))
        monkeypatch.syspath_prepend(tmp_path)
        sys.modules.pop("copied_main", None)
        process = Standby("copied_main", waits=True)
        process.imported()
        assert isinstance(process._child, Copy)
        return process

    return make


def test_a_copy_answers_and_shares_what_was_imported_but_no_file(copied: Callable[[str], Standby]) -> None:
    with (
        Path(__file__).open() as file,
        copied(
            f"asked = json.load(sys.stdin)\n"
            f"print('noise', file=sys.stderr)\n"
            f"try:\n    os.fstat({file.fileno()})\nexcept OSError:\n    asked['closed'] = True\n"
            f"asked |= {{'pytest': 'pytest' in sys.modules, 'session': os.getsid(0) == os.getpid()}}\n"
            f"print(json.dumps(asked))\n"
            f"return 3\n"
        ) as process,
    ):
        answer = process.ask({"x": "\u7121 " * 50_000})
    assert answer.value == {"x": "\u7121 " * 50_000, "closed": True, "pytest": True, "session": True}
    assert (answer.exit_code, answer.said) == (3, "noise")


def test_a_copy_that_fails_says_so_and_never_goes_on_as_its_parent(copied: Callable[[str], Standby]) -> None:
    with copied("raise SystemExit(json.load(sys.stdin)['y'])\n") as process:
        answer = process.ask({"x": 1})
    assert (answer.value, answer.exit_code) == (None, 1)
    assert "KeyError" in answer.said


def test_a_copy_that_was_killed_while_it_waited_is_replaced_by_a_new_interpreter(
    copied: Callable[[str], Standby], module: str
) -> None:
    with copied("return len(sys.stdin.read())\n") as process:
        assert isinstance(process._child, Copy)
        process._child.kill()
        os.waitid(os.P_PID, process._child.pid, os.WEXITED | os.WNOWAIT)
        process.module = module
        assert process.ask({"x": 1}).value == {"got": 1}


def test_a_copy_that_cannot_compute_is_replaced_by_a_new_interpreter(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that shared a product with the parent's are not there in a copy, which waits for them for ever."""
    (tmp_path / "waits.py").write_text("import time\ndef rehearse(): time.sleep(600)\ndef main(): return 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(standby, "_ABLE_S", 0.5)
    with Standby("waits", waits=True) as process:
        process.imported()
        copy: Any = process._child
        process.module = module
        assert process.ask({"x": 1}).value == {"got": 1}
        assert copy.returncode == -signal.SIGKILL


def test_where_no_copy_can_be_made_there_is_a_new_interpreter(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(errno.ENOMEM, "no memory")

    open_before = set(Path("/proc/self/fd").iterdir())
    with Standby(module, waits=True) as process:
        with monkeypatch.context() as without:
            without.setattr(os, "fork", fork)
            process.imported()
        assert set(Path("/proc/self/fd").iterdir()) == open_before
        assert process.ask({"x": 1}).value == {"got": 1}


def test_a_copy_answers_where_the_system_asks_how_children_ended(copied: Callable[[str], Standby]) -> None:
    """As below launchers that ignore SIGCHLD."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with copied("sys.stdin.read()\nprint('{}')\nreturn 0\n") as process:
            assert process.ask({"x": 1}).value == {}
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_copy_is_reaped_also_when_its_answer_is_not_waited_for(copied: Callable[[str], Standby]) -> None:
    with copied("sys.stdin.read()\nimport time\ntime.sleep(600)\n") as process:
        copy: Any = process._child
        copy._question.close()  # an interrupt came when the request was said

    assert copy.returncode == -signal.SIGKILL
    assert copy._answer.closed


def test_a_copy_that_is_not_needed_ends_with_the_block(copied: Callable[[str], Standby]) -> None:
    with copied("sys.stdin.read()\nreturn 0\n") as process:
        assert isinstance(process._child, Copy)
        pid = process._child.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="nowhere else is a process copied")
@pytest.mark.parametrize(("key", "copies"), [("", True), ("postgresql://u:canary@h/d", False)])
def test_who_knows_a_secret_is_not_copied(
    key: str, copies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in secret_variables():
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text(f"DATABASE_URL={key}\n")
    code = (
        "import finetune30.cli.train as train\n"
        "with train._checker() as checker:\n"
        "    checker.imported()\n"
        "    print(type(checker._child).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Copy" if copies else "Popen"]


def test_who_may_have_computed_is_not_copied() -> None:
    code = "from finetune30.standby import may_copy; print(may_copy()); import torch; print(may_copy())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(sys.platform == "linux"), "False"]


def test_one_that_was_killed_while_it_waited_is_replaced(module: str) -> None:
    with Standby(module) as process:
        os.kill(process._child.pid, signal.SIGKILL)
        process._child.wait()
        assert process.ask({"x": 1}).value == {"got": 1}


def test_one_that_fails_says_so_in_its_last_words(module: str) -> None:
    with Standby(module) as process:
        answer = process.ask({"y": 1})
    assert answer.value is None
    assert answer.exit_code == 1
    assert "KeyError" in answer.said


def test_one_that_is_not_needed_ends_with_the_block(module: str) -> None:
    with Standby(module) as process:
        pid = process._child.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("made", ["Standby({!r})._child", "Copy({!r})"])
def test_it_ends_when_its_parent_was_killed(made: str, module: str) -> None:
    code = (
        "import time; from finetune30.standby import Copy, Standby\n"
        f"print(({made.format(module)}).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()

    until = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "still alive"
        time.sleep(0.05)


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_rests_while_something_is_imported_and_is_then_as_it_was(before: bool) -> None:
    (gc.enable if before else gc.disable)()
    seen = []
    try:
        with pytest.raises(ImportError), importing():
            raise ImportError(str(seen.append(gc.isenabled())))
        seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [False, before]


def test_what_was_imported_is_never_looked_through_again_but_only_the_first_time() -> None:
    code = (
        "import gc; from finetune30.standby import importing\n"
        "with importing(): import json\n"
        "seen = [gc.get_freeze_count()]\n"
        "with importing(): import torch\n"
        "seen.append(gc.get_freeze_count()); mine = [[] for _ in range(50_000)]\n"
        "with importing(): import csv\n"
        "seen.append(gc.get_freeze_count()); print(*seen, gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after, later, collects = done.stdout.split()
    assert int(before) == 0
    assert int(after) > 50_000
    assert int(later) <= int(after)
    assert collects == "True"


@pytest.mark.skipif(sys.platform != "linux", reason="OMP_DISPLAY_ENV is GNU's library's")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ["GOMP_SPINCOUNT = '2000'"]),
        ({"OMP_WAIT_POLICY": "active"}, ["OMP_WAIT_POLICY = 'ACTIVE'"]),
    ],
)
def test_threads_sleep_while_they_wait_unless_somebody_says_otherwise(given: dict[str, str], found: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _WAITING}
    done = subprocess.run(
        [sys.executable, "-c", "from finetune30.standby import wait_asleep; wait_asleep(); import torch"],
        env={**environment, "OMP_DISPLAY_ENV": "verbose", **given},
        capture_output=True,
        text=True,
        check=True,
    )

    assert [one for one in found if one not in done.stderr] == []


@pytest.mark.parametrize("share", [True, False])
def test_a_worker_that_shares_its_machine_tells_its_attempts(share: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("finetune30.worker.serve.serve", lambda *_: 0)
    with pytest.raises(typer.Exit):
        worker(None, None, share)

    told = {name: value for name, value in surroundings(os.environ).items() if name in _WAITING}
    assert told == ({"GOMP_SPINCOUNT": "2000", "KMP_BLOCKTIME": "1"} if share else {})
    for name in _WAITING:
        monkeypatch.delenv(name, raising=False)


def test_who_says_in_another_way_how_threads_wait_has_it_their_way() -> None:
    for name in _WAITING:
        told = {name: "1000"}
        wait_asleep(told)
        assert told == {name: "1000"}
