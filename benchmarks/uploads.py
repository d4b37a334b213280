"""Does the memory of the API grow with the files it is sent? Goal: no, flat from 20 MB to 200 MB.

``finetune30 api`` as a process, on SQLite; a client sends files of both sizes, raw and as a form, over real HTTP. Its
resident memory is looked at 200 times a second from outside. The check of the rows is a process of its own: it is not
in there, and ends when its file is deleted.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

SIZES_MB = (20, 200)
ROUNDS = 3
_LINE = b"a film that is neither long nor short, but was seen by many and liked by most of them,good\n"
_PART = (_LINE * (64 * 1024 // len(_LINE) + 1))[: 64 * 1024]
_MB = 1_000_000
_LOOK_S = 0.005


def measure() -> dict[str, float]:
    """Resident MiB before, their peak while files come, and MB/s."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, _serving(Path(folder)) as (client, process):
        for kind in ("raw", "form"):
            _send(client, kind, 1)  # what the first request of all loads does not count
        found["rss before, MiB"] = round(_rss_mib(process), 1)
        for kind in ("raw", "form"):
            for size in SIZES_MB:
                runs = [
                    _peak_during(process, lambda kind=kind, size=size: _send(client, kind, size)) for _ in range(ROUNDS)
                ]
                found[f"{kind} {size} MB: peak over before, MiB"] = round(max(peak for peak, _ in runs), 1)
                found[f"{kind} {size} MB: MB/s"] = round(max(size / took_s for _, took_s in runs), 1)
    for name, value in found.items():
        print(f"  {name}: {value}", flush=True)
    return found


def _send(client: httpx.Client, kind: str, size_mb: int) -> float:
    """Seconds until the answer; the file is deleted again."""
    start = time.perf_counter()
    if kind == "raw":
        answer = client.post("/datasets?name=a.csv", content=_bytes(size_mb), headers={"Content-Type": "text/csv"})
    else:
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = client.post("/datasets", content=_form(size_mb), headers=form)
    took_s = time.perf_counter() - start
    assert answer.status_code == 201, answer.text
    client.delete(f"/datasets/{answer.json()['dataset_id']}").raise_for_status()
    return took_s


def _bytes(size_mb: int) -> Iterator[bytes]:
    yield b"text,label\n"
    for _ in range(size_mb * _MB // len(_PART)):
        yield _PART


def _form(size_mb: int) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    yield from _bytes(size_mb)
    yield b"\r\n--b--\r\n"


def _peak_during(process: psutil.Process, work: Callable[[], float]) -> tuple[float, float]:
    base = _rss_mib(process)
    peak, ended = base, threading.Event()

    def look() -> None:
        nonlocal peak
        while not ended.wait(_LOOK_S):
            peak = max(peak, _rss_mib(process))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        took_s = work()
    finally:
        ended.set()
        looker.join()
    return peak - base, took_s


def _rss_mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / (1 << 20)


@contextmanager
def _serving(home: Path) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """The API, and its first admin."""
    port = _free_port()
    env = {
        **os.environ,
        **{"RESULTS_DIR": str(home / "results"), "DATA_DIR": str(home / "data"), "API_PORT": str(port)},
        **{"WRITES_PER_MINUTE": "0", "READS_PER_MINUTE": "0", "ENVIRONMENT": "development"},
    }
    log = home / "api.log"
    with log.open("wb") as said:
        started = subprocess.Popen(
            [sys.executable, "-m", "finetune30", "api"], env=env, cwd=home, stdout=said, stderr=said
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as client:
            _wait(client)
            (password,) = re.findall(r"name admin, password (\S+)", log.read_text())
            token = client.post("/login", json={"username": "admin", "password": password}).json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            yield client, psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait()


def _wait(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            client.get("/health")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the API does not start")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
