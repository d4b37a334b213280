"""API processes beside a plant's workers: started, killed, restarted, asked over real HTTP.

Neighbours: ``tests.jobs.plant`` has database, broker and workers; ``service`` serves within the test's process.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psutil

from finetune30.access import Access, Role
from tests.jobs.plant import PATIENCE_S, Plant
from tests.servers import free_port

PASSWORD = "four words in a row"
UNLIMITED = {"READS_PER_MINUTE": 0, "WRITES_PER_MINUTE": 0}


class ApiProcess:
    """``finetune30 api`` over the database of a plant, on one port for its whole life.

    Args:
        before: Words before its command, of a program that becomes it.
    """

    def __init__(self, plant: Plant, before: Sequence[str] = (), **changes: object) -> None:
        self.plant, self.before, self.changes = plant, before, UNLIMITED | changes
        self.port = free_port()
        self.log = plant.home / f"api-{self.port}.log"
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> ApiProcess:
        """Start it; it is not waited for."""
        words = ["-m", "finetune30", "api"]
        self.process = self.plant.run(words, self.log, self.before, API_PORT=self.port, **self.changes)
        return self

    def wait(self) -> ApiProcess:
        """Wait until it answers."""
        until = time.monotonic() + PATIENCE_S
        while True:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < until, self.log.read_text(errors="replace")
            with suppress(httpx.TransportError):
                httpx.get(f"{self.url}/health", trust_env=False, timeout=5)
                return self
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9, of what it became and of a tracer around it."""
        if self.process is None:
            return
        family = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.kill()
        self.process.wait()
        self.process = None

    def client(self, token: str = "") -> httpx.Client:
        """Somebody who asks it."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=PATIENCE_S)


@contextmanager
def api(plant: Plant, before: Sequence[str] = (), **changes: object) -> Iterator[ApiProcess]:
    """A process of the API that answers."""
    made = ApiProcess(plant, before, **changes).start()
    try:
        yield made.wait()
    finally:
        made.kill()


@contextmanager
def access_to(plant: Plant) -> Iterator[Access]:
    """Users, tokens and audit log of the plant, as its processes know them."""
    made = Access(plant.settings, plant.store.engine)
    yield made


def token_of(plant: Plant, name: str, role: Role = Role.USER) -> str:
    """A new user's token; the keys lie where the processes find them."""
    with access_to(plant) as access:
        found = access.users.find(name) or access.users.add(name, role, PASSWORD)
        return access.tokens.issue(found).token


def train(client: httpx.Client, name: str, **options: Any) -> httpx.Response:
    """POST /train of a job that the fake trainer runs as its name says."""
    body = {
        "experiment_name": name,
        "model": {"name": "builtin:minilm"},
        "data": {"dataset_name": "builtin:reviews"},
    }
    return client.post("/train", json=body, **options)
