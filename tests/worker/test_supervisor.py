"""One supervised attempt: real processes, a real database, every way to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from finetune30.experiments import Outcome, Status
from finetune30.worker.slots import Seat
from finetune30.worker.supervisor import Supervisor
from tests.worker.conftest import Bench

PATIENCE_S = 20.0
IGNORES = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
FOREVER = "\nwhile True: time.sleep(0.05)\n"


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


def pid_in(file: Path) -> int:
    until(lambda: file.exists() and file.read_text(), f"{file} is written")
    return int(file.read_text())


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_run_leaves_result_plan_progress_events_and_output(bench: Bench) -> None:
    row = bench.run("""
print("hello from", order["id"], order["attempt"], sorted(order))
hold.planned({"seed": 9}, "f" * 64, "d" * 64)
hold.update({"step": 3, "total": 3, "loss": 0.5, "eta_s": 0.0})
hold.event("checkpoint", "checkpoint-3 saved", 3)
hold.succeeded({"train": {"runtime_s": 1.5}, "eval": {"accuracy": 0.75, "loss": float("nan")}})
""")

    assert (row.status, row.eval_accuracy, row.dataset_hash) == (Status.SUCCESS, 0.75, "d" * 64)
    assert row.config == {"seed": 9}
    assert row.progress is not None
    assert row.progress["step"] == 3
    assert (row.metrics or {})["eval"]["loss"] is None
    events = [(one.kind, one.message, one.step) for one in bench.queue.events(row.id) if one.kind == "checkpoint"]
    assert events == [("checkpoint", "checkpoint-3 saved", 3)]
    assert f"| hello from {row.id} 1 " in bench.log(row.id)
    assert f"{row.id}: attempt 1 SUCCESS" in bench.said[-1]


def test_an_attempt_knows_no_secret_and_sees_its_gpus_alone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "JWT_SECRET", "AUDIT_KEY"):
        monkeypatch.setenv(name, "secret-canary")
    job = bench.submit()
    code = f"Path({str(tmp_path / 'env')!r}).write_text(repr(dict(os.environ)) + repr(order))\nhold.succeeded({{}})"

    bench.begin(code, seat=Seat(2, ("GPU-a", "GPU-b"))).join()

    told = (tmp_path / "env").read_text()
    assert "secret-canary" not in told
    assert "'CUDA_VISIBLE_DEVICES': 'GPU-a,GPU-b'" in told
    assert bench.store.get(job).status is Status.SUCCESS


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
        ("raise RuntimeError('boom')", "crashed"),
        ("sys.exit(0)", "crashed"),
        ("os.write(hold._sock.fileno(), b'nonsense\\n'); time.sleep(60)", "crashed"),
        ("hold._ask({'kind': 'planned'})", "crashed"),
    ],
)
def test_what_may_pass_waits_again_and_counts(bench: Bench, code: str, error: str) -> None:
    row = bench.run(code)

    assert (row.status, row.failures, row.error) == (Status.PENDING, 1, None)
    (attempt,) = bench.store.attempts(row.id)
    assert attempt.outcome is Outcome.FAILURE
    assert (attempt.error or {})["code"] == error
    assert bench.rung == [(row.id, "train")]


@pytest.mark.parametrize(("code", "error"), [(70, "out_of_memory"), (73, "disk_full"), (77, "run_failed")])
def test_what_would_only_fail_again_ends_the_job(bench: Bench, code: int, error: str) -> None:
    row = bench.run(f"print('why'); sys.exit({code})")

    assert (row.status, row.failures, (row.error or {})["code"]) == (Status.FAILURE, 0, error)
    assert "why" in (row.error or {})["message"]


def test_what_an_attempt_reports_is_final_and_its_own_words(bench: Bench) -> None:
    error = {"code": "diverged", "message": "the loss is nan", "where": "step 3", "hint": "a lower learning rate"}
    row = bench.run(f"hold.failed({error!r}); sys.exit(74)")

    assert (row.status, row.error) == (Status.FAILURE, error)


def test_the_workers_log_repeats_no_value_of_a_configuration(bench: Bench) -> None:
    row = bench.run(
        "hold.failed({'code': 'config_invalid', 'message': 'no layer named hf_SECRET', "
        "'where': 'lora.target_modules', 'hint': 'see'})"
    )

    assert row.error is not None
    assert "hf_SECRET" in row.error["message"]
    assert "config_invalid: lora.target_modules" in bench.said[-1]
    assert "hf_SECRET" not in "".join(bench.said)


def test_the_output_of_a_process_that_fails_while_it_imports_is_kept(bench: Bench) -> None:
    row = bench.run("import no_such_module", begin="")

    assert "| ModuleNotFoundError: No module named 'no_such_module'" in bench.log(row.id)
    assert "no_such_module" in ((bench.store.attempts(row.id)[0].error or {})["message"])


def test_a_worker_that_cannot_start_the_process_gives_the_job_back(bench: Bench) -> None:
    job = bench.submit()
    claimed = bench.queue.claim_next(bench.office.name, queues=("train",), free=1, total=1)
    assert claimed is not None
    Supervisor(replace(bench.office, trainer=("/no/such/program",)), claimed, Seat(1)).carry_out()

    row = bench.store.get(job)
    assert (row.status, row.failures) == (Status.PENDING, 0)


def test_a_first_attempt_does_not_go_on_in_a_folder_of_somebody_else(bench: Bench) -> None:
    job = bench.submit()
    (bench.settings.results_dir / job / "artifacts").mkdir(parents=True)

    bench.begin("hold.succeeded({})").join()

    row = bench.store.get(job)
    assert (row.status, (row.error or {})["code"]) == (Status.FAILURE, "state_conflict")


def test_a_cancelled_attempt_that_listens_stops_by_itself(bench: Bench, tmp_path: Path) -> None:
    job = bench.submit()
    thread = bench.begin(f"""
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
while hold.stop_reason is None: time.sleep(0.02)
hold.stopped(hold.stop_reason)
print("stopped by itself")
""")
    pid_in(tmp_path / "pid")
    bench.store.cancel(job)
    thread.join()

    assert bench.store.get(job).status is Status.REVOKED
    assert "stopped by itself" in bench.log(job)


def test_a_cancelled_attempt_that_listens_to_nothing_is_killed(bench: Bench, tmp_path: Path) -> None:
    job = bench.submit()
    thread = bench.begin(f"{IGNORES}Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())){FOREVER}")
    pid = pid_in(tmp_path / "pid")
    bench.store.cancel(job)
    thread.join()

    assert gone(pid)
    row = bench.store.get(job)
    assert (row.status, row.failures) == (Status.REVOKED, 0)


def test_a_drained_attempt_waits_again_uncounted_even_if_a_signal_had_to_say_so(bench: Bench, tmp_path: Path) -> None:
    job = bench.submit()
    thread = bench.begin(f"""
def end(*_):
    hold.stopped("interrupted")
    sys.exit(75)
signal.signal(signal.SIGTERM, end)
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid())){FOREVER}""")
    pid_in(tmp_path / "pid")
    bench.office.orders.drain = True
    thread.join()

    row = bench.store.get(job)
    assert (row.status, row.failures, row.paused) == (Status.PENDING, 0, False)
    assert [one.outcome for one in bench.store.attempts(job)] == [Outcome.DRAINED]


def test_a_second_signal_ends_an_attempt_at_once(make_bench: Callable[..., Bench], tmp_path: Path) -> None:
    bench = make_bench(drain_s=600.0)
    job = bench.submit()
    thread = bench.begin(f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())){FOREVER}")
    pid = pid_in(tmp_path / "pid")
    bench.office.orders.drain = bench.office.orders.at_once = True
    thread.join()

    assert gone(pid)
    assert bench.store.get(job).status is Status.PENDING


def test_a_worker_that_ends_begins_nothing(bench: Bench) -> None:
    bench.office.orders.drain = True
    row = bench.run("hold.succeeded({})")

    assert (row.status, row.failures) == (Status.PENDING, 0)


def test_a_run_past_its_time_fails_and_says_so(bench: Bench) -> None:
    row = bench.run(f"{IGNORES}{FOREVER}", max_runtime_s=0.5)

    assert (row.status, (row.error or {})["code"]) == (Status.FAILURE, "timed_out")
    assert f"finetune30 jobs retry {row.id} --max-runtime" in (row.error or {})["hint"]
    assert "0.5 s" in (row.error or {})["message"]


def test_an_attempt_whose_row_was_taken_over_is_killed_and_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    job = bench.submit()
    thread = bench.begin(f"{IGNORES}Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())){FOREVER}")
    pid = pid_in(tmp_path / "pid")
    row = bench.store.get(job)
    bench.queue.drain(job, row.attempt, bench.office.name)  # as the reaper and another worker would
    assert bench.queue.claim_next("worker:other:1:x", queues=("train",), free=1, total=1)
    thread.join()

    assert gone(pid)
    row = bench.store.get(job)
    assert (row.status, row.attempt, row.lease_owner) == (Status.STARTED, 2, "worker:other:1:x")
    assert "lost" in bench.said[-1]


def test_a_last_word_of_an_attempt_that_lost_its_row_is_refused(bench: Bench, tmp_path: Path) -> None:
    job = bench.submit()
    thread = bench.begin(f"""
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
while not Path({str(tmp_path / "go")!r}).exists(): time.sleep(0.01)
hold.succeeded({{"eval": {{"accuracy": 1.0}}}})
""")
    pid_in(tmp_path / "pid")
    bench.queue.drain(job, 1, bench.office.name)
    (tmp_path / "go").touch()
    thread.join()

    row = bench.store.get(job)
    assert (row.status, row.metrics) == (Status.PENDING, None)


def test_everything_an_attempt_started_is_gone_when_its_row_moves_on(bench: Bench, tmp_path: Path) -> None:
    """A child in its group, one in a session of its own, and one whose parent has left it."""
    (tmp_path / "orphan.py").write_text(
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        f"open({str(tmp_path / 'three')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    job = bench.submit()
    bench.begin(f"""
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
Path({str(tmp_path / "one")!r}).write_text(str(subprocess.Popen(sleep).pid))
Path({str(tmp_path / "two")!r}).write_text(str(subprocess.Popen(sleep, start_new_session=True).pid))
subprocess.run([sys.executable, {str(tmp_path / "orphan.py")!r}])
while not Path({str(tmp_path / "three")!r}).exists(): time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
""").join()

    assert bench.store.get(job).status is Status.PENDING
    assert [gone(pid_in(tmp_path / name)) for name in ("one", "two", "three")] == [True] * 3


def test_a_database_that_is_away_for_long_ends_the_attempt_before_the_lease(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    """The file is locked by somebody else: no heartbeat can be written."""
    import sqlite3

    bench = make_bench(lease_s=4.0, heartbeat_s=0.5)
    job = bench.submit()
    thread = bench.begin(f"{IGNORES}Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())){FOREVER}")
    pid = pid_in(tmp_path / "pid")
    locked = sqlite3.connect(bench.settings.results_dir / "experiments.db", isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    expires = locked.execute("SELECT lease_expires_at FROM experiments").fetchone()[0]
    until(lambda: gone(pid), "the attempt is gone")
    assert time.time() < expires
    locked.execute("ROLLBACK")
    locked.close()
    thread.join()

    row = bench.store.get(job)
    assert row.status in (Status.PENDING, Status.STARTED)  # given back, or the reaper's


def test_a_flood_of_events_and_output_costs_the_row_little(bench: Bench) -> None:
    row = bench.run("""
for step in range(20_000):
    hold.event("warning", "x", step)
    hold.update({"step": step})
    os.write(2, b"y" * 1000 + b"\\n")
hold.succeeded({})
""")

    assert row.status is Status.SUCCESS
    assert len(bench.queue.events(row.id, limit=100_000)) < 3000
    assert os.path.getsize(bench.settings.results_dir / row.id / "logs.txt") < 10 * 2**20  # noqa: PTH202


def test_a_frozen_attempt_is_kept_alive_by_its_supervisor(bench: Bench, tmp_path: Path) -> None:
    job = bench.submit()
    thread = bench.begin(f"""
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
while not Path({str(tmp_path / "go")!r}).exists(): time.sleep(0.01)
hold.succeeded({{}})
""")
    pid = pid_in(tmp_path / "pid")
    os.killpg(pid, signal.SIGSTOP)
    time.sleep(1.2 * bench.settings.lease_s)
    assert bench.queue.reap() == []
    (tmp_path / "go").touch()
    os.killpg(pid, signal.SIGCONT)
    thread.join()

    assert bench.store.get(job).status in (Status.SUCCESS, Status.PENDING)
