"""What two attempts, two databases, or an attempt and a canceller do to each other."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from finetune30.experiments import Status
from tests.worker.conftest import Bench
from tests.worker.test_supervisor import gone, pid_in, until

CALM = {"lease_s": 60.0, "heartbeat_s": 20.0}  # no heartbeat comes between


def writing_its_pid(tmp_path: Path) -> str:
    return f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"


def waiting_for(file: Path) -> str:
    return f"while not Path({str(file)!r}).exists(): time.sleep(0.01)\n"


def same_name(one: Bench, other: Bench) -> str:
    """An id that waits in both databases: both were submitted to in one second."""
    for _ in range(50):
        first, second = one.submit(), other.submit()
        if first == second:
            return first
        one.store.cancel(first)
        other.store.cancel(second)
    raise AssertionError("no two ids were the same")


def test_a_job_of_another_database_with_the_same_name_is_left_alone(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    one, other = make_bench(), make_bench(results_dir=tmp_path / "elsewhere")
    job = same_name(one, other)
    thread = one.begin(writing_its_pid(tmp_path) + waiting_for(tmp_path / "go") + "hold.succeeded({})")
    pid = pid_in(tmp_path / "pid")

    other.begin("hold.succeeded({})").join()

    assert not gone(pid)
    (tmp_path / "go").touch()
    thread.join()
    assert (one.store.get(job).status, other.store.get(job).status) == (Status.SUCCESS, Status.SUCCESS)


def test_an_attempt_whose_training_process_was_killed_is_tried_again(bench: Bench) -> None:
    error = {"code": "killed", "message": "process 1 of 2 was killed", "where": None, "hint": "go on"}
    row = bench.run(f"hold.failed({error!r}); sys.exit(1)")

    assert (row.status, row.failures, row.error) == (Status.PENDING, 1, None)
    (attempt,) = bench.store.attempts(row.id)
    assert attempt.error == error


def test_a_cancelled_attempt_whose_training_process_was_killed_is_cancelled(bench: Bench, tmp_path: Path) -> None:
    job = bench.submit()
    error = {"code": "killed", "message": "process 1 of 2 was killed", "where": None, "hint": None}
    thread = bench.begin(writing_its_pid(tmp_path) + waiting_for(tmp_path / "go") + f"hold.failed({error!r})")
    pid_in(tmp_path / "pid")
    bench.store.cancel(job)
    (tmp_path / "go").touch()
    thread.join()

    assert (bench.store.get(job).status, bench.store.get(job).failures) == (Status.REVOKED, 0)


def test_a_wish_to_stop_reaches_an_attempt_before_the_answer_to_its_check(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench(**CALM)
    job = bench.submit()
    thread = bench.begin(
        writing_its_pid(tmp_path)
        + waiting_for(tmp_path / "go")
        + "hold.check()\nhold.stopped(hold.stop_reason) if hold.stop_reason else hold.succeeded({})"
    )
    pid_in(tmp_path / "pid")
    bench.store.cancel(job)
    (tmp_path / "go").touch()
    thread.join()

    row = bench.store.get(job)
    assert (row.status, row.metrics) == (Status.REVOKED, None)


def test_what_is_told_of_an_end_is_what_the_row_says(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    """A wish to cancel that comes after the last question, and before the last word."""
    bench = make_bench(**CALM)
    job = bench.submit()
    thread = bench.begin(writing_its_pid(tmp_path) + waiting_for(tmp_path / "go") + "hold.succeeded({})")
    pid_in(tmp_path / "pid")
    bench.store.cancel(job)
    (tmp_path / "go").touch()
    thread.join()

    assert f"{job}: attempt 1 {bench.store.get(job).status} after" in bench.said[-1]


def test_a_row_that_another_has_by_the_end_is_called_lost(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    """As after a worker that was frozen past its lease wakes, and finds its attempt dead."""
    bench = make_bench(**CALM)
    job = bench.submit()
    thread = bench.begin(writing_its_pid(tmp_path) + waiting_for(tmp_path / "go") + "os.kill(os.getpid(), 9)")
    pid_in(tmp_path / "pid")
    bench.queue.drain(job, 1, bench.office.name)  # as the reaper would
    assert bench.queue.claim_next("worker:other:1:x", queues=("train",), free=1, total=1)
    (tmp_path / "go").touch()
    thread.join()

    assert f"{job}: attempt 1 lost, its process was ended: " in bench.said[-1]
    assert "could not be written" not in " ".join(bench.said)


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
