"""The history test over many seeds, and many real trainings by two workers: ``make soak``.

    python -m tests.jobs.soak [--seeds 20] [--first 0] [--kinds P] [--trainings 40] [--table FILE]

Ends with 1 if a promise was broken; the story of a seed that broke one is written beside the table, and named.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.jobs import ordeal, trainings
from tests.jobs.plant import Servers, plant
from tests.servers import PostgresServer, RedisServer

_HEAD = """| seed | on | jobs | attempts | faults | SUCCESS | FAILURE | REVOKED | broken promises | seconds |
|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|"""
_NAMES = {"E": "SQLite", "R": "Redis, SQLite", "P": "Redis, PostgreSQL"}


def main(words: list[str]) -> int:
    """Run; returns the exit code."""
    asked = _parse(words)
    with tempfile.TemporaryDirectory(prefix="finetune30-soak-") as home:
        lines, broken = [_HEAD], 0
        print(_HEAD, flush=True)
        for seed in range(asked.first, asked.first + asked.seeds):
            kind = asked.kinds[seed % len(asked.kinds)]
            verdict = _seed(kind, seed, Path(home, f"seed{seed}"))
            broken += bool(verdict.found)
            lines.append(_row(verdict))
            print(lines[-1], flush=True)
            if verdict.found:
                beside = asked.table.parent if asked.table else Path(tempfile.gettempdir())
                story = beside / f"soak-seed-{seed}.txt"
                story.write_text(verdict.story, encoding="utf-8")
                print(f"its story: {story}", file=sys.stderr)
        if asked.trainings:
            lines += ["", _trainings(asked.trainings, Path(home, "trainings"))]
            print(lines[-1])
    if asked.table:
        asked.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if broken else 0


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.jobs.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kinds", default="PPRE", help="letters of E, R, P; seeds take turns")
    parser.add_argument("--trainings", type=int, default=40)
    parser.add_argument("--table", type=Path, help="write the table here, too")
    return parser.parse_args(words)


def _seed(kind: str, seed: int, home: Path) -> ordeal.Verdict:
    with ExitStack() as stack:
        site = stack.enter_context(plant(kind, home, _servers(kind, stack), wires=True))
        return ordeal.run(site, seed, jobs=150, faults_s=50.0)


def _trainings(count: int, home: Path) -> str:
    with ExitStack() as stack:
        site = stack.enter_context(plant("P", home, _servers("P", stack), **trainings.UNHURRIED))
        began = time.monotonic()
        shares = trainings.split(site, count, say=lambda _text: None)
        told = " and ".join(str(share) for share in sorted(shares.values()))
        took = time.monotonic() - began
        return f"{count} real trainings by two workers over one Redis and one PostgreSQL: {told}, in {took:.0f} s."


def _servers(kind: str, stack: ExitStack) -> Servers:
    servers = Servers()
    if kind in ("R", "P"):
        servers.redis = RedisServer()
        stack.callback(servers.redis.remove)
    if kind == "P":
        servers.postgres = PostgresServer()
        stack.callback(servers.postgres.remove)
    return servers


def _row(verdict: ordeal.Verdict) -> str:
    counts = [verdict.counts[status] for status in ("SUCCESS", "FAILURE", "REVOKED")]
    cells = [verdict.seed, _NAMES[verdict.kind], verdict.counts.total(), verdict.attempts, verdict.faults, *counts]
    return f"| {' | '.join(map(str, [*cells, len(verdict.found), round(verdict.seconds)]))} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
