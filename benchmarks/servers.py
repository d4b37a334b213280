"""The servers that are measured, each a group of processes: started, held still, asked, ended.

While one is asked the others are in memory but stopped (SIGSTOP): LitServe's loop alone, which looks for work a
thousand times a second, would take a tenth of a core from whoever else is measured. Neighbours: ``serving`` asks them;
``peers`` holds what two of them run.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import load
from benchmarks.load import Load

_READY_S, _ENDING_S = 180, 20
# All compute on the processor, and nobody calls home.
_SAME = {
    "TZ": "UTC",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "SERVING_DEVICE": "cpu",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Server:
    """One that is asked.

    Attributes:
        ask: The body that asks for a text.
        label: The label's name in an answer.
    """

    name: str
    port: int
    path: str
    ask: Callable[[str], Any]
    label: Callable[[Any], str]
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, client: httpx.Client, body: Any) -> Any:
        """One answer.

        Raises: RuntimeError if it is an error.
        """
        found = client.post(self.url + self.path, json=body)
        if found.status_code != 200:
            raise RuntimeError(f"{self.name} answers {found.status_code}: {found.text[:500]}")
        return found.json()

    def loaded(self, bodies: Sequence[Any], *, clients: int, lasting_s: float) -> Load:
        """Answers under load.

        Raises: RuntimeError if one of them is an error: a rate of errors means nothing.
        """
        found = load.run(self.port, self.path, bodies, clients=clients, lasting_s=lasting_s)
        if found.failed or not found.seconds:
            raise RuntimeError(f"{self.name} failed {found.failed} times: {found.fault}")
        return found

    def cpu_s(self) -> float:
        """Processor seconds of all its processes so far."""
        main = psutil.Process(self.process.pid)
        times = [one.cpu_times() for one in (main, *main.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def rss(self) -> int:
        """Resident bytes of its main process."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def metrics(self) -> dict[str, float]:
        """What it counts without labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=60, trust_env=False).raise_for_status().text.splitlines()
        pairs = [line.split(" ") for line in lines if not line.startswith("#") and "{" not in line]
        return {name: float(value) for name, value in pairs}


@contextmanager
def still(servers: Sequence[Server]) -> Iterator[None]:
    """These do nothing meanwhile."""
    for server in servers:
        os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for server in servers:
            os.killpg(server.process.pid, signal.SIGCONT)


@contextmanager
def ours(home: Path) -> Iterator[Server]:
    """``finetune30 serve`` over the runs of this folder, with the settings it has by itself."""
    port = free_port()
    command = [sys.executable, "-m", "finetune30", "serve", "--port", str(port)]
    with _running(command, home, port, "/ready", surroundings(home)) as process:
        yield Server("finetune30", port, "/predict", _text, lambda found: str(found["label_name"]), process)


def peers(merged: Path, precision: str) -> list[Callable[[], Any]]:
    """Those that can be started here, as functions that do.

    ``FINETUNE30_PEERS`` names the Python of the environment that LitServe and infinity are in. Both get the number
    format that is ours here: with bfloat16 infinity took a quarter of the processor time that its own choice took.

    Args:
        precision: ``float32`` or ``bfloat16``.
    """
    here, other, label = Path(__file__).with_name("peers"), os.environ.get("FINETUNE30_PEERS"), _label
    pipeline = [sys.executable, str(here / "pipeline_server.py"), str(merged)]
    found = [lambda: _peer("pipeline", pipeline, "/docs", "/predict", _text, label)]
    if not other:
        print("FINETUNE30_PEERS is not set: LitServe and infinity are left out", flush=True)
        return found
    litserve = [other, str(here / "litserve_server.py"), str(merged), precision]
    infinity = [str(Path(other).with_name("infinity_emb")), "v2", "--model-id", str(merged), "--engine", "torch"]
    infinity += ["--device", "cpu", "--dtype", precision, "--no-bettertransformer", "--no-model-warmup"]
    infinity += ["--host", "127.0.0.1", "--port"]
    return [
        *found,
        lambda: _peer("litserve", litserve, "/health", "/predict", _text, label),
        lambda: _peer(
            "infinity",
            infinity,
            "/health",
            "/classify",
            lambda text: {"model": merged.name, "input": [text]},
            lambda answer: str(max(answer["data"][0], key=lambda one: one["score"])["label"]),
        ),
    ]


def peer_versions() -> str:
    """Of the packages in the peers' environment, in a line; empty without one."""
    other = os.environ.get("FINETUNE30_PEERS")
    if not other:
        return ""
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    names = ["litserve", "infinity-emb", "transformers", "torch"]
    found = subprocess.run([other, "-c", code, *names], capture_output=True, text=True, check=True).stdout.split()
    return ", ".join(f"{name} {version}" for name, version in zip(names, found, strict=True))


def surroundings(home: Path) -> dict[str, str]:
    """Environment variables of a process whose runs and data are in this folder."""
    return {**os.environ, **_SAME, "RESULTS_DIR": str(home / "results"), "DATA_DIR": str(home / "data")}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _text(text: str) -> Any:
    return {"text": text}


def _label(answer: Any) -> str:
    return str(answer["label"])


@contextmanager
def _peer(
    name: str,
    command: list[str],
    ready: str,
    path: str,
    ask: Callable[[str], Any],
    label: Callable[[Any], str],
) -> Iterator[Server]:
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        _running([*command, str(port)], Path(folder), port, ready, {**os.environ, **_SAME}) as process,
    ):
        yield Server(name, port, path, ask, label, process)


@contextmanager
def _running(
    command: list[str], home: Path, port: int, ready: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            until = time.monotonic() + _READY_S
            while not _answers(port, ready):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    said = log.read()[-2000:].decode(errors="replace")
                    raise RuntimeError(f"{' '.join(command)} does not start: {said}")
                time.sleep(0.2)
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and its children: LitServe's outlive their parent's SIGTERM."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_ENDING_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(port: int, path: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10, trust_env=False).status_code == 200
    return False
