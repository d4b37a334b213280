"""``finetune30 serve`` as an operator runs it: a process, on a port the system chose."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

PATIENCE_S = 120.0
_SERVING = re.compile(r"serving on (https?://[^\"\s]+)")
_FROM_HERE = ("PATH", "PYTHONPATH", "HOME", "LANG", "OMP_NUM_THREADS", "HF_HUB_OFFLINE")


def environment(home: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Variables of the process: ours, and what every process needs."""
    given = {"RESULTS_DIR": str(home / "results"), "DATA_DIR": str(home / "data"), "TZ": "UTC"}
    given |= {"SERVING_PORT": "0", "SERVING_DEVICE": "cpu", "SERVING_PRECISION": "float32", "SERVING_POLL_S": "0.05"}
    return {name: os.environ[name] for name in _FROM_HERE if name in os.environ} | given | values


class Served:
    """The process and its log."""

    def __init__(self, home: Path, values: Mapping[str, str], arguments: tuple[str, ...]) -> None:
        self.log = home / "serving.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "finetune30", "serve", *arguments],
                env=environment(home, values),
                cwd=home,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.url = self._told()

    @property
    def text(self) -> str:
        """The log so far."""
        return self.log.read_text(encoding="utf-8")

    def messages(self) -> list[str]:
        """What the service said; each line is an object, also when it was ended by force."""
        return [str(json.loads(line)["message"]) for line in self.text.splitlines()]

    def _told(self) -> str:
        until = time.monotonic() + PATIENCE_S
        while not (found := _SERVING.search(self.text)):
            assert self.process.poll() is None, self.text
            assert time.monotonic() < until, self.text
            time.sleep(0.05)
        return found[1]

    def client(self, **options: Any) -> httpx.Client:
        """One that reaches it."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False, **options)


@contextmanager
def served(home: Path, *arguments: str, **values: str) -> Iterator[Served]:
    """The verb as a process, once it serves; killed with the block."""
    found = Served(home, values, arguments)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def refuses(home: Path, *arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    """How it ends when it does not start."""
    return subprocess.run(
        [sys.executable, "-m", "finetune30", "serve", *arguments],
        env=environment(home, values),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
