"""Ours alone: a hundred adapters in mixed traffic against one, what they weigh, and a name that is moved under load.

Neighbours: ``serving`` calls, ``served`` makes the adapters, ``load`` asks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from math import lcm
from pathlib import Path
from typing import Any

import httpx

from benchmarks import load, served
from benchmarks.goals import Goal
from benchmarks.load import CLIENTS, Effort
from benchmarks.servers import Server
from finetune30.bench.report import Spread

ADAPTERS, _MOVES_S = 100, 0.2
# So many are there, and asked in mixed traffic, before the memory of the others is looked at.
_FIRST = 8
_MIB = 2**20


def spread(texts: Sequence[str], runs: Sequence[str]) -> list[dict[str, str]]:
    """The texts in their order again and again, each naming the next run, until both end together."""
    return [
        {"text": texts[at % len(texts)], "adapter": runs[at % len(runs)]} for at in range(lcm(len(texts), len(runs)))
    ]


def mixed(home: Path, run_id: str, ours: Server, texts: Sequence[str], effort: Effort) -> dict[str, Any]:
    """A hundred adapters in mixed traffic against one, in turn; and what they weigh.

    What the process grows by as it meets shapes for the first time (their kernels), under the traffic of one adapter
    and of the first few, is not the adapters': it is told apart.
    """
    bodies = {"one": [{"text": text, "adapter": run_id} for text in texts]}
    ours.loaded(bodies["one"], clients=CLIENTS, lasting_s=2 * effort.lasting_s)
    runs = served.copies(home, run_id, ADAPTERS)
    _load(ours, texts[0], runs[:_FIRST])
    bare = ours.rss()
    ours.loaded(spread(texts, runs[:_FIRST]), clients=CLIENTS, lasting_s=2 * effort.lasting_s)
    before = ours.rss()
    _load(ours, texts[0], runs[_FIRST:])
    grown = {"kernels": before - bare, "loading": ours.rss() - before, "one": 0, "mixed": 0}
    bodies["mixed"] = spread(texts, runs)
    rates: dict[str, list[float]] = {"one": [], "mixed": []}
    for number in range(effort.rounds + 1):
        for name in sorted(bodies, reverse=bool(number % 2)):
            had = ours.rss()
            found = ours.loaded(bodies[name], clients=CLIENTS, lasting_s=effort.lasting_s)
            grown[name] += ours.rss() - had
            if number:
                rates[name].append(found.rate)
    ratios = [mixed / one for mixed, one in zip(rates["mixed"], rates["one"], strict=True)]
    print(f"{ADAPTERS} adapters in mixed traffic: done", flush=True)
    return {
        "rates": rates,
        "ratios": ratios,
        "before": before,
        "grown": grown,
        "files": served.adapter_bytes(home, runs[_FIRST:]),
    }


def _load(ours: Server, text: str, runs: Sequence[str]) -> None:
    with httpx.Client(timeout=60, trust_env=False) as client:
        for run in runs:
            named = ours.answer(client, {"text": text, "adapter": run})["adapter"]["id"]
            assert named == run, f"{named} answers for {run}"


def moved(home: Path, run_id: str, ours: Server, texts: Sequence[str], effort: Effort) -> dict[str, Any]:
    """A name that is moved five times a second, against one that stays."""
    from finetune30.registry import Actor, Models

    store = served.opened(home)
    models, actor = Models(store.engine, home / "results"), Actor("bench")
    for run in (run_id, *served.copies(home, run_id, 1)):
        models.register("moved", models.candidate(run), actor, alias="champion")
    bodies = [{"text": text, "adapter": "moved@champion"} for text in texts]
    asked = partial(load.run, ours.port, "/predict", bodies, clients=CLIENTS, lasting_s=effort.lasting_s)
    swaps, ratios, failed, faults = [], [], 0, []
    for number in range(effort.rounds + 1):
        p99s = {}
        for moves in (False, True) if number % 2 else (True, False):
            before = ours.metrics()["finetune30_adapter_swaps"]
            with _moving(models, actor, ours) if moves else ExitStack():
                found = asked()
            if moves:
                swaps.append(ours.metrics()["finetune30_adapter_swaps"] - before)
                assert swaps[-1] > 0, "the name was moved, and the server did not follow"
            p99s[moves] = found.share(0.99)
            failed += found.failed
            faults += [found.fault] if found.fault else []
        if number:
            ratios.append(p99s[True] / p99s[False])
    store.close()
    print("swaps under load: done", flush=True)
    return {"ratios": ratios, "failed": failed, "faults": faults[:3], "swaps": swaps}


def goals_of(mixed: dict[str, Any], moved: dict[str, Any]) -> list[Goal]:
    """Of what the two brought."""
    grown, files = mixed["grown"], mixed["files"]
    loaded, asked = grown["loading"] / files, (grown["loading"] + grown["mixed"]) / files
    return [
        Goal(f"{ADAPTERS} adapters in mixed traffic: texts/s over one adapter", 0.8, mixed["ratios"]),
        Goal(f"{ADAPTERS} adapters loaded: memory grown over their files", 1.2, [loaded], at_least=False),
        Goal("the same after their mixed traffic", 1.2, [asked], at_least=False),
        Goal("swaps under load: failed requests", 0, [float(moved["failed"])], at_least=False, digits=0),
        Goal("swaps under load: p99 over steady", 1.5, moved["ratios"], at_least=False),
    ]


def remarks(mixed: dict[str, Any], moved: dict[str, Any]) -> list[str]:
    """What the ratios were made of."""
    one, many = (Spread.of(mixed["rates"][name]).shown(0) for name in ("one", "mixed"))
    kernels, loading, of_one, of_many = (mixed["grown"][name] / _MIB for name in ("kernels", "loading", "one", "mixed"))
    before, files = mixed["before"] / _MIB, mixed["files"] / _MIB
    return [
        f"- {ADAPTERS} adapters: {many} texts/s, one {one}. The process grew by {kernels:.0f} MiB under the mixed "
        f"traffic of the first {_FIRST} (kernels of shapes it had not met); from {before:,.0f} MiB then by "
        f"{loading:.0f} as the others were loaded (their files: {files:.0f}), by {of_many:.0f} under all adapters' "
        f"traffic and by {of_one:.0f} under one's.",
        f"- Swaps a round: {', '.join(f'{swaps:.0f}' for swaps in moved['swaps'])}.",
    ]


@contextmanager
def _moving(models: Any, actor: Any, ours: Server) -> Iterator[None]:
    ending = threading.Event()

    def move() -> None:
        number = 0
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not ending.wait(_MOVES_S):
                number += 1
                models.point("moved", "champion", 1 + number % 2, actor)
                client.post(f"{ours.url}/adapters/refresh", json={}).raise_for_status()

    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move)
        try:
            yield
        finally:
            ending.set()
        moving.result()
