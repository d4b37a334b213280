"""A worker tells of what it ran, without an API beside it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from finetune30.webhooks import Webhooks
from tests.webhooks.receiver import receiving
from tests.worker.conftest import Bench
from tests.worker.test_serve import Worker


def test_g18_a_worker_tells_of_the_end_of_what_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_HOSTS", "127.0.0.1")
    monkeypatch.setenv("MAX_ATTEMPTS", "1")
    bench = Bench(tmp_path)
    task_id = bench.submit()
    owner = bench.store.get(task_id).owner
    with receiving() as receiver:
        Webhooks(bench.settings, bench.store.engine).add(owner, receiver.url())
        worker = Worker(bench, "raise SystemExit(3)")
        try:
            assert receiver.came.acquire(timeout=90)
        finally:
            code = worker.end(signal.SIGTERM)
        told = json.loads(receiver.got[0].body)
    assert (told["type"], told["data"]["task_id"]) == ("run.failed", task_id)
    assert code == 0
    assert "webhook" not in worker.log.read_text()
