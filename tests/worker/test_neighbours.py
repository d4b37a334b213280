"""What two attempts, two databases, or an attempt and a canceller do to each other."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from finetune30.experiments import Status
from tests.worker.conftest import Bench
from tests.worker.test_supervisor import pid_in, until

CALM = {"lease_s": 60.0, "heartbeat_s": 20.0}  # no heartbeat comes between


def writing_its_pid(tmp_path: Path) -> str:
    return f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"


def waiting_for(file: Path) -> str:
    return f"while not Path({str(file)!r}).exists(): time.sleep(0.01)\n"


def told(bench: Bench, job: str) -> list[str]:
    return [one.message for one in bench.queue.events(job) if one.kind == "warning"]


def test_events_are_told_once_where_a_heartbeat_is_slow_at_the_end(bench: Bench, tmp_path: Path) -> None:
    """The database is slow while a heartbeat carries one event, another comes, and then the last word."""
    job = bench.submit()
    thread = bench.begin(
        writing_its_pid(tmp_path)
        + waiting_for(tmp_path / "go")
        + "hold.event('warning', 'one')\ntime.sleep(0.6)\nhold.event('warning', 'two')\nhold.succeeded({})"
    )
    pid_in(tmp_path / "pid")
    locked = sqlite3.connect(bench.settings.results_dir / "experiments.db", isolation_level=None)
    until(lambda: _begun(locked), "the lock")
    (tmp_path / "go").touch()
    threading.Event().wait(1.0)
    locked.execute("ROLLBACK")
    locked.close()
    thread.join()

    assert bench.store.get(job).status is Status.SUCCESS
    assert told(bench, job) == ["one", "two"]


def _begun(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True


def test_what_an_attempt_told_just_before_its_end_is_kept(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(**CALM)
    says = "hold.event('warning', 'one')\ntime.sleep(0.3)\nhold.event('warning', 'two')\nhold.check()\n"
    killed = bench.run(says + "os.kill(os.getpid(), 9)")
    bench.store.cancel(killed.id)
    stopped = bench.run(says + "hold.stopped('interrupted')")

    assert (killed.status, stopped.status) == (Status.PENDING, Status.PENDING)
    assert [told(bench, row.id) for row in (killed, stopped)] == [["one", "two"]] * 2
