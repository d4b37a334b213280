"""A whole worker process: how it begins, trains, is told to end, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finetune30.errors import UsageError
from finetune30.experiments import Outcome, Status, open_both
from finetune30.settings import Settings
from finetune30.worker.serve import serve, worker_name
from tests import tiny
from tests.worker.conftest import BEGIN, Bench
from tests.worker.test_supervisor import FOREVER, IGNORES, until

# A shell's background process ignores Ctrl+C, and so would what it starts.
RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from finetune30.settings import get_settings
from finetune30.worker.serve import TRAINER, serve
code = sys.argv[1]
sys.exit(serve(get_settings(), trainer=(sys.executable, "-c", code) if code else TRAINER))
"""


class Worker:
    """``serve`` in a process, its attempts running ``code`` (or trainings)."""

    def __init__(self, bench: Bench, code: str) -> None:
        settings = bench.settings
        home = settings.results_dir.parent
        self.log = home / "worker.log"
        env = {
            "RESULTS_DIR": settings.results_dir.relative_to(home),  # attempts run elsewhere
            "DATA_DIR": settings.data_dir.relative_to(home),
            "LEASE_S": settings.lease_s,
            "HEARTBEAT_S": settings.heartbeat_s,
            "DRAIN_S": settings.drain_s,
            "POLL_S": 0.05,
            "TZ": "UTC",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, code],
                env={**os.environ, **{name: str(value) for name, value in env.items()}},
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def until(self, words: str) -> None:
        until(lambda: words in self.log.read_text() or self.process.poll() is not None, words)
        assert words in self.log.read_text()

    def end(self, *signals: signal.Signals) -> int:
        for count, number in enumerate(signals):
            time.sleep(1.2 if count else 0)  # closer together they are one wish
            self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def start(bench: Bench) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def begin(code: str, at: Bench = bench) -> Worker:
        made.append(Worker(at, code))
        return made[-1]

    yield begin
    for worker in made:
        worker.process.kill()
        worker.process.wait()


def test_a_worker_introduces_itself_works_and_ends_when_told(bench: Bench, start: Callable[..., Worker]) -> None:
    job = bench.submit()
    worker = start(BEGIN + "hold.succeeded({})")
    worker.until(f"{job}: attempt 1 SUCCESS")

    (seen,) = bench.queue.workers()
    assert (seen.slots, seen.queues, seen.alive) == (1, ["train"], True)
    assert worker.end(signal.SIGTERM) == 0
    said = worker.log.read_text()
    assert "bell embedded, database sqlite:///" in said
    assert "slots 1 without GPU, queues train" in said
    assert said.rstrip().endswith("the worker has ended")
    assert bench.queue.workers() == []
    assert bench.store.get(job).status is Status.SUCCESS


def test_a_signal_that_comes_twice_at_once_is_one_wish(bench: Bench, start: Callable[..., Worker]) -> None:
    """As ``timeout`` and systemd send it: to the process, and to its group."""
    job = bench.submit()
    stops = "import time\nwhile not hold.stop_reason: time.sleep(0.01)\ntime.sleep(1)\nhold.stopped(hold.stop_reason)"
    worker = start(BEGIN + stops)
    worker.until("attempt 1 begins")

    worker.process.send_signal(signal.SIGTERM)
    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(60) == 0
    assert "ending at once" not in worker.log.read_text()
    assert [one.outcome for one in bench.store.attempts(job)] == [Outcome.DRAINED]


def test_a_second_signal_does_not_wait_for_a_checkpoint(
    make_bench: Callable[..., Bench], start: Callable[..., Worker]
) -> None:
    patient = make_bench(drain_s=600.0)
    job = patient.submit()
    worker = start(BEGIN + IGNORES + "print('here')" + FOREVER, patient)
    worker.until("attempt 1 begins")

    assert worker.end(signal.SIGTERM, signal.SIGTERM) == 0
    assert [one.outcome for one in patient.store.attempts(job)] == [Outcome.DRAINED]
    assert patient.store.get(job).failures == 0


def test_a_job_that_came_while_the_worker_was_idle_starts_and_takes_turns(
    bench: Bench, start: Callable[..., Worker]
) -> None:
    worker = start(BEGIN + "hold.succeeded({})")
    worker.until("slots")
    jobs = [bench.submit() for _ in range(3)]

    until(lambda: all(bench.store.get(job).status is Status.SUCCESS for job in jobs), "all are done")
    assert worker.end(signal.SIGINT) == 0


def test_queues_nobody_knows_are_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match="--queues names nowhere, expected some of train"):
        serve(bench.settings, queues=["train", "nowhere"])


def test_no_worker_has_the_name_of_another() -> None:
    assert len({worker_name() for _ in range(100)}) == 100
    assert not worker_name().startswith("local:")


def test_a_worker_that_cannot_reach_its_database_waits_and_says_so_once(
    tmp_path: Path, start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ana:canary@127.0.0.1:9/none")
    worker = start(BEGIN)
    worker.until("waiting for the database")
    time.sleep(2.5)

    assert worker.end(signal.SIGTERM) == 0
    said = worker.log.read_text()
    assert said.count("waiting for the database") == 1
    assert "canary" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_training_is_drained_and_finished_by_another_worker(tmp_path: Path) -> None:
    """The whole story with the real attempt process; the worker itself never loads torch."""
    model, data = tiny.save_model(tmp_path / "model", "distilbert"), tiny.write_dataset(tmp_path / "rows")
    settings = Settings(_env_file=None, results_dir=tmp_path / "results", data_dir=tmp_path / "data", tz="UTC")  # type: ignore[call-arg]
    store, queue = open_both(settings)
    job, _ = queue.submit(tiny.experiment(model, data, training__num_train_epochs=80), "ana", tz="UTC")
    site = Bench(tmp_path, lease_s=60.0, heartbeat_s=1.0, drain_s=60.0)
    first = Worker(site, "")
    try:
        deadline = time.monotonic() + 120
        while not (store.get(job.id).progress or {}).get("step"):
            assert time.monotonic() < deadline, first.log.read_text()
            time.sleep(0.05)
        assert "libtorch" not in Path(f"/proc/{first.process.pid}/maps").read_text()
        assert first.end(signal.SIGTERM) == 0
    finally:
        first.process.kill()
        first.process.wait()
    row = store.get(job.id)
    assert (row.status, row.failures) == (Status.PENDING, 0)
    second = Worker(site, "")
    try:
        deadline = time.monotonic() + 120
        while not store.get(job.id).status.is_terminal:
            assert time.monotonic() < deadline, second.log.read_text()
            time.sleep(0.1)
        assert second.end(signal.SIGTERM) == 0
    finally:
        second.process.kill()
        second.process.wait()

    row = store.get(job.id)
    assert (row.status, row.attempt, row.failures) == (Status.SUCCESS, 2, 0), row.error
    log = (settings.results_dir / job.id / "logs.txt").read_text()
    assert "resum" in log
    assert {one.kind for one in queue.events(job.id)} >= {"state", "checkpoint"}
    site.store.close()
    store.close()
