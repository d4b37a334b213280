"""Serving beside what others offer: FastAPI with ``transformers.pipeline``, LitServe, infinity-emb.

One trained adapter of the built-in model; peers get it merged into the base. All servers run at once and are asked in
turn, so that they share the machine's moods. LitServe and infinity want versions of their own: the Python of their
environment is named by ``FINETUNE30_PEERS`` (``make bench-serving`` makes it); without it they are left out.
Then: a hundred adapters in mixed traffic against one, and a name that is moved under load.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import load
from benchmarks.load import Load

ROOT = Path(__file__).parents[1]
ROUNDS, LASTING_S, CLIENTS, ADAPTERS = 5, 4.0, 32, 100
_READY_S = 180


@dataclass(frozen=True)
class Server:
    """One that is asked: its name, port, path, and a question of a text."""

    name: str
    port: int
    path: str
    ask: Callable[[str], Any]
    process: subprocess.Popen[bytes]


def measure() -> dict[str, Any]:
    """Every figure, with tables on the screen."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        run_id, texts = _trained(home)
        merged = _merged(home, run_id)
        servers = [stack.enter_context(_ours(home))]
        servers += [stack.enter_context(peer) for peer in _peers(merged)]
        found = _beside(servers, texts)
        found |= _many(home, run_id, servers[0], texts)
        found |= _moved(home, run_id, servers[0], texts)
    return found


def _beside(servers: Sequence[Server], texts: Sequence[str]) -> dict[str, Any]:
    ones: dict[str, list[Load]] = {server.name: [] for server in servers}
    many: dict[str, list[Load]] = {server.name: [] for server in servers}
    for number in range(ROUNDS + 1):
        for server in servers:
            bodies = [server.ask(text) for text in texts]
            one = load.run(server.port, server.path, bodies, clients=1, lasting_s=LASTING_S / 2)
            all_of_them = load.run(server.port, server.path, bodies, clients=CLIENTS, lasting_s=LASTING_S)
            if number:  # the first round warms up
                ones[server.name].append(one)
                many[server.name].append(all_of_them)
    print(
        f"| server | p50 of one client, ms | texts/s at {CLIENTS} clients | p99, ms | failed |\n|---|---|---|---|---|"
    )
    found: dict[str, Any] = {}
    for name in ones:
        p50 = 1000 * statistics.median(one.share(0.5) for one in ones[name])
        rate = statistics.median(one.rate for one in many[name])
        p99 = 1000 * statistics.median(one.share(0.99) for one in many[name])
        failed = sum(one.failed for one in (*ones[name], *many[name]))
        found |= {f"{name} p50_ms": p50, f"{name} texts_per_s": rate, f"{name} failed": failed}
        print(f"| {name} | {p50:.1f} | {rate:.0f} | {p99:.0f} | {failed} |")
    for name in list(ones)[1:]:
        rate, p50 = found["finetune30 texts_per_s"] / found[f"{name} texts_per_s"], found[f"{name} p50_ms"]
        print(f"over {name}: {rate:.2f} x the texts/s, {found['finetune30 p50_ms'] / p50:.2f} of the p50", flush=True)
        found |= {f"ratio texts_per_s {name}": rate, f"ratio p50 {name}": found["finetune30 p50_ms"] / p50}
    return found


def _many(home: Path, run_id: str, ours: Server, texts: Sequence[str]) -> dict[str, Any]:
    """A hundred adapters in mixed traffic against one, in turn; and what they weigh."""
    runs = [_copied(home, run_id, number) for number in range(ADAPTERS)]
    one = [{"text": text, "adapter": run_id} for text in texts]
    mixed = [{"text": text, "adapter": runs[at % ADAPTERS]} for at, text in enumerate(texts)]
    process = psutil.Process(ours.process.pid)
    before = process.memory_info().rss
    for run in runs:
        httpx.post(f"http://127.0.0.1:{ours.port}/predict", json={"text": "x", "adapter": run}, timeout=60)
    grown = process.memory_info().rss - before
    files = sum(path.stat().st_size for run in runs for path in (home / "results" / run).rglob("adapter_model*"))
    rates: dict[str, list[float]] = {"one": [], "mixed": []}
    for number in range(ROUNDS + 1):
        for name, bodies in (("one", one), ("mixed", mixed)):
            found = load.run(ours.port, "/predict", bodies, clients=CLIENTS, lasting_s=LASTING_S)
            if number:
                rates[name].append(found.rate)
    ratio = statistics.median(rates["mixed"]) / statistics.median(rates["one"])
    mib = f"grown by {grown / 2**20:.1f} MiB, files {files / 2**20:.1f} MiB"
    print(f"\n{ADAPTERS} adapters: {ratio:.2f} of the texts/s of one; {mib}")
    return {"mixed over one": ratio, "grown_bytes": grown, "adapter_file_bytes": files}


def _moved(home: Path, run_id: str, ours: Server, texts: Sequence[str]) -> dict[str, Any]:
    """A name that is moved five times a second, against one that stays."""
    from finetune30.experiments import open_store
    from finetune30.registry import Actor, Models

    store = open_store(_settings(home))
    models, actor = Models(store.engine, home / "results"), Actor("bench")
    for run in (run_id, _copied(home, run_id, ADAPTERS)):
        models.register("moved", models.candidate(run), actor, alias="champion")
    bodies = [{"text": text, "adapter": "moved@champion"} for text in texts]
    steady, swapped, failed = [], [], 0
    for number in range(ROUNDS + 1):
        quiet = load.run(ours.port, "/predict", bodies, clients=CLIENTS, lasting_s=LASTING_S)
        with _moving(models, actor, ours.port):
            busy = load.run(ours.port, "/predict", bodies, clients=CLIENTS, lasting_s=LASTING_S)
        failed += quiet.failed + busy.failed
        if number:
            steady.append(quiet.share(0.99))
            swapped.append(busy.share(0.99))
    ratio = statistics.median(swapped) / statistics.median(steady)
    print(f"moved five times a second: {failed} failed, p99 {ratio:.2f} x the steady one")
    return {"swap failed": failed, "swap p99 ratio": ratio}


@contextmanager
def _moving(models: Any, actor: Any, port: int) -> Iterator[None]:
    ending = threading.Event()

    def move() -> None:
        number = 0
        while not ending.wait(0.2):
            number += 1
            models.point("moved", "champion", 1 + number % 2, actor)
            httpx.post(f"http://127.0.0.1:{port}/adapters/refresh", json={}, timeout=60)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _settings(home: Path) -> Any:
    from finetune30.settings import Settings

    return Settings(_env_file=None, results_dir=home / "results", data_dir=home / "data", tz="UTC")


def _trained(home: Path) -> tuple[str, list[str]]:
    """The id of a short run, and the texts it was evaluated on."""
    from pyarrow import parquet

    from finetune30.experiments import open_store

    _finetune30(home, "train", str(ROOT / "config" / "default.yaml"), "--epochs", "1")
    run_id = open_store(_settings(home)).newest().id
    table = parquet.read_table(next((home / "data" / "datasets").rglob("validation.parquet")))
    return run_id, [str(text) for text in table.column("text").to_pylist()[:256]]


def _merged(home: Path, run_id: str) -> Path:
    """The adapter in its base, as transformers saves it."""
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from finetune30.modeling.source import locate

    adapter, folder = home / "results" / run_id / "artifacts" / "final_model", home / "merged"
    config = AutoConfig.from_pretrained(adapter)
    base = AutoModelForSequenceClassification.from_pretrained(
        locate("builtin:minilm").folder, config=config, ignore_mismatched_sizes=True
    )
    PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(folder)
    AutoTokenizer.from_pretrained(adapter).save_pretrained(folder)
    return folder


def _copied(home: Path, run_id: str, number: int) -> str:
    """Another run with the same adapter, its numbers changed a little."""
    import torch
    from safetensors.torch import load_file, save_file

    from finetune30.config import load as load_config
    from finetune30.experiments import ExperimentFolder, Status, open_store
    from finetune30.registry import seal

    store = open_store(_settings(home))
    made = store.create(load_config(ROOT / "config" / "default.yaml"), owner="bench", tz="UTC").id
    attempt = store.claim(made, "bench")
    folder = ExperimentFolder.create(home / "results", made).final_model
    shutil.copytree(home / "results" / run_id / "artifacts" / "final_model", folder)
    (folder / "manifest.json").unlink(missing_ok=True)
    weights = load_file(folder / "adapter_model.safetensors")
    torch.manual_seed(number)
    save_file(
        {name: w + 0.01 * torch.randn_like(w) for name, w in weights.items()}, folder / "adapter_model.safetensors"
    )
    seal(folder)
    store.finish(made, attempt, "bench", Status.SUCCESS, metrics={"eval": {"accuracy": 0.5}})
    return made


@contextmanager
def _ours(home: Path) -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", "finetune30", "serve", "--port", str(port)]
    with _running(command, home, port, "/ready") as process:
        yield Server("finetune30", port, "/predict", lambda text: {"text": text}, process)


def _peers(merged: Path) -> Iterator[Any]:
    here = Path(__file__).with_name("peers")
    yield _peer("pipeline", [sys.executable, str(here / "pipeline_server.py"), str(merged)], "/docs")
    other = os.environ.get("FINETUNE30_PEERS")
    if not other:
        print("FINETUNE30_PEERS is not set: LitServe and infinity are left out", flush=True)
        return
    yield _peer("litserve", [other, str(here / "litserve_server.py"), str(merged)], "/health")
    infinity = [str(Path(other).with_name("infinity_emb")), "v2", "--model-id", str(merged), "--engine", "torch"]
    infinity += ["--device", "cpu", "--no-bettertransformer", "--no-model-warmup", "--host", "127.0.0.1", "--port"]
    ask = lambda text: {"model": merged.name, "input": [text]}  # noqa: E731
    yield _peer("infinity", infinity, "/health", "/classify", ask)


@contextmanager
def _peer(
    name: str,
    command: list[str],
    ready: str,
    path: str = "/predict",
    ask: Callable[[str], Any] = lambda text: {"text": text},
) -> Iterator[Server]:
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, _running([*command, str(port)], Path(folder), port, ready) as process:
        yield Server(name, port, path, ask, process)


@contextmanager
def _running(command: list[str], home: Path, port: int, ready: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "RESULTS_DIR": str(home / "results"), "DATA_DIR": str(home / "data"), "TZ": "UTC"}
    environment["HF_HUB_OFFLINE"] = "1"
    log = (home / f"{port}.log").open("wb")
    process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + _READY_S
        while not _answers(port, ready):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[:4]} does not start: {(home / f'{port}.log').read_text()[-2000:]}")
            time.sleep(0.2)
        yield process
    finally:
        _end(process)
        log.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and its children: some outlive their parent's SIGTERM."""
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.kill()
    process.wait()


def _answers(port: int, path: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code == 200
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _finetune30(home: Path, *arguments: str) -> None:
    environment = {**os.environ, "RESULTS_DIR": str(home / "results"), "DATA_DIR": str(home / "data"), "TZ": "UTC"}
    subprocess.run([sys.executable, "-m", "finetune30", *arguments], cwd=home, env=environment, check=True)
