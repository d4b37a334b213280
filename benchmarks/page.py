"""What an open page costs: calls of the API, the first load, and what twenty live pages take from a training.

The peer of the first load is an empty Streamlit page, started as its guide says. Twenty live pages, the page's process,
the API and the training they look at share this machine's cores; browsers are on other machines in life, so the twenty
are connections without one. Goals: two calls in two seconds; 0.95 of the training's speed alone.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.servers import free_port
from tests.ui.browser import Visit, launched, missing
from tests.ui.world import PASSWORD, World

from benchmarks.pages_open import opened
from finetune30.client import Client

OPEN, ROUNDS, LOADS, WATCHED_S = 20, 3, 5, 30.0
_STEPS, _SETTLED_S = 150, 4.0
_EMPTY = 'import streamlit as st\n\nst.title("Empty")\n'


def measure() -> dict[str, Any]:
    """Every figure, on the screen; with ``--quick`` one round instead of three."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            world.person("ana")
            world.start("api", "worker", "page")
            with world.client("ana") as ana:
                rounds = 1 if "--quick" in sys.argv else ROUNDS
                parts: dict[str, Callable[[], dict[str, Any]]] = {
                    "live page": lambda: _calls(world, ana),
                    "first load": lambda: _first_load(world, ana),
                    "twenty live pages": lambda: _together(world, ana, rounds),
                }
                for name, part in parts.items():
                    found[name] = part()
                    print(f"  {name}: {found[name]}", flush=True)
        finally:
            world.close()
    return found


def _calls(world: World, ana: Client) -> dict[str, float]:
    """Calls of the API by one live page, counted in the API's log."""
    run = _begun(ana, epochs=400)
    with opened(world.url, [("ana", PASSWORD)], f"/run?id={run}") as pages:
        time.sleep(_SETTLED_S)
        looks, calls, heard, began = pages.looks, _requests(world), pages.heard, time.perf_counter()
        time.sleep(WATCHED_S)
        took = time.perf_counter() - began
        looks, calls, heard = pages.looks - looks, _requests(world) - calls, pages.heard - heard
    _ended(ana, ana.cancel(run).task_id)
    return {
        "calls of the API each 2 s": round(2 * calls / took, 2),
        "calls a look": round(calls / max(1, looks), 2),
        "looks each 2 s": round(2 * looks / took, 2),
        "KiB each 2 s": round(2 * heard / took / 1024, 1),
    }


def _requests(world: World) -> int:
    told = (json.loads(line) for line in world.text("api").splitlines() if line.startswith("{"))
    return sum(one.get("message") == "request" for one in told)


def _first_load(world: World, ana: Client) -> dict[str, Any]:
    """Seconds until the title stands there and bytes until then, without anything in the browser's cache."""
    reason = missing()
    if reason is not None:
        print(f"  the first load is left out: {reason}", flush=True)
        return {}
    run = _begun(ana, epochs=400)
    took: dict[str, list[tuple[float, int]]] = {}
    with launched() as browser, _empty_page() as empty:
        visit = Visit(browser, world.url)
        visit.log_in("ana")
        cookies = visit.tab.context.cookies()
        visit.close()
        places = {"empty Streamlit page": empty, "experiments": world.url, "live run": f"{world.url}/run?id={run}"}
        for _ in range(LOADS + 1):
            for name, address in places.items():
                took.setdefault(name, []).append(_load(browser, address, cookies))
    _ended(ana, ana.cancel(run).task_id)
    told = {name: some[1:] for name, some in took.items()}  # the first warms the servers up
    peer = told["empty Streamlit page"]
    return {
        name: {
            "seconds": round(statistics.median(seconds for seconds, _ in some), 2),
            "KiB": round(statistics.median(size for _, size in some) / 1024),
            "seconds over the empty page": round(
                statistics.median(one[0] / other[0] for one, other in zip(some, peer, strict=True)), 2
            ),
        }
        for name, some in told.items()
    }


def _load(browser: Any, address: str, cookies: list[Any]) -> tuple[float, int]:
    context = browser.new_context()
    context.add_cookies(cookies)
    tab = context.new_page()
    sizes: list[int] = []
    wire = context.new_cdp_session(tab)
    wire.send("Network.enable")
    wire.on("Network.loadingFinished", lambda told: sizes.append(int(told["encodedDataLength"])))
    wire.on("Network.webSocketFrameReceived", lambda told: sizes.append(len(told["response"]["payloadData"]) * 3 // 4))
    began = time.perf_counter()
    tab.goto(address, wait_until="commit")
    tab.locator("h1").first.wait_for()
    took = time.perf_counter() - began
    tab.wait_for_timeout(500)
    context.close()
    return took, sum(sizes)


@contextmanager
def _empty_page() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        script, port = Path(folder) / "empty.py", free_port()
        script.write_text(_EMPTY, encoding="utf-8")
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
        command += ["--server.headless", "true", "--browser.gatherUsageStats", "false", "--server.address", "127.0.0.1"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/_stcore/health", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _together(world: World, ana: Client, rounds: int) -> dict[str, Any]:
    """A training alone and the same with twenty pages on it, in turn."""
    alone, watched, shares, looks = [], [], [], []
    for turn in range(rounds + 1):
        first = _trained(world, ana, 0)
        second = _trained(world, ana, OPEN)
        if not turn:
            continue  # files and code are in memory from now on
        alone.append(first["seconds"])
        watched.append(second["seconds"])
        shares.append(first["seconds"] / second["seconds"])
        looks.append(second["looks"])
    return {
        "training alone, s": _spread(alone),
        f"with {OPEN} live pages, s": _spread(watched),
        "of its speed alone": _spread(shares),
        "looks a page each 2 s": _spread(looks),
    }


def _trained(world: World, ana: Client, pages: int) -> dict[str, float]:
    """How long the steps of a training took, from the first that was told to the last."""
    with ExitStack() as stack:
        # It begins when all pages are open: the worker does nothing until then.
        worker = world.process("worker").pid
        os.kill(worker, signal.SIGSTOP)
        try:
            run = _submitted(ana, max_steps=_STEPS)
            if pages:
                watchers = stack.enter_context(opened(world.url, [("ana", PASSWORD)] * pages, f"/run?id={run}"))
        finally:
            os.kill(worker, signal.SIGCONT)
        looked = 0.0
        if pages:
            looks, began = watchers.looks, time.perf_counter()
            _ended(ana, run)
            looked = 2 * (watchers.looks - looks) / (time.perf_counter() - began) / pages
        else:
            _ended(ana, run)
    at = [one for one in ana.curves(run, 1000)["training"]["figures"]["at"] if one is not None]
    return {"seconds": at[-1] - at[0], "looks": looked}


def _submitted(ana: Client, **length: Any) -> str:
    training = {"logging_steps": 1, **length}
    return ana.train({"experiment_name": "tiny", "training": training}).task_id


def _begun(ana: Client, epochs: float) -> str:
    run = ana.train({"experiment_name": "long", "training": {"num_train_epochs": epochs}}).task_id
    while not ((task := ana.task(run)).progress and task.progress.step):
        if task.has_ended:
            raise RuntimeError(f"the training did not begin: {task.error}")
        time.sleep(0.5)
    return run


def _ended(ana: Client, run: str) -> None:
    while not ana.task(run).has_ended:
        time.sleep(1)


def _spread(some: list[float]) -> str:
    return f"{statistics.median(some):.2f} ({min(some):.2f}-{max(some):.2f})"
