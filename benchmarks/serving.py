"""Serving beside what others offer: FastAPI with ``transformers.pipeline``, LitServe, infinity-emb.

One trained adapter of the built-in model; peers get it merged into the base, and are measured only if all answer the
same labels. All are in memory at once and asked in turn, round by round, so that they share the machine's moods.
LitServe and infinity want versions of their own: the Python of their environment is named by ``FINETUNE30_PEERS``
(``make bench-serving`` makes it); without it they are left out. A server that answers errors ends it: their rate means
nothing. Neighbours: ``adapters`` measures ours alone, ``servers`` starts them all, ``served`` makes what they serve,
``load`` asks, ``goals`` tells.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from benchmarks import adapters, goals, served, servers
from benchmarks.goals import Goal
from benchmarks.load import CLIENTS, Effort, Load
from benchmarks.servers import Server
from finetune30.bench.report import Spread, flop_per_token

FULL, QUICK = Effort(5, 4.0), Effort(2, 2.0)
# Rows of the products whose rate is the limit: as many as the training benchmark takes.
_LIMIT_ROWS = 752
# More than this share of the processor used by others spoils ratios as well: whoever has two threads waits for both.
_BUSY = 0.1
# A decision nearer than this in the float32 pipeline may fall either way in bfloat16.
_CLOSE = 0.55


@dataclass
class Seen:
    """The rounds of one server: by one client, by many, and its processor seconds under those."""

    one: list[Load] = field(default_factory=list)
    many: list[Load] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [one.rate for one in self.many]

    @property
    def p50s(self) -> list[float]:
        return [one.share(0.5) for one in self.one]


@dataclass
class Lane:
    """What our lane did in each round of many clients, beside the machine's limit then; tokens without padding."""

    tokens: list[float] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)
    texts: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)
    merged: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [tokens / busy for tokens, busy in zip(self.tokens, self.busy_s, strict=True)]


def measure(effort: Effort = FULL) -> dict[str, Any]:
    """Every figure, with tables on the screen."""
    from finetune30.modeling.device import choose

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers that were held still would stay so for ever
    precision = choose("cpu").precision
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        run_id, texts = served.trained(home)
        merged = served.merged(home, run_id)
        head = goals.machine(servers.peer_versions())
        ours = stack.enter_context(servers.ours(home))
        with ExitStack() as beside:
            others = [beside.enter_context(start()) for start in servers.peers(merged, precision)]
            compared = agreed([ours, *others], texts)
            print(f"{compared} texts: the same labels from all", flush=True)
            with _limit(merged, precision) as limit:
                seen, lane, elsewhere = _beside([ours, *others], texts, effort, limit)
        mixed = adapters.mixed(home, run_id, ours, texts, effort)
        moved = adapters.moved(home, run_id, ours, texts, effort)
    wanted = [*_goals(seen, lane), *adapters.goals_of(mixed, moved)]
    told = [
        *(head, f"{effort.rounds} rounds of {effort.lasting_s:g} s; {len(texts)} texts, {precision}."),
        f"Others used {elsewhere:.0%} of the processor{', **too much for figures to be read**' * (elsewhere > _BUSY)}.",
    ]
    lines = [" ".join(told), "", *_table(seen), "", *goals.table(wanted), "", *_remarks(seen, lane, mixed, moved)]
    print("\n" + "\n".join(lines), flush=True)
    return {
        "goals": {goal.name: goal.figures() for goal in wanted},
        "servers": {name: _figures(one) for name, one in seen.items()},
        "lane": {"tokens_per_s": lane.rates, "limit_tokens_per_s": lane.limits, "texts_a_batch": _per_batch(lane)},
        "mixed": mixed,
        "moved": moved,
        "others_used": elsewhere,
        "markdown": lines,
    }


def agreed(asked: Sequence[Server], texts: Sequence[str]) -> int:
    """How many of the texts have the same label from all; what the pipeline finds close is not counted.

    Raises: RuntimeError if a server answers an error, or another label than the first.
    """
    found: dict[str, list[Any]] = {}
    for server in asked:
        with httpx.Client(timeout=60, trust_env=False) as client:
            found[server.name] = [server.answer(client, server.ask(text)) for text in texts]
    close = {at for at, answer in enumerate(found.get("pipeline", [])) if answer["score"] < _CLOSE}
    first = asked[0]
    for server in asked[1:]:
        for at, text in enumerate(texts):
            labels = first.label(found[first.name][at]), server.label(found[server.name][at])
            if labels[0] != labels[1] and at not in close:
                raise RuntimeError(f"{first.name} says {labels[0]}, {server.name} says {labels[1]}, of {text!r}")
    return len(texts) - len(close)


@contextmanager
def _limit(merged: Path, precision: str) -> Iterator[Callable[[], float]]:
    """How many tokens a second the machine could compute now: its products at the model's shapes, and nothing else."""
    from finetune30.bench.schedule import Process

    config = json.loads((merged / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {(hidden, hidden): 4, (inner, hidden): 1, (hidden, inner): 1}
    # Training's arithmetic is the forward pass and the gradients of the activations, as much again.
    flop = flop_per_token(shapes, config["num_hidden_layers"]) / 2
    with closing(Process()) as process:
        asked = {"shapes": [[*shape, n] for shape, n in shapes.items()], "tokens": _LIMIT_ROWS}
        asking = partial(process.ask, "rate", precision=precision, device="cpu", **asked)
        asking()
        yield lambda: float(asking()["rate"]) / flop


def _beside(
    asked: Sequence[Server], texts: Sequence[str], effort: Effort, limit: Callable[[], float]
) -> tuple[dict[str, Seen], Lane, float]:
    """Each server's rounds, our lane's, and which share of the processor others used when all of these were still."""
    seen, lane, elsewhere = {server.name: Seen() for server in asked}, Lane(), []
    for number in range(effort.rounds + 1):
        with servers.still(asked):
            elsewhere.append(psutil.cpu_percent(0.5) / 100)
        # The first round, twice as long, warms up and is forgotten.
        warms, found, seconds = number == 0, seen, effort.lasting_s
        if warms:
            found, seconds = {server.name: Seen() for server in asked}, 2 * effort.lasting_s
        for at in range(len(asked)):
            server = asked[(at + number) % len(asked)]  # who comes first changes
            counts = server.name == "finetune30" and not warms
            with servers.still([other for other in asked if other is not server]):
                bodies = [server.ask(text) for text in texts]
                found[server.name].one.append(server.loaded(bodies, clients=1, lasting_s=seconds / 2))
                with _noted(server, lane, limit) if counts else nullcontext():
                    used_s = server.cpu_s()
                    found[server.name].many.append(server.loaded(bodies, clients=CLIENTS, lasting_s=seconds))
                    found[server.name].cpu_s.append(server.cpu_s() - used_s)
        print("warmed up" if warms else f"round {number} of {effort.rounds}", flush=True)
    return seen, lane, median(elsewhere)


@contextmanager
def _noted(ours: Server, lane: Lane, limit: Callable[[], float]) -> Iterator[None]:
    """What the lane does meanwhile, and the machine's limit: the better of before and after, for others take of it."""
    with servers.still([ours]):
        before_it = limit()
    before = ours.metrics()
    yield
    after = ours.metrics()
    with servers.still([ours]):
        lane.limits.append(max(before_it, limit()))
    for values, name in (
        (lane.tokens, "te_tokens"),
        (lane.busy_s, "finetune30_lane_seconds"),
        (lane.texts, "te_embed_count"),
        (lane.batches, "te_batch_inference_count"),
        (lane.merged, "finetune30_merged_texts"),
    ):
        values.append(after[name] - before[name])


def _goals(seen: dict[str, Seen], lane: Lane) -> list[Goal]:
    ours = seen["finetune30"]

    def over(peer: str, figure: str) -> list[float]:
        if peer not in seen:
            return []
        return [a / b for a, b in zip(getattr(ours, figure), getattr(seen[peer], figure), strict=True)]

    share = [rate / limit for rate, limit in zip(lane.rates, lane.limits, strict=True)]
    return [
        Goal(f"texts/s at {CLIENTS} clients over FastAPI + `transformers.pipeline`", 6, over("pipeline", "rates")),
        Goal("p50 of one client over the same", 0.25, over("pipeline", "p50s"), at_least=False),
        Goal(f"texts/s at {CLIENTS} clients over LitServe", 1.5, over("litserve", "rates")),
        Goal(f"texts/s at {CLIENTS} clients over infinity-emb", 1.5, over("infinity", "rates")),
        Goal("real tokens/s in the lane over the forward limit", 0.5, share),
    ]


def _table(seen: dict[str, Seen]) -> list[str]:
    lines = [
        f"| server | texts/s, {CLIENTS} clients | p99, ms | p50 of one client, ms | its processor ms a text |",
        "|---|---|---|---|---|",
    ]
    for name, one in seen.items():
        figures = _figures(one)
        shown = [Spread.of(figures[key]).shown(digits) for key, digits in _COLUMNS.items()]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return lines


_COLUMNS = {"texts_per_s": 0, "p99_ms": 0, "p50_ms_one_client": 1, "cpu_ms_a_text": 2}


def _figures(seen: Seen) -> dict[str, list[float]]:
    return {
        "texts_per_s": seen.rates,
        "p99_ms": [1000 * one.share(0.99) for one in seen.many],
        "p50_ms_one_client": [1000 * p50 for p50 in seen.p50s],
        "cpu_ms_a_text": [1000 * used / len(one.seconds) for used, one in zip(seen.cpu_s, seen.many, strict=True)],
        "client_cpu_ms_a_text": [1000 * one.client_s / len(one.seconds) for one in seen.many],
    }


def _remarks(seen: dict[str, Seen], lane: Lane, mixed: dict[str, Any], moved: dict[str, Any]) -> list[str]:
    ours = seen["finetune30"]
    client = 1000 * median(_figures(ours)["client_cpu_ms_a_text"])
    rates, limits = Spread.of(lane.rates).shown(0), Spread.of(lane.limits).shown(0)
    per_text = median(tokens / texts for tokens, texts in zip(lane.tokens, lane.texts, strict=True))
    return [
        f"- The lane: {rates} real tokens/s while it computes, of {limits} that the matrix products alone would allow; "
        f"{per_text:.1f} tokens a text, {median(_per_batch(lane)):.0f} texts a batch, "
        f"{sum(lane.merged) / sum(lane.texts):.0%} of the texts on the merged adapter.",
        *adapters.remarks(mixed, moved),
        f"- The clients, one thread on the same cores, take {client:.0f} µs a text.",
    ]


def _per_batch(lane: Lane) -> list[float]:
    return [texts / batches for texts, batches in zip(lane.texts, lane.batches, strict=True)]
