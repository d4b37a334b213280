"""API, worker, serving and page, each the process an operator starts, over one folder and SQLite, on free ports.

Each part starts when it is first needed and ends by its own process; one can be killed and started again. Neighbours:
``browser`` drives a Chromium before it; ``screenshots`` and ``benchmarks.page`` use it, too.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

from finetune30.access import Role
from finetune30.client import Client
from finetune30.experiments import ExperimentStore, open_store
from finetune30.settings import Settings
from tests.servers import free_port

PASSWORD = "correct horse battery staple"
PATIENCE_S = 120.0
_ENDING_S = 20.0
_ROOT = Path(__file__).parents[2]
# As ``finetune30 up`` starts them.
_VERBS = {"api": ("api",), "worker": ("worker", "--share"), "serving": ("serve",), "page": ("ui",)}


class World:
    """All parts of one installation.

    Args:
        variables: Settings of all parts, by their variables' names.
    """

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = {part: free_port() for part in ("api", "serving", "page")}
        # Templates are looked for where the page is started.
        (home / "config").symlink_to(_ROOT / "config")
        self.variables = {
            "RESULTS_DIR": str(self.results),
            "DATA_DIR": str(home / "data"),
            "TZ": "UTC",
            "API_PORT": str(self._ports["api"]),
            "API_URL": self.api_url,
            "SERVING_PORT": str(self._ports["serving"]),
            "SERVING_URL": f"http://127.0.0.1:{self._ports['serving']}",
            "UI_PORT": str(self._ports["page"]),
            "PAGE_KEY": secrets.token_urlsafe(32),
            "READS_PER_MINUTE": "0",
            "WRITES_PER_MINUTE": "0",
            "HEARTBEAT_S": "1",
            "LEASE_S": "30",
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "HOME": str(home),
            **variables,
        }

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self._ports['api']}"

    @property
    def results(self) -> Path:
        """Where runs lie."""
        return self.home / "results"

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://localhost:{self._ports['page']}"

    def start(self, *parts: str) -> None:
        """These run, and answer; one that runs already stays as it is."""
        begun = [part for part in parts if part not in self._running]
        for part in begun:
            self._running[part] = self._process(part)
        for part in begun:
            self._wait_for(part)

    def process(self, part: str) -> subprocess.Popen[bytes]:
        """The process of a part that runs."""
        return self._running[part]

    def kill(self, part: str) -> None:
        """As a crash ends it."""
        process = self._running.pop(part)
        process.kill()
        process.wait()

    def text(self, part: str) -> str:
        """What it has written so far."""
        return self._log(part).read_text(encoding="utf-8", errors="replace")

    def person(self, name: str, role: Role = Role.USER) -> None:
        """A user more."""
        command = [sys.executable, "-m", "finetune30", "user", "add", name, "--role", role.value]
        done = subprocess.run(
            command, env=self._environment, cwd=self.home, input=f"{PASSWORD}\n".encode(), capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()

    def client(self, name: str) -> Client:
        """The API as this user."""
        client = Client(self.api_url, self.variables["SERVING_URL"])
        client.login(name, PASSWORD)
        return client

    def store(self) -> ExperimentStore:
        """The records behind the API, for what no user could bring about; beside all processes."""
        return open_store(Settings(_env_file=None, results_dir=self.results, data_dir=self.home / "data"))

    def close(self) -> None:
        """End all that runs; those before which others stand go last."""
        for part in ("page", "serving", "worker", "api"):
            process = self._running.pop(part, None)
            if process is None:
                continue
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_S)
            process.kill()
            process.wait()

    def _process(self, part: str) -> subprocess.Popen[bytes]:
        with self._log(part).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "finetune30", *_VERBS[part]],
                env=self._environment,
                cwd=self.home,
                stdout=log,
                stderr=log,
            )

    def _wait_for(self, part: str) -> None:
        if part not in self._ports:
            return
        until = time.monotonic() + PATIENCE_S
        address = f"http://127.0.0.1:{self._ports[part]}{'/login' if part == 'page' else '/health'}"
        while True:
            assert self._running[part].poll() is None, self.text(part)
            assert time.monotonic() < until, self.text(part)
            with suppress(httpx.HTTPError):
                httpx.get(address, timeout=10, trust_env=False)
                return
            time.sleep(0.1)

    def _log(self, part: str) -> Path:
        return self.home / f"{part}.log"

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}
